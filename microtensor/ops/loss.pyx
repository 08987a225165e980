"""Losses: mse_loss, l1_loss, cross_entropy, nll_loss, binary_cross_entropy, binary_cross_entropy_with_logits.

The losses of two tensors of one shape are elementwise ops followed by ``mean`` or ``sum``; they refuse to broadcast,
as a loss of (n, 1) against (n,) is a mistake. The losses on class indices are ops of their own, reduction included.
"""

cimport cython
cimport numpy as cnp
from numpy cimport ndarray

from microtensor cimport simd
from microtensor.core cimport Engine, Op, Tensor, contiguous, empty, empty_like, is_float, is_single, record, wrap
from microtensor.ops.axes cimport Axes, axes_of
from microtensor.ops.elementwise cimport Binary
from microtensor.simd cimport real

import numpy as np

from microtensor.ops.activation import log_softmax, sigmoid, softmax
from microtensor.ops.arithmetic import clamp, log, sign
from microtensor.ops.sample import Sample

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
                        "convert one with .to(dtype)")
    return 0


cdef int check_reduction(object reduction) except -1:
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction is 'mean', 'sum' or 'none', not {reduction!r}")
    return 0


cdef bint fits(ndarray target, ndarray x, Py_ssize_t dim) noexcept:
    """Whether the target has x's shape without dimension dim."""
    cdef Py_ssize_t d
    if cnp.PyArray_NDIM(target) != cnp.PyArray_NDIM(x) - 1:
        return False
    for d in range(cnp.PyArray_NDIM(target)):
        if cnp.PyArray_DIM(target, d) != cnp.PyArray_DIM(x, d if d < dim else d + 1):
            return False
    return True


cdef Tensor fitting(str name, Tensor weight, Tensor losses):
    """The weight itself, if it broadcasts to the losses' shape and no further."""
    try:
        np.broadcast_to(weight.array, losses.shape)
    except ValueError:
        raise ValueError(f"{name} of shape {weight.shape} does not fit the losses of shape {losses.shape}") from None
    return weight


cdef Tensor reduced(Tensor losses, object weight, object reduction):
    """Elementwise losses, weighted and reduced."""
    if weight is not None:
        losses = losses * fitting("weight", weight, losses)
    return losses.mean() if reduction == "mean" else losses.sum() if reduction == "sum" else losses


# -- mse_loss ---------------------------------------------------------------------------------------------------
# y = (a - b)^2:   da = 2 g (a - b),  db = -da                           a the input, b the target

