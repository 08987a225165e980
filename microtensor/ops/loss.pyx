"""Losses of two tensors of one shape: squared, absolute and between the two, and binary cross-entropies.

They are elementwise, followed by ``mean`` or ``sum``, and refuse to broadcast, as a loss of (n, 1) against (n,) is a
mistake. The losses on class indices are in softmax.pyx.
"""

cimport cython
cimport numpy as cnp

from microtensor.core cimport Tensor, as_tensor, broadcasts_to, constant, is_float, lent, wrap
from microtensor.kernels cimport simd
from microtensor.kernels.simd cimport real
from microtensor.ops.base cimport Binary, BinaryLoops, binary

import numpy as np

from microtensor.ops.activation import sigmoid
from microtensor.ops.arithmetic import abs, clamp, log, square, sub
from microtensor.ops.sample import Sample, binary_samples

cnp.import_array()


cdef int check_pair(str name, Tensor a, Tensor b) except -1:
    """Raise unless input and target have one shape and one float dtype."""
    if a.shape != b.shape:
        hint = ""
        if a.numel() == b.numel():
            hint = f": one of them needs .reshape({a.shape}) or .reshape({b.shape})"
        raise ValueError(f"{name}: input {a.shape} and target {b.shape} must have the same shape{hint}")
    if not is_float(a.array) or cnp.PyArray_TYPE(a.array) != cnp.PyArray_TYPE(b.array):
        raise TypeError(f"{name}: input and target must have one float dtype, got {a.dtype} and {b.dtype}: "
                        "convert one with .to(dtype), an array with .astype(dtype)")
    return 0


cdef str check_reduction(object reduction):
    """The reduction as one of three strings, whatever compares equal to one."""
    for known in ("mean", "sum", "none"):
        if reduction == known:
            return known
    raise ValueError(f"reduction is 'mean', 'sum' or 'none', not {reduction!r}")


cdef Tensor fitting(str name, Tensor weight, Tensor losses):
    """The weight itself, if it broadcasts to the losses' shape and no further."""
    if not broadcasts_to(weight.array, losses.array):
        raise ValueError(f"{name} of shape {weight.shape} does not fit the losses of shape {losses.shape}")
    return weight


cdef Tensor reduced(Tensor losses, object weight, object reduction):
    """Elementwise losses, weighted and reduced."""
    if weight is not None:
        losses = losses * fitting("weight", weight, losses)
    return losses.mean() if reduction == "mean" else losses.sum() if reduction == "sum" else losses


# -- mse_loss, l1_loss, huber_loss, smooth_l1_loss: composites --------------------------------------------------

def mse_loss(input, target, reduction="mean"):
    """The squared differences, and their mean or sum.

    Args:
        input, target: tensors of one shape and dtype.
        reduction: 'mean', 'sum' or 'none'.

    Returns:
        A 0-d tensor; for 'none' one of input's shape.

    Raises:
        ValueError: if the shapes differ.
        TypeError: if the dtypes differ or are not float.

    Formula: L = mean((input - target)^2)

    >>> import microtensor as mt
    >>> mt.mse_loss(mt.tensor([1.0, 2.0]), mt.tensor([1.0, 4.0]))
    tensor(2.)
    """
    cdef Tensor x = as_tensor(input, "input"), t = as_tensor(target, "target")
    reduction = check_reduction(reduction)
    check_pair("mse_loss", x, t)
    return reduced(square(sub(x, t)), None, reduction)


def l1_loss(input, target, reduction="mean"):
    """The absolute differences, and their mean or sum.

    Args:
        input, target: tensors of one shape and dtype.
        reduction: 'mean', 'sum' or 'none'.

    Returns:
        A 0-d tensor; for 'none' one of input's shape.

    Raises:
        ValueError: if the shapes differ.
        TypeError: if the dtypes differ or are not float.

    Formula: L = mean(|input - target|)

    >>> import microtensor as mt
    >>> mt.l1_loss(mt.tensor([1.0, 2.0]), mt.tensor([1.0, 4.0]))
    tensor(1.)
    """
    cdef Tensor x = as_tensor(input, "input"), t = as_tensor(target, "target")
    reduction = check_reduction(reduction)
    check_pair("l1_loss", x, t)
    return reduced(abs(sub(x, t)), None, reduction)


