"""BatchNorm1d."""

import numpy as np

from microtensor import creation, foreach, ops
from microtensor.core import float32
from microtensor.nn import init
from microtensor.nn.module import Module
from microtensor.nn.parameter import Parameter


class BatchNorm1d(Module):
    """Each channel normalised to mean 0 and variance 1 over the batch, then scaled and shifted.

    Args:
        num_features: the number of channels C.
        eps: added to the variance, so that a constant channel does not divide by 0.
        momentum: weight of the new batch in the running statistics; None averages over all batches alike.
        affine: whether to learn weight and bias.
        track_running_stats: whether to keep running statistics for eval, which without them uses the batch's.
        dtype: of the parameters and statistics, ``mt.float32`` or ``mt.float64``.

    Attributes:
        weight, bias: (C,), at first 1 and 0; None if not affine.
        running_mean, running_var: (C,) buffers, at first 0 and 1; None if not tracked.
        num_batches_tracked: 0-d int64 buffer; None if not tracked.

    Input (N, C) or (N, C, L), output of the same shape.

    Raises:
        ValueError: in forward, for another shape, or in training with one value per channel (variance 0).

    Formula: y = weight (x - mean) / sqrt(var + eps) + bias, per channel, var = sum (x - mean)^2 / n;
        running = (1 - momentum) running + momentum batch, with the unbiased variance, n/(n-1) var

    >>> import microtensor as mt
    >>> mt.nn.BatchNorm1d(1, eps=0.0)(mt.tensor([[1.0], [3.0]])).detach()
    tensor([[-1.],
            [ 1.]])

    Source: Ioffe and Szegedy 2015, arXiv:1502.03167; the running variance follows PyTorch.
    """

    def __init__(self, num_features, eps=1e-5, momentum=0.1, affine=True, track_running_stats=True, *,
                 dtype=float32):
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        self.weight = Parameter(creation.ones(num_features, dtype=dtype)) if affine else None
        self.bias = Parameter(creation.zeros(num_features, dtype=dtype)) if affine else None
        tracked = track_running_stats
        self.register_buffer("running_mean", creation.zeros(num_features, dtype=dtype) if tracked else None)
        self.register_buffer("running_var", creation.ones(num_features, dtype=dtype) if tracked else None)
        self.register_buffer("num_batches_tracked", creation.zeros((), dtype=np.int64) if tracked else None)

    def reset_parameters(self):
        """Back to the initial values, statistics included."""
        if self.affine:
            init.ones_(self.weight)
            init.zeros_(self.bias)
        if self.track_running_stats:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def forward(self, input):
        """The normalised input; in training, the running statistics are updated."""
        if input.ndim not in (2, 3) or input.shape[1] != self.num_features:
            c = self.num_features
            raise ValueError(f"expected shape (N, {c}) or (N, {c}, L), got {input.shape}")
        momentum, tracked = self.momentum, self.track_running_stats
        if momentum is None:
            momentum = 1 / (self.num_batches_tracked.item() + 1) if tracked else 0.0
        output = ops.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias,
                                self.training or not tracked, momentum, self.eps)
        if self.training and tracked:
            foreach.increment_(self.num_batches_tracked)
        return output

    def extra_repr(self):
        """The arguments."""
        return (f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
                f"track_running_stats={self.track_running_stats}")