cdef void squared_error_forward(const real* a, const real* b, real* y, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        y[i] = (a[i] - b[i]) * (a[i] - b[i])


cdef void squared_error_backward(const real* a, const real* b, const real* g, real* da, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        da[i] = 2 * g[i] * (a[i] - b[i])


@cython.final
@cython.no_gc
cdef class SquaredError(Binary):
    """(a - b)^2."""

    cdef void forward_loop(self, const void* a, const void* b, void* y, Py_ssize_t n) noexcept nogil:
        if self.single:
            squared_error_forward(<const float*>a, <const float*>b, <float*>y, n)
        else:
            squared_error_forward(<const double*>a, <const double*>b, <double*>y, n)

    cdef void backward_loop_a(self, const void* a, const void* b, const void* y, const void* g, void* da,
                              Py_ssize_t n) noexcept nogil:
        if self.single:
            squared_error_backward(<const float*>a, <const float*>b, <const float*>g, <float*>da, n)
        else:
            squared_error_backward(<const double*>a, <const double*>b, <const double*>g, <double*>da, n)

    cdef void backward_loop_b(self, const void* a, const void* b, const void* y, const void* g, void* db,
                              Py_ssize_t n) noexcept nogil:
        self.backward_loop_a(b, a, y, g, db, n)

    def rule(self, Tensor g):
        da = 2 * g * (self.input(0) - self.input(1))
        return da, -da

    @staticmethod
    def samples(draw):
        for shape in ((3, 5), (), (0, 3)):
            yield Sample(lambda a, b: mse_loss(a, b, "none"), [draw(*shape), draw(*shape)], lambda a, b: (a - b) ** 2)
        yield Sample(mse_loss, [draw(3, 5), draw(3, 5)], lambda a, b: np.mean((a - b) ** 2))


def mse_loss(Tensor input not None, Tensor target not None, reduction="mean"):
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
    check_reduction(reduction)
    check_pair("mse_loss", input, target)
    cdef SquaredError op = SquaredError.__new__(SquaredError)
    return reduced(op.apply(input, target), None, reduction)


# -- l1_loss ----------------------------------------------------------------------------------------------------
# y = |a - b|:   da = g sign(a - b),  db = -da                           at the kink a = b the subgradient 0 is taken

cdef void absolute_error_forward(const real* a, const real* b, real* y, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        y[i] = simd.fabs(a[i] - b[i])


cdef void absolute_error_backward(const real* a, const real* b, const real* g, real* da, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        da[i] = g[i] if a[i] > b[i] else -g[i] if a[i] < b[i] else g[i] * (a[i] - b[i])


@cython.final
@cython.no_gc
cdef class AbsoluteError(Binary):
    """|a - b|."""

    cdef void forward_loop(self, const void* a, const void* b, void* y, Py_ssize_t n) noexcept nogil:
        if self.single:
            absolute_error_forward(<const float*>a, <const float*>b, <float*>y, n)
        else:
            absolute_error_forward(<const double*>a, <const double*>b, <double*>y, n)

    cdef void backward_loop_a(self, const void* a, const void* b, const void* y, const void* g, void* da,
                              Py_ssize_t n) noexcept nogil:
        if self.single:
            absolute_error_backward(<const float*>a, <const float*>b, <const float*>g, <float*>da, n)
        else:
            absolute_error_backward(<const double*>a, <const double*>b, <const double*>g, <double*>da, n)

    cdef void backward_loop_b(self, const void* a, const void* b, const void* y, const void* g, void* db,
                              Py_ssize_t n) noexcept nogil:
        self.backward_loop_a(b, a, y, g, db, n)

    def rule(self, Tensor g):
        da = g * sign(self.input(0) - self.input(1))
        return da, -da

    @staticmethod
    def samples(draw):
        for shape in ((3, 5), (), (0, 3)):
            difference = draw.away_from(0, shape=shape)
            target = draw(*shape)
            yield Sample(lambda a, b: l1_loss(a, b, "none"), [target + difference, target], lambda a, b: np.abs(a - b),
                         kinks="where input = target")
        yield Sample(l1_loss, [draw(5) + 9, draw(5)], lambda a, b: np.mean(np.abs(a - b)))


def l1_loss(Tensor input not None, Tensor target not None, reduction="mean"):
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
    check_reduction(reduction)
    check_pair("l1_loss", input, target)
    cdef AbsoluteError op = AbsoluteError.__new__(AbsoluteError)
    return reduced(op.apply(input, target), None, reduction)


# -- binary_cross_entropy ---------------------------------------------------------------------------------------
# y = -(b ln a + (1 - b) ln(1 - a)),  a the probability, b the target
# da = g (a - b) / (a (1 - a)),   db = g (ln(1 - a) - ln a)
# logarithms are cut off at -100 and a (1 - a) at 1e-12, so that a sure and wrong answer costs much, not inf

cdef inline real cut(real x) noexcept nogil:
    return -100 if x < -100 else x


cdef void binary_cross_entropy_forward(const real* a, const real* b, real* y, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        y[i] = -(b[i] * cut(simd.log(a[i])) + (1 - b[i]) * cut(simd.log1p(-a[i])))


cdef void binary_cross_entropy_backward_a(const real* a, const real* b, const real* g, real* da,
                                          Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef real spread
    for i in range(n):
        spread = a[i] * (1 - a[i])
        da[i] = g[i] * (a[i] - b[i]) / (<real>1e-12 if spread < <real>1e-12 else spread)


cdef void binary_cross_entropy_backward_b(const real* a, const real* g, real* db, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        db[i] = g[i] * (cut(simd.log1p(-a[i])) - cut(simd.log(a[i])))


@cython.final
@cython.no_gc
cdef class BinaryCrossEntropy(Binary):
    """-(b ln a + (1 - b) ln(1 - a))."""

    cdef void forward_loop(self, const void* a, const void* b, void* y, Py_ssize_t n) noexcept nogil:
        if self.single:
            binary_cross_entropy_forward(<const float*>a, <const float*>b, <float*>y, n)
        else:
            binary_cross_entropy_forward(<const double*>a, <const double*>b, <double*>y, n)

    cdef void backward_loop_a(self, const void* a, const void* b, const void* y, const void* g, void* da,
                              Py_ssize_t n) noexcept nogil:
        if self.single:
            binary_cross_entropy_backward_a(<const float*>a, <const float*>b, <const float*>g, <float*>da, n)
        else:
            binary_cross_entropy_backward_a(<const double*>a, <const double*>b, <const double*>g, <double*>da, n)

    cdef void backward_loop_b(self, const void* a, const void* b, const void* y, const void* g, void* db,
                              Py_ssize_t n) noexcept nogil:
        if self.single:
            binary_cross_entropy_backward_b(<const float*>a, <const float*>g, <float*>db, n)
        else:
            binary_cross_entropy_backward_b(<const double*>a, <const double*>g, <double*>db, n)

    def rule(self, Tensor g):
        a, b = self.input(0), self.input(1)
        return (g * (a - b) / clamp(a * (1 - a), min=1e-12),
                g * (clamp(log(1 - a), min=-100) - clamp(log(a), min=-100)))

    @staticmethod
    def samples(draw):
        def twin(a, b):
            return -(b * np.log(a) + (1 - b) * np.log(1 - a))

        for shape in ((3, 5), (), (0, 3)):
            yield Sample(lambda a, b: binary_cross_entropy(a, b, reduction="none"),
                         [draw.probability(*shape), draw.probability(*shape)], twin)
        yield Sample(binary_cross_entropy, [draw.probability(5), draw.probability(5)], lambda a, b: np.mean(twin(a, b)))


def binary_cross_entropy(Tensor input not None, Tensor target not None, Tensor weight=None, reduction="mean"):
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
    check_reduction(reduction)
    check_pair("binary_cross_entropy", input, target)
    array = <object>input.array
    if cnp.PyArray_SIZE(input.array) > 0 and not (array.min() >= 0 and array.max() <= 1):
        raise ValueError(f"binary_cross_entropy: inputs are probabilities from 0 to 1, got {array.min():.4g} to "
                         f"{array.max():.4g}: use binary_cross_entropy_with_logits for unbounded scores")
    cdef BinaryCrossEntropy op = BinaryCrossEntropy.__new__(BinaryCrossEntropy)
    return reduced(op.apply(input, target), weight, reduction)


# -- binary_cross_entropy_with_logits ----------------------------------------------------------------------------
# With the probability s(a) = 1 / (1 + e^-a), b the target:
# y = -(b ln s(a) + (1 - b) ln(1 - s(a))) = ln(1 + e^a) - a b
#   = max(a, 0) - a b + ln(1 + e^-|a|)                                   the exponent is never positive
# da = g (s(a) - b),   db = -g a

cdef void logits_forward(const real* a, const real* b, real* y, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        y[i] = (0 if a[i] < 0 else a[i]) - a[i] * b[i] + simd.log1p(simd.exp(-simd.fabs(a[i])))


cdef void logits_backward_a(const real* a, const real* b, const real* g, real* da, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        da[i] = g[i] * (simd.sigmoid(a[i]) - b[i])


cdef void logits_backward_b(const real* a, const real* g, real* db, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        db[i] = -g[i] * a[i]


@cython.final
@cython.no_gc
cdef class BinaryCrossEntropyWithLogits(Binary):
    """-(b ln s(a) + (1 - b) ln(1 - s(a))), s the sigmoid."""

    cdef void forward_loop(self, const void* a, const void* b, void* y, Py_ssize_t n) noexcept nogil:
        if self.single:
            logits_forward(<const float*>a, <const float*>b, <float*>y, n)
        else:
            logits_forward(<const double*>a, <const double*>b, <double*>y, n)

    cdef void backward_loop_a(self, const void* a, const void* b, const void* y, const void* g, void* da,
                              Py_ssize_t n) noexcept nogil:
        if self.single:
            logits_backward_a(<const float*>a, <const float*>b, <const float*>g, <float*>da, n)
        else:
            logits_backward_a(<const double*>a, <const double*>b, <const double*>g, <double*>da, n)

    cdef void backward_loop_b(self, const void* a, const void* b, const void* y, const void* g, void* db,
                              Py_ssize_t n) noexcept nogil:
        if self.single:
            logits_backward_b(<const float*>a, <const float*>g, <float*>db, n)
        else:
            logits_backward_b(<const double*>a, <const double*>g, <double*>db, n)

    def rule(self, Tensor g):
        a, b = self.input(0), self.input(1)
        return g * (sigmoid(a) - b), -g * a

    @staticmethod
    def samples(draw):
        def twin(a, b):
            return np.maximum(a, 0) - a * b + np.log1p(np.exp(-np.abs(a)))

        for shape in ((3, 5), (), (0, 3)):
            yield Sample(lambda a, b: binary_cross_entropy_with_logits(a, b, reduction="none"),
                         [draw(*shape), draw.probability(*shape)], twin)
        yield Sample(binary_cross_entropy_with_logits, [draw(5), draw.probability(5)], lambda a, b: np.mean(twin(a, b)))


def binary_cross_entropy_with_logits(Tensor input not None, Tensor target not None, Tensor weight=None,
                                     reduction="mean", Tensor pos_weight=None):
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
    check_reduction(reduction)
    check_pair("binary_cross_entropy_with_logits", input, target)
    if pos_weight is None:
        return reduced(logits_loss(input, target), weight, reduction)
    of_ones = logits_loss(input, wrap(np.ones_like(target.array)))
    of_zeros = logits_loss(input, wrap(np.zeros_like(target.array)))
    of_ones = fitting("pos_weight", pos_weight, of_ones) * of_ones
    return reduced(target * of_ones + (1 - target) * of_zeros, weight, reduction)


cdef Tensor logits_loss(Tensor input, Tensor target):
    cdef BinaryCrossEntropyWithLogits op = BinaryCrossEntropyWithLogits.__new__(BinaryCrossEntropyWithLogits)
    return op.apply(input, target)


# -- losses on class indices --------------------------------------------------------------------------------------
# x is (N, C), (N, C, d1, ...) or (C,), seen as rows of C scores; t holds one class index per row. A row whose index is
# ignore_index counts nothing. With reduction 'mean' the sum is divided by the sum of the rows' weights w_t.

@cython.no_gc
cdef class ClassLoss(Op):
    """A loss on class indices: keeps the indices, and how the rows are weighted and reduced."""

    cdef bint single, per_row       # per_row: reduction 'none'
    cdef Axes axes                  # rows are (outer, inner), classes are length
    cdef Tensor labels              # the target as given; saved, so that a write to it before backward is noticed
    cdef ndarray target             # int64, (outer, inner)
    cdef ndarray weight             # x's dtype, (C,), or None
    cdef long long ignore_index
    cdef double scale               # 1, or for 'mean' 1 / the sum of the rows' weights

    cdef int prepare(self, str name, Tensor x, Tensor target, Tensor weight, long long ignore_index,
                     object reduction) except -1:
        """Check the arguments, and take over what the loops need."""
        check_reduction(reduction)
        cdef Py_ssize_t dim = 0 if x.ndim == 1 else 1
        if x.ndim == 0:
            raise ValueError(f"{name}: expected input (N, C), (N, C, d1, ...) or (C,), got a 0-d tensor")
        if not is_float(x.array):
            raise TypeError(f"{name}: expected a float input, got {x.dtype}")
        if not cnp.PyArray_ISINTEGER(target.array):
            raise TypeError(f"{name}: class indices must be integers, got a target of dtype {target.dtype}")
        self.axes = axes_of(x.array, dim)
        if not fits(target.array, x.array, dim):
            raise ValueError(f"{name}: input {x.shape} needs a target of shape {x.shape[:dim] + x.shape[dim + 1:]}, "
                             f"one class index per row of scores, got {target.shape}")
        self.single = is_single(x.array)
        self.per_row = reduction == "none"
        self.ignore_index = ignore_index
        self.target = contiguous((<Tensor>target.long()).array)
        self.labels = target
        if weight is not None:
            if weight.shape != (self.axes.length,) or weight.dtype != x.dtype:
                raise ValueError(f"{name}: weight must hold one {x.dtype} per class, shape {(self.axes.length,)}, "
                                 f"got {weight.shape} {weight.dtype}")
            self.weight = np.array(weight.array, order="C")
        cdef const long long* t = <const long long*>cnp.PyArray_DATA(self.target)
        cdef Py_ssize_t i, rows = cnp.PyArray_SIZE(self.target)
        cdef double total = 0
        for i in range(rows):
            if t[i] == ignore_index:
                continue
            if t[i] < 0 or t[i] >= self.axes.length:
                raise IndexError(f"{name}: class index {t[i]} at row {i} is out of range for input {x.shape} with "
                                 f"{self.axes.length} classes")
            total += 1 if self.weight is None else self.weight[t[i]]
        self.scale = 1 / total if reduction == "mean" else 1
        return 0

    cdef Tensor apply(self, Tensor x):
        cdef ndarray x_array = contiguous(x.array)
        cdef int ndim = cnp.PyArray_NDIM(self.target) if self.per_row else 0
        cdef ndarray y = empty(ndim, <Py_ssize_t*>cnp.PyArray_DIMS(self.target), cnp.PyArray_TYPE(x_array))
        cdef const void* weight = NULL if self.weight is None else cnp.PyArray_DATA(self.weight)
        cdef const long long* target = <const long long*>cnp.PyArray_DATA(self.target)
        cdef void* y_data = cnp.PyArray_DATA(y)
        cdef double total = self.forward_loop(cnp.PyArray_DATA(x_array), target, weight,
                                              y_data if self.per_row else NULL)
        if not self.per_row:
            if self.single:
                (<float*>y_data)[0] = <float>(total * self.scale)
            else:
                (<double*>y_data)[0] = total * self.scale
        cdef Tensor result = record(self, y, x)
        if result.op is not None:
            self.save(x, self.labels, None)
        return result

    cdef int backward(self, ndarray g, Engine engine) except -1:
        cdef ndarray x = contiguous(self.a), dx = empty_like(x)
        cdef const void* weight = NULL if self.weight is None else cnp.PyArray_DATA(self.weight)
        cdef const long long* target = <const long long*>cnp.PyArray_DATA(self.target)
        self.backward_loop(cnp.PyArray_DATA(x), target, weight, cnp.PyArray_DATA(g), cnp.PyArray_DATA(dx))
        return engine.give(self, 0, dx)

    cdef double forward_loop(self, const void* x, const long long* target, const void* weight, void* losses):
        """Each row's loss, into losses unless that is NULL; returns their sum."""
        return 0

    cdef void backward_loop(self, const void* x, const long long* target, const void* weight, const void* g, void* dx):
        """dx; g has one element per row, or one in all."""

    cdef Tensor wanted(self, tuple shape, double smoothing):
        """The distribution q that each row of x is held against, times the row's weight; 0 for ignored rows."""
        cdef Py_ssize_t C = self.axes.length
        target = (<object>self.target).reshape(self.axes.outer, self.axes.inner)
        counted = (target != self.ignore_index)[:, None, :]
        weight = np.ones(C) if self.weight is None else self.weight
        one_hot = (np.arange(C)[None, :, None] == target[:, None, :])
        q = ((1 - smoothing) * one_hot + smoothing / C) * weight[None, :, None] * counted
        return wrap(q.reshape(shape).astype(np.float32 if self.single else np.float64))

    cdef Tensor rows_of(self, Tensor g, Py_ssize_t ndim):
        """g, times the scale, shaped to broadcast against x."""
        return (g.unsqueeze(0 if ndim == 1 else 1) if self.per_row else g) * self.scale


# -- cross_entropy ------------------------------------------------------------------------------------------------
# For one row of scores x, with p = softmax(x) and the distribution q that is wanted: q_c = [c = t], or with label
# smoothing e: (1 - e) [c = t] + e/C. Classes have weights w_c.
#     L = -sum_c w_c q_c ln p_c = sum_c w_c q_c (lse - x_c),   lse = ln(sum_c e^x_c)
# d lse/dx_c = p_c, so
#     dx_c = g (p_c sum_k w_k q_k  -  w_c q_c)                           for q = one-hot and w = 1:  g (p_c - [c = t])

cdef inline double row_statistics(const real* x, Py_ssize_t C, Py_ssize_t stride, real* m) noexcept nogil:
    """The sum of e^(x_c - m), m the largest x_c."""
    cdef Py_ssize_t c
    cdef double total = 0
    m[0] = x[0]
    for c in range(1, C):
        m[0] = x[c * stride] if x[c * stride] > m[0] else m[0]
    for c in range(C):
        total += simd.exp(x[c * stride] - m[0])
    return total


cdef double cross_entropy_forward(const real* x, const long long* target, const real* weight, double smoothing,
                                  long long ignore_index, real* losses, Axes axes) noexcept nogil:
    cdef Py_ssize_t o, i, c, at, C = axes.length, stride = axes.inner
    cdef const real* row
    cdef double lse, loss, total = 0
    cdef real m
    for o in range(axes.outer):
        for i in range(stride):
            at = o * stride + i
            if target[at] == ignore_index:
                if losses != NULL:
                    losses[at] = 0
                continue
            row = x + o * C * stride + i
            lse = row_statistics(row, C, stride, &m)
            lse = simd.log(lse)
            loss = (1 - smoothing) * (lse + (m - row[target[at] * stride]))
            if weight != NULL:
                loss *= weight[target[at]]
            if smoothing != 0:
                for c in range(C):
                    loss += smoothing / C * (lse + (m - row[c * stride])) * (1 if weight == NULL else weight[c])
            if losses != NULL:
                losses[at] = <real>loss
            total += loss
    return total


cdef void cross_entropy_backward(const real* x, const long long* target, const real* weight, double smoothing,
                                 long long ignore_index, const real* g, bint per_row, double scale, real* dx,
                                 Axes axes) noexcept nogil:
    cdef Py_ssize_t o, i, c, at, C = axes.length, stride = axes.inner
    cdef const real* row
    cdef real* d
    cdef double q_sum, row_scale, w_target, weights = C
    cdef real m, factor
    if weight != NULL:
        weights = 0
        for c in range(C):
            weights += weight[c]
    for o in range(axes.outer):
        for i in range(stride):
            at = o * stride + i
            row = x + o * C * stride + i
            d = dx + o * C * stride + i
            if target[at] == ignore_index:
                for c in range(C):
                    d[c * stride] = 0
                continue
            row_scale = scale * g[at if per_row else 0]
            w_target = (1 - smoothing) * (1 if weight == NULL else weight[target[at]])
            q_sum = w_target + smoothing / C * weights
            factor = <real>(row_scale * q_sum / row_statistics(row, C, stride, &m))
            for c in range(C):
                d[c * stride] = factor * simd.exp(row[c * stride] - m)
            d[target[at] * stride] -= <real>(row_scale * w_target)
            if smoothing != 0:
                for c in range(C):
                    d[c * stride] -= <real>(row_scale * smoothing / C * (1 if weight == NULL else weight[c]))


@cython.final
@cython.no_gc
cdef class CrossEntropy(ClassLoss):
    """-ln softmax(x)_t for each row."""

    cdef double smoothing

    cdef double forward_loop(self, const void* x, const long long* target, const void* weight, void* losses):
        if self.single:
            return cross_entropy_forward(<const float*>x, target, <const float*>weight, self.smoothing,
                                         self.ignore_index, <float*>losses, self.axes)
        return cross_entropy_forward(<const double*>x, target, <const double*>weight, self.smoothing,
                                     self.ignore_index, <double*>losses, self.axes)

    cdef void backward_loop(self, const void* x, const long long* target, const void* weight, const void* g, void* dx):
        if self.single:
            cross_entropy_backward(<const float*>x, target, <const float*>weight, self.smoothing, self.ignore_index,
                                   <const float*>g, self.per_row, self.scale, <float*>dx, self.axes)
        else:
            cross_entropy_backward(<const double*>x, target, <const double*>weight, self.smoothing, self.ignore_index,
                                   <const double*>g, self.per_row, self.scale, <double*>dx, self.axes)

    def rule(self, Tensor g):
        x = self.input(0)
        dim = 0 if x.ndim == 1 else 1
        q = self.wanted(x.shape, self.smoothing)
        return (self.rows_of(g, x.ndim) * (softmax(x, dim) * q.sum(dim, keepdim=True) - q),)

    @staticmethod
    def samples(draw):
        def twin(x, t, w, e, ignore, reduction):
            shape, C, inner = t.shape, x.shape[1], int(np.prod(x.shape[2:]))
            x, t = x.reshape(len(x), C, inner), t.reshape(len(x), inner)
            logp = x - np.log(np.exp(x).sum(1, keepdims=True))
            q = (1 - e) * (np.arange(C)[None, :, None] == t[:, None]) + e / C
            rows = -(q * w[None, :, None] * logp).sum(1) * (t != ignore)
            if reduction == "none":
                return rows.reshape(shape)
            return rows.sum() / ((w[t.clip(0)] * (t != ignore)).sum() if reduction == "mean" else 1)

        w = draw.positive(5)
        for shape, weight, smoothing, ignore, reduction in (
                ((7, 5), None, 0, -100, "mean"), ((7, 5), None, 0, 2, "sum"), ((7, 5), None, 0, 2, "none"),
                ((7, 5), w, 0.1, 2, "mean"), ((3, 5, 2, 2), w, 0.1, -100, "mean"), ((3, 5, 2), w, 0, 1, "none"),
                ((0, 5), None, 0, -100, "sum")):
            t = draw.integers(5, shape[0], *shape[2:])
            yield Sample(
                lambda x, t=t, w=weight, e=smoothing, i=ignore, r=reduction: cross_entropy(
                    x, wrap(np.asarray(t)), None if w is None else wrap(w.astype(x.dtype)), i, r, e),
                [draw(*shape)],
                lambda x, t=t, w=weight, e=smoothing, i=ignore, r=reduction: twin(x, t, np.ones(5) if w is None else w,
                                                                                  e, i, r))
        yield Sample(lambda x: cross_entropy(x, wrap(np.asarray(2))), [draw(5)],
                     lambda x: np.log(np.exp(x).sum()) - x[2])


def cross_entropy(Tensor input not None, Tensor target not None, Tensor weight=None, ignore_index=-100,
                  reduction="mean", double label_smoothing=0.0):
    """The cross-entropy between softmax(input) and the wanted classes: the loss of classification.

    Args:
        input: scores (logits), (N, C), (N, C, d1, ...) or (C,).
        target: class indices, integers of shape (N,), (N, d1, ...) or (); or probabilities of input's shape and dtype.
        weight: one number per class, (C,), of input's dtype; or None.
        ignore_index: rows with this class index count nothing.
        reduction: 'mean' (over rows, weighted by their classes' weights for class indices), 'sum' or 'none'.
        label_smoothing: how much of the wanted distribution is spread evenly over all classes, from 0 to 1.

    Returns:
        A 0-d tensor; for 'none' one loss per row.

    Raises:
        ValueError: if shapes do not match or label_smoothing is outside [0, 1].
        IndexError: if a class index is out of range.
        TypeError: if a dtype does not fit.

    Formula: L = -sum_c w_c q_c ln softmax(input)_c, q the wanted distribution

    >>> import microtensor as mt
    >>> mt.cross_entropy(mt.tensor([[0.0, 0.0], [0.0, 1000.0]]), mt.tensor([0, 1]))
    tensor(0.3466)
    """
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"cross_entropy: label_smoothing must be from 0 to 1, got {label_smoothing}")
    cdef CrossEntropy op
    if is_float(target.array):
        return _cross_entropy_of_probabilities(input, target, weight, ignore_index, reduction, label_smoothing)
    op = CrossEntropy.__new__(CrossEntropy)
    op.smoothing = label_smoothing
    op.prepare("cross_entropy", input, target, weight, ignore_index, reduction)
    return op.apply(input)


def _cross_entropy_of_probabilities(Tensor input, Tensor target, Tensor weight, ignore_index, reduction,
                                    double label_smoothing):
    """cross_entropy where the wanted distribution is given: a composite, differentiable in both arguments."""
    check_reduction(reduction)
    if target.shape != input.shape:
        raise ValueError(f"cross_entropy: a float target holds probabilities and needs the input's shape "
                         f"{input.shape}, got {target.shape}; class indices must be integers: use target.long()")
    check_pair("cross_entropy", input, target)
    if weight is not None and weight.shape != input.shape[min(input.ndim - 1, 1):][:1]:
        raise ValueError(f"cross_entropy: weight must hold one number per class of input {input.shape}, got "
                         f"{weight.shape}")
    if ignore_index != -100:
        raise ValueError("cross_entropy: ignore_index has no meaning where the target holds probabilities")
    dim = 0 if input.ndim == 1 else 1
    classes = input.shape[dim]
    if label_smoothing:
        target = (1 - label_smoothing) * target + label_smoothing / classes
    losses = -(target * log_softmax(input, dim))
    if weight is not None:
        losses = losses * weight.reshape((classes,) + (1,) * (input.ndim - dim - 1))
    losses = losses.sum(dim)
    return reduced(losses, None, reduction)


# -- nll_loss -----------------------------------------------------------------------------------------------------
# For one row of log-probabilities x:   L = -w_t x_t;   dx_c = -g w_t where c = t, 0 elsewhere

cdef double nll_forward(const real* x, const long long* target, const real* weight, long long ignore_index,
                        real* losses, Axes axes) noexcept nogil:
    cdef Py_ssize_t o, i, at, C = axes.length, stride = axes.inner
    cdef double total = 0
    cdef real loss
    for o in range(axes.outer):
        for i in range(stride):
            at = o * stride + i
            loss = 0
            if target[at] != ignore_index:
                loss = -x[(o * C + target[at]) * stride + i] * (1 if weight == NULL else weight[target[at]])
            if losses != NULL:
                losses[at] = loss
            total += loss
    return total


cdef void nll_backward(const long long* target, const real* weight, long long ignore_index, const real* g,
                       bint per_row, double scale, real* dx, Axes axes) noexcept nogil:
    cdef Py_ssize_t o, i, c, at, C = axes.length, stride = axes.inner
    for o in range(axes.outer):
        for c in range(C):
            for i in range(stride):
                dx[(o * C + c) * stride + i] = 0
        for i in range(stride):
            at = o * stride + i
            if target[at] != ignore_index:
                dx[(o * C + target[at]) * stride + i] = \
                    <real>(-scale * g[at if per_row else 0] * (1 if weight == NULL else weight[target[at]]))


@cython.final
@cython.no_gc
cdef class NLLLoss(ClassLoss):
    """-x_t for each row of log-probabilities x."""

    cdef double forward_loop(self, const void* x, const long long* target, const void* weight, void* losses):
        if self.single:
            return nll_forward(<const float*>x, target, <const float*>weight, self.ignore_index, <float*>losses,
                               self.axes)
        return nll_forward(<const double*>x, target, <const double*>weight, self.ignore_index, <double*>losses,
                           self.axes)

    cdef void backward_loop(self, const void* x, const long long* target, const void* weight, const void* g, void* dx):
        if self.single:
            nll_backward(target, <const float*>weight, self.ignore_index, <const float*>g, self.per_row, self.scale,
                         <float*>dx, self.axes)
        else:
            nll_backward(target, <const double*>weight, self.ignore_index, <const double*>g, self.per_row, self.scale,
                         <double*>dx, self.axes)

    def rule(self, Tensor g):
        shape = (<object>self.a).shape
        return (-(self.rows_of(g, len(shape)) * self.wanted(shape, 0)),)

    @staticmethod
    def samples(draw):
        t, w = draw.integers(5, 7), draw.positive(5)
        rows = np.arange(7)
        yield Sample(lambda x: nll_loss(x, wrap(t)), [draw(7, 5)], lambda x: -x[rows, t].mean())
        yield Sample(lambda x: nll_loss(x, wrap(t), wrap(w.astype(x.dtype))), [draw(7, 5)],
                     lambda x: -(w[t] * x[rows, t]).sum() / w[t].sum())
        yield Sample(lambda x: nll_loss(x, wrap(t), None, 2, "none"), [draw(7, 5)],
                     lambda x: -x[rows, t] * (t != 2))
        yield Sample(lambda x: nll_loss(x, wrap(t[:0]), reduction="sum"), [draw(0, 5)], np.sum)


def nll_loss(Tensor input not None, Tensor target not None, Tensor weight=None, ignore_index=-100, reduction="mean"):
    """The negative log-likelihood of the wanted classes.

    Args:
        input: log-probabilities, (N, C), (N, C, d1, ...) or (C,), as ``log_softmax`` gives them.
        target: class indices, integers of shape (N,), (N, d1, ...) or ().
        weight: one number per class, (C,), of input's dtype; or None.
        ignore_index: rows with this class index count nothing.
        reduction: 'mean' (over rows, weighted by their classes' weights), 'sum' or 'none'.

    Returns:
        A 0-d tensor; for 'none' one loss per row.

    Raises:
        ValueError: if shapes do not match.
        IndexError: if a class index is out of range.
        TypeError: if a dtype does not fit.

    Formula: L = -w_t input_t

    >>> import microtensor as mt
    >>> mt.nll_loss(mt.tensor([[-0.5, -1.0]]), mt.tensor([1]))
    tensor(1.)
    """
    cdef NLLLoss op = NLLLoss.__new__(NLLLoss)
    op.prepare("nll_loss", input, target, weight, ignore_index, reduction)
    return op.apply(input)