# With d = input - target and c = min(max(d, -delta), delta), d as far as it is small:
#     c (d - c/2) = d^2 / 2 for |d| < delta,  delta (|d| - delta/2) elsewhere
# Its derivative is c: at |d| = delta both branches have it, and the way through c adds 0 everywhere.

def huber_loss(input, target, reduction="mean", double delta=1.0):
    """Half the squared differences where they are small, growing like absolute ones beyond; their mean or sum.

    Args:
        input, target: tensors of one shape and dtype.
        reduction: 'mean', 'sum' or 'none'.
        delta: a positive number: which differences are small.

    Returns:
        A 0-d tensor; for 'none' one of input's shape.

    Raises:
        ValueError: if the shapes differ, or delta is not positive.
        TypeError: if the dtypes differ or are not float.

    Formula: L = mean(d^2 / 2 for |d| < delta, delta (|d| - delta / 2) elsewhere), d = input - target (Huber 1964)

    >>> import microtensor as mt
    >>> mt.huber_loss(mt.tensor([1.0, 5.0]), mt.tensor([1.5, 1.0]), reduction="none")
    tensor([0.125, 3.5  ])
    """
    cdef Tensor x = as_tensor(input, "input"), t = as_tensor(target, "target")
    reduction = check_reduction(reduction)
    check_pair("huber_loss", x, t)
    if not delta > 0:
        raise ValueError(f"huber_loss: delta must be positive, got {delta}")
    d = sub(x, t)
    c = clamp(d, -delta, delta)
    return reduced(c * (d - c / 2), None, reduction)


def smooth_l1_loss(input, target, reduction="mean", double beta=1.0):
    """The Huber loss divided by its delta: absolute differences, rounded off where they are small; their mean or sum.

    Args:
        input, target: tensors of one shape and dtype.
        reduction: 'mean', 'sum' or 'none'.
        beta: a number >= 0: which differences are small; 0 makes it l1_loss.

    Returns:
        A 0-d tensor; for 'none' one of input's shape.

    Raises:
        ValueError: if the shapes differ, or beta is negative.
        TypeError: if the dtypes differ or are not float.

    Formula: L = mean(d^2 / (2 beta) for |d| < beta, |d| - beta / 2 elsewhere), d = input - target (Girshick 2015)

    >>> import microtensor as mt
    >>> mt.smooth_l1_loss(mt.tensor([1.0, 5.0]), mt.tensor([1.5, 1.0]), reduction="none")
    tensor([0.125, 3.5  ])
    """
    cdef Tensor x = as_tensor(input, "input"), t = as_tensor(target, "target")
    reduction = check_reduction(reduction)
    check_pair("smooth_l1_loss", x, t)
    if not beta >= 0:
        raise ValueError(f"smooth_l1_loss: beta must be at least 0, got {beta}")
    if beta == 0:
        return l1_loss(x, t, reduction)
    d = sub(x, t)
    c = clamp(d, -beta, beta)
    return reduced(c / beta * (d - c / 2), None, reduction)


# -- binary_cross_entropy ---------------------------------------------------------------------------------------
# y = -(b ln a + (1 - b) ln(1 - a)),  a the probability, b the target
# da = g (a - b) / (a (1 - a)),   db = g (ln(1 - a) - ln a)
# logarithms are cut off at -100 and a (1 - a) at 1e-12, so that a sure and wrong answer costs much, not inf

cdef inline real cut(real x) noexcept nogil:
    return -100 if x < -100 else x


