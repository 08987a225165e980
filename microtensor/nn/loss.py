"""Losses as modules: each calls the op of its name, derived in microtensor/ops/loss.pyx.

``reduction`` is "mean", "sum" or "none" (one loss per element) everywhere.
"""

from microtensor import ops
from microtensor.core import Tensor
from microtensor.nn.module import Module


class _Loss(Module):
    """What all losses share: a word to who gives the tensors to the class."""

    def __new__(cls, *args, **kwargs):
        if sum(isinstance(arg, Tensor) for arg in args) > 1:
            raise TypeError(f"{cls.__name__} takes no input and target, but its result does: loss = {cls.__name__}(), "
                            "then loss(input, target)")
        return super().__new__(cls)


class MSELoss(_Loss):
    """Squared error. Input and target of the same shape.

    Args:
        reduction: "mean", "sum" or "none".

    Formula: l = (x - t)^2

    >>> import microtensor as mt
    >>> mt.nn.MSELoss()(mt.tensor([1.0, 2.0]), mt.tensor([1.0, 4.0]))
    tensor(2.)
    """

    def __init__(self, reduction="mean"):
        self.reduction = reduction

    def forward(self, input, target):
        """The loss, a 0-d tensor unless the reduction is "none"."""
        return ops.mse_loss(input, target, self.reduction)


class L1Loss(_Loss):
    """Absolute error. Input and target of the same shape.

    Args:
        reduction: "mean", "sum" or "none".

    Formula: l = |x - t|

    >>> import microtensor as mt
    >>> mt.nn.L1Loss()(mt.tensor([1.0, 2.0]), mt.tensor([1.0, 4.0]))
    tensor(1.)
    """

    def __init__(self, reduction="mean"):
        self.reduction = reduction

    def forward(self, input, target):
        """The loss, a 0-d tensor unless the reduction is "none"."""
        return ops.l1_loss(input, target, self.reduction)


class HuberLoss(_Loss):
    """Half the squared error where it is small, beyond like the absolute one. Input and target of the same shape.

    Args:
        reduction: "mean", "sum" or "none".
        delta: a positive number: which differences are small.

    Formula: l = d^2 / 2 for |d| < delta, delta (|d| - delta / 2) elsewhere, d = x - t

    >>> import microtensor as mt
    >>> mt.nn.HuberLoss()(mt.tensor([1.0, 5.0]), mt.tensor([1.0, 1.0]))
    tensor(1.75)

    Source: Huber 1964, Annals of Mathematical Statistics 35.
    """

    def __init__(self, reduction="mean", delta=1.0):
        self.reduction = reduction
        self.delta = delta

    def forward(self, input, target):
        """The loss, a 0-d tensor unless the reduction is "none"."""
        return ops.huber_loss(input, target, self.reduction, self.delta)


class SmoothL1Loss(_Loss):
    """Absolute error, rounded off where it is small: HuberLoss over its delta. Input and target of the same shape.

    Args:
        reduction: "mean", "sum" or "none".
        beta: a number >= 0: which differences are small; 0 makes it L1Loss.

    Formula: l = d^2 / (2 beta) for |d| < beta, |d| - beta / 2 elsewhere, d = x - t

    >>> import microtensor as mt
    >>> mt.nn.SmoothL1Loss()(mt.tensor([1.0, 5.0]), mt.tensor([1.0, 1.0]))
    tensor(1.75)

    Source: Girshick 2015, arXiv:1504.08083; beta is PyTorch's.
    """

    def __init__(self, reduction="mean", beta=1.0):
        self.reduction = reduction
        self.beta = beta

    def forward(self, input, target):
        """The loss, a 0-d tensor unless the reduction is "none"."""
        return ops.smooth_l1_loss(input, target, self.reduction, self.beta)


class CrossEntropyLoss(_Loss):
    """Log-softmax and negative log-likelihood in one, stably: the loss of a classifier that ends in logits.

    Args:
        weight: (C,), a factor for each class.
        ignore_index: a class index that counts for nothing.
        reduction: "mean" (over the weights of the counted targets), "sum" or "none".
        label_smoothing: in [0, 1], the share of the target that is spread evenly over all classes.

    Input (N, C) logits; target (N,) class indices, or (N, C) probabilities.

    Formula: l = -weight_t log softmax(x)_t

    >>> import microtensor as mt
    >>> mt.nn.CrossEntropyLoss()(mt.zeros(1, 2), mt.tensor([0]))
    tensor(0.6931)
    """

    def __init__(self, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0):
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index
        self.reduction = reduction
        self.label_smoothing = label_smoothing

    def forward(self, input, target):
        """The loss, a 0-d tensor unless the reduction is "none"."""
        return ops.cross_entropy(input, target, self.weight, self.ignore_index, self.reduction,
                                 self.label_smoothing)


class NLLLoss(_Loss):
    """Negative log-likelihood of the target class, from log-probabilities.

    Args:
        weight: (C,), a factor for each class.
        ignore_index: a class index that counts for nothing.
        reduction: "mean" (over the weights of the counted targets), "sum" or "none".

    Input (N, C) log-probabilities, target (N,) class indices.

    Formula: l = -weight_t x_t

    >>> import microtensor as mt
    >>> mt.nn.NLLLoss()(mt.tensor([[-1.0, -2.0]]), mt.tensor([1]))
    tensor(2.)
    """

    def __init__(self, weight=None, ignore_index=-100, reduction="mean"):
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index
        self.reduction = reduction

    def forward(self, input, target):
        """The loss, a 0-d tensor unless the reduction is "none"."""
        return ops.nll_loss(input, target, self.weight, self.ignore_index, self.reduction)


class BCELoss(_Loss):
    """Binary cross-entropy from probabilities. Input and target of the same shape, both in [0, 1].

    Args:
        weight: a factor for each element, broadcast.
        reduction: "mean", "sum" or "none".

    Formula: l = -weight (t log x + (1 - t) log(1 - x)), each logarithm at least -100

    >>> import microtensor as mt
    >>> mt.nn.BCELoss()(mt.tensor([0.5]), mt.tensor([1.0]))
    tensor(0.6931)
    """

    def __init__(self, weight=None, reduction="mean"):
        self.register_buffer("weight", weight)
        self.reduction = reduction

    def forward(self, input, target):
        """The loss, a 0-d tensor unless the reduction is "none"."""
        return ops.binary_cross_entropy(input, target, self.weight, self.reduction)


class BCEWithLogitsLoss(_Loss):
    """Sigmoid and binary cross-entropy in one, stably. Input and target of the same shape.

    Args:
        weight: a factor for each element, broadcast.
        reduction: "mean", "sum" or "none".
        pos_weight: a factor for the positive part, broadcast: above 1 it favours recall.

    Formula: l = -weight (pos_weight t log s(x) + (1 - t) log(1 - s(x))),  s(x) = 1 / (1 + e^-x)

    >>> import microtensor as mt
    >>> mt.nn.BCEWithLogitsLoss()(mt.tensor([0.0]), mt.tensor([1.0]))
    tensor(0.6931)
    """

    def __init__(self, weight=None, reduction="mean", pos_weight=None):
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)
        self.reduction = reduction

    def forward(self, input, target):
        """The loss, a 0-d tensor unless the reduction is "none"."""
        return ops.binary_cross_entropy_with_logits(input, target, self.weight, self.reduction,
                                                    self.pos_weight)