cdef void binary_cross_entropy_forward(const real* a, const real* b, real* y, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        y[i] = -(b[i] * cut(simd.log(a[i])) + (<real>1 - b[i]) * cut(simd.log1p(-a[i])))


cdef void binary_cross_entropy_backward_a(const real* a, const real* b, const real* y, const real* g, real* da,
                                          Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef real variance
    for i in range(n):
        variance = a[i] * (<real>1 - a[i])
        da[i] = g[i] * (a[i] - b[i]) / (<real>1e-12 if variance < <real>1e-12 else variance)


cdef void binary_cross_entropy_backward_b(const real* a, const real* b, const real* y, const real* g, real* db,
                                          Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        db[i] = g[i] * (cut(simd.log1p(-a[i])) - cut(simd.log(a[i])))


cdef BinaryLoops BINARY_CROSS_ENTROPY_LOOPS = binary(
    binary_cross_entropy_forward[float], binary_cross_entropy_forward[double],
    binary_cross_entropy_backward_a[float], binary_cross_entropy_backward_a[double],
    binary_cross_entropy_backward_b[float], binary_cross_entropy_backward_b[double])


@cython.final
@cython.no_gc
cdef class BinaryCrossEntropy(Binary):
    """-(b ln a + (1 - b) ln(1 - a))."""

    def rule(self, Tensor g not None):
        a, b = self.input(0), self.input(1)
        return (g * (a - b) / clamp(a * (1 - a), min=1e-12),
                g * (clamp(log(1 - a), min=-100) - clamp(log(a), min=-100)))

    @staticmethod
    def samples(draw):
        samples = binary_samples(
            lambda a, b: binary_cross_entropy(a, b, reduction="none"),
            lambda a, b, f: -(b * f.log(a) + (1 - b) * f.log1p(-a)),
            lambda a, b, y, f: ((a - b) / (a * (1 - a)), f.log1p(-a) - f.log(a)),
            draw.probability, draw.probability, broadcast=False)
        yield from samples
        yield Sample(binary_cross_entropy, [draw.probability(5), draw.probability(5)],
                     lambda a, b: np.mean(samples[0].twin(a, b)))


def binary_cross_entropy(input, target, Tensor weight=None, reduction="mean"):
    """The cross-entropy between probabilities and targets, and its mean or sum.

    Args:
        input: probabilities from 0 to 1, any shape.
        target: from 0 to 1, of input's shape and dtype.
        weight: multiplies each loss, broadcast; or None.
        reduction: 'mean', 'sum' or 'none'.

    Returns:
        A 0-d tensor; for 'none' one of input's shape.

    Raises:
        ValueError: if the shapes differ or an input is outside [0, 1].
        TypeError: if the dtypes differ or are not float.

    Formula: L = -mean(target ln(input) + (1 - target) ln(1 - input)), logarithms cut off at -100

    >>> import microtensor as mt
    >>> mt.binary_cross_entropy(mt.tensor([0.5, 0.5]), mt.tensor([0.0, 1.0]))
    tensor(0.6931)
    """
    cdef Tensor x = as_tensor(input, "input"), t = as_tensor(target, "target")
    reduction = check_reduction(reduction)
    check_pair("binary_cross_entropy", x, t)
    array = <object>x.array
    if cnp.PyArray_SIZE(x.array) > 0 and not (array.min() >= 0 and array.max() <= 1):
        raise ValueError(f"binary_cross_entropy: inputs are probabilities from 0 to 1, got {array.min():.4g} to "
                         f"{array.max():.4g}: use binary_cross_entropy_with_logits for unbounded scores")
    cdef BinaryCrossEntropy op = BinaryCrossEntropy.__new__(BinaryCrossEntropy)
    losses = op.apply(&BINARY_CROSS_ENTROPY_LOOPS, x, t)
    return reduced(losses, weight, reduction)


# -- binary_cross_entropy_with_logits ----------------------------------------------------------------------------
# With the probability s(a) = 1 / (1 + e^-a), b the target:
# y = -(b ln s(a) + (1 - b) ln(1 - s(a))) = ln(1 + e^a) - a b
#   = max(a, 0) - a b + ln(1 + e^-|a|)                                   the exponent is never positive
# da = g (s(a) - b),   db = -g a

cdef void logits_forward(const real* a, const real* b, real* y, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        y[i] = (0 if a[i] < 0 else a[i]) - a[i] * b[i] + simd.log1p(simd.exp(-simd.fabs(a[i])))


cdef void logits_backward_a(const real* a, const real* b, const real* y, const real* g, real* da,
                            Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        da[i] = g[i] * (simd.sigmoid(a[i]) - b[i])


cdef void logits_backward_b(const real* a, const real* b, const real* y, const real* g, real* db,
                            Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        db[i] = -g[i] * a[i]


cdef BinaryLoops LOGITS_LOOPS = binary(
    logits_forward[float], logits_forward[double], logits_backward_a[float], logits_backward_a[double],
    logits_backward_b[float], logits_backward_b[double])


@cython.final
@cython.no_gc
cdef class BinaryCrossEntropyWithLogits(Binary):
    """-(b ln s(a) + (1 - b) ln(1 - s(a))), s the sigmoid."""

    def rule(self, Tensor g not None):
        a, b = self.input(0), self.input(1)
        return g * (sigmoid(a) - b), -g * a

    @staticmethod
    def samples(draw):
        samples = binary_samples(
            lambda a, b: binary_cross_entropy_with_logits(a, b, reduction="none"),
            lambda a, b, f: f.where(a > 0, a, 0) - a * b + f.softplus(-f.abs(a)),
            lambda a, b, y, f: (f.sigmoid(a) - b, -a), draw, draw.probability, broadcast=False)
        yield from samples
        yield Sample(binary_cross_entropy_with_logits, [draw(5), draw.probability(5)],
                     lambda a, b: np.mean(samples[0].twin(a, b)))


def binary_cross_entropy_with_logits(input, target, Tensor weight=None, reduction="mean", Tensor pos_weight=None):
    """The cross-entropy between sigmoid(input) and targets, and its mean or sum; right for scores of any size.

    Args:
        input: scores, any shape.
        target: from 0 to 1, of input's shape and dtype.
        weight: multiplies each loss, broadcast; or None.
        reduction: 'mean', 'sum' or 'none'.
        pos_weight: multiplies the part of the loss that belongs to target 1, broadcast; or None.

    Returns:
        A 0-d tensor; for 'none' one of input's shape.

    Raises:
        ValueError: if the shapes differ.
        TypeError: if the dtypes differ or are not float.

    Formula: L = -mean(target ln(s) + (1 - target) ln(1 - s)), s = 1 / (1 + e^-input)

    >>> import microtensor as mt
    >>> mt.binary_cross_entropy_with_logits(mt.tensor([0.0, -1000.0]), mt.tensor([1.0, 0.0]), reduction="none")
    tensor([0.6931, 0.    ])
    """
    cdef Tensor x = as_tensor(input, "input"), t = as_tensor(target, "target")
    reduction = check_reduction(reduction)
    check_pair("binary_cross_entropy_with_logits", x, t)
    if pos_weight is None:
        return reduced(logits_loss(x, t), weight, reduction)
    of_ones = logits_loss(x, constant(wrap(np.ones_like(lent(t.array)))))
    of_zeros = logits_loss(x, constant(wrap(np.zeros_like(lent(t.array)))))
    of_ones = fitting("pos_weight", pos_weight, of_ones) * of_ones
    return reduced(t * of_ones + (1 - t) * of_zeros, weight, reduction)


cdef Tensor logits_loss(Tensor input, Tensor target):
    cdef BinaryCrossEntropyWithLogits op = BinaryCrossEntropyWithLogits.__new__(BinaryCrossEntropyWithLogits)
    return op.apply(&LOGITS_LOOPS, input, target)
