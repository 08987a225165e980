"""Losses: mse_loss, l1_loss, cross_entropy, nll_loss, binary_cross_entropy, binary_cross_entropy_with_logits.

The losses of two tensors of one shape are elementwise ops followed by ``mean`` or ``sum``; they refuse to broadcast,
as a loss of (n, 1) against (n,) is a mistake. The losses on class indices are ops of their own, reduction included.
"""

cimport cython
cimport numpy as cnp
from cython.parallel cimport prange
from numpy cimport ndarray

from microtensor.kernels cimport simd
from microtensor.core cimport Engine, Op, Tensor, contiguous, empty, empty_like, is_float, is_single, record, wrap
from microtensor.ops.axes cimport Axes, axes_of
from microtensor.ops.elementwise cimport Binary
from microtensor.kernels.sums cimport larger, max_run, sum_run
from microtensor.kernels.simd cimport real
from microtensor.kernels.threads cimport PARALLEL_ELEMENTS, RELEASE_ELEMENTS, share, threads_for

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
        da[i] = <real>2 * g[i] * (a[i] - b[i])


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
        y[i] = -(b[i] * cut(simd.log(a[i])) + (<real>1 - b[i]) * cut(simd.log1p(-a[i])))


cdef void binary_cross_entropy_backward_a(const real* a, const real* b, const real* g, real* da,
                                          Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef real spread
    for i in range(n):
        spread = a[i] * (<real>1 - a[i])
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

cdef struct Rows:
    const long long* target         # one class index per row
    const void* weight              # one number per class, or NULL
    long long ignore_index
    Axes axes                       # rows are (outer, inner), classes are length


cdef Py_ssize_t first_outside(Rows rows) noexcept nogil:
    """The first row that counts and whose class index is out of range; -1 if there is none."""
    cdef Py_ssize_t i, outside = 0
    for i in range(rows.axes.outer * rows.axes.inner):
        outside += rows.target[i] != rows.ignore_index and not 0 <= rows.target[i] < rows.axes.length
    if outside == 0:
        return -1
    i = 0
    while rows.target[i] == rows.ignore_index or 0 <= rows.target[i] < rows.axes.length:
        i += 1
    return i


cdef double total_weight(const real* weight, Rows rows) noexcept nogil:
    """The sum of the weights of the rows' classes; without weights, how many rows count."""
    cdef Py_ssize_t i
    cdef double total = 0
    if weight == NULL:
        for i in range(rows.axes.outer * rows.axes.inner):
            total += rows.target[i] != rows.ignore_index
        return total
    for i in range(rows.axes.outer * rows.axes.inner):
        total += weight[rows.target[i]] if rows.target[i] != rows.ignore_index else 0
    return total


@cython.no_gc
cdef class ClassLoss(Op):
    """A loss on class indices: keeps the indices, and how the rows are weighted and reduced."""

    cdef bint single, per_row       # per_row: reduction 'none'
    cdef Rows rows                  # for the loops; it points into target and weight
    cdef Tensor labels              # the target as given; saved, so that a write to it before backward is noticed
    cdef ndarray target             # int64, (outer, inner)
    cdef ndarray weight             # x's dtype, (C,), or None
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
        if not fits(target.array, x.array, dim):
            raise ValueError(f"{name}: input {x.shape} needs a target of shape {x.shape[:dim] + x.shape[dim + 1:]}, "
                             f"one class index per row of scores, got {target.shape}")
        self.single = is_single(x.array)
        self.per_row = reduction == "none"
        self.labels = target
        if cnp.PyArray_TYPE(target.array) != cnp.NPY_INT64:
            target = target.long()
        self.target = contiguous(target.array)
        self.rows.axes = axes_of(x.array, dim)
        self.rows.target = <const long long*>cnp.PyArray_DATA(self.target)
        self.rows.ignore_index = ignore_index
        self.rows.weight = NULL
        cdef Py_ssize_t C = self.rows.axes.length
        if weight is not None:
            if weight.shape != (C,) or weight.dtype != x.dtype:
                raise ValueError(f"{name}: weight must hold one {x.dtype} per class, shape {(C,)}, got {weight.shape} "
                                 f"{weight.dtype}")
            self.weight = np.array(weight.array, order="C")
            self.rows.weight = cnp.PyArray_DATA(self.weight)
        cdef Py_ssize_t wrong = first_outside(self.rows)
        if wrong >= 0:
            raise IndexError(f"{name}: class index {self.rows.target[wrong]} at row {wrong} is out of range for input "
                             f"{x.shape} with {C} classes")
        self.scale = 1
        if reduction == "mean":
            self.scale = 1 / (total_weight(<const float*>self.rows.weight, self.rows) if self.single else
                              total_weight(<const double*>self.rows.weight, self.rows))
        return 0

    cdef Tensor apply(self, Tensor x):
        cdef ndarray x_array = contiguous(x.array)
        cdef int ndim = cnp.PyArray_NDIM(self.target) if self.per_row else 0
        cdef ndarray y = empty(ndim, <Py_ssize_t*>cnp.PyArray_DIMS(self.target), cnp.PyArray_TYPE(x_array))
        cdef ndarray kept = self.room_for_backward(x_array)
        cdef const void* x_data = cnp.PyArray_DATA(x_array)
        cdef void* y_data = cnp.PyArray_DATA(y)
        cdef void* losses = y_data if self.per_row else NULL
        cdef void* kept_data = NULL if kept is None else cnp.PyArray_DATA(kept)
        cdef double total
        if cnp.PyArray_SIZE(x_array) < RELEASE_ELEMENTS:
            total = self.forward_loop(x_data, losses, kept_data)
        else:
            with nogil:
                total = self.forward_loop(x_data, losses, kept_data)
        if not self.per_row:
            if self.single:
                (<float*>y_data)[0] = <float>(total * self.scale)
            else:
                (<double*>y_data)[0] = total * self.scale
        cdef Tensor result = record(self, y, x)
        if result.op is not None:
            self.save(x, self.labels, None)
            self.context = kept
        return result

    cdef int backward(self, ndarray g, Engine engine) except -1:
        cdef ndarray dx = empty_like(self.a), kept = self.context
        cdef const void* g_data = cnp.PyArray_DATA(g)
        cdef void* dx_data = cnp.PyArray_DATA(dx)
        cdef const void* kept_data = NULL if kept is None else cnp.PyArray_DATA(kept)
        if cnp.PyArray_SIZE(dx) < RELEASE_ELEMENTS:
            self.backward_loop(kept_data, g_data, dx_data)
        else:
            with nogil:
                self.backward_loop(kept_data, g_data, dx_data)
        return engine.give(self, 0, dx)

    cdef ndarray room_for_backward(self, ndarray x):
        """An array for forward_loop to fill in and backward_loop to read; by default none."""
        return None

    cdef double forward_loop(self, const void* x, void* losses, void* kept) noexcept nogil:
        """Each row's loss, into losses unless that is NULL; returns their sum."""
        return 0

    cdef void backward_loop(self, const void* kept, const void* g, void* dx) noexcept nogil:
        """dx; g has one element per row, or one in all."""

    cdef Tensor wanted(self, tuple shape, double smoothing):
        """The distribution q that each row of x is held against, times the row's weight; 0 for ignored rows."""
        cdef Py_ssize_t C = self.rows.axes.length
        target = (<object>self.target).reshape(self.rows.axes.outer, self.rows.axes.inner)
        counted = (target != self.rows.ignore_index)[:, None, :]
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

# Forward keeps p, so that backward is one multiplication per score. It takes the rows in blocks that stay in the
# first-level cache: scores come from memory once, and e^(x - m) is one vector loop over all of a block.

cdef enum:
    BLOCK_SCORES = 4096         # 16 KiB of float32
    BLOCK_ROWS = 128
    MAX_PARTS = 64              # threads with a sum each
    SCORES_PER_THREAD = PARALLEL_ELEMENTS // 4      # an exponential and a few more passes for each


cdef struct Block:
    Py_ssize_t start, n         # its first score; how many rows
    Py_ssize_t row              # the number of its first row
    Py_ssize_t row_step, class_step     # from a score to the next row's, and to the next class's: one of the two is 1


cdef inline Py_ssize_t rows_per_block(Axes axes) noexcept nogil:
    """As many as fit; at least a cache line of them where it is the scores of one class that are adjacent."""
    cdef Py_ssize_t rows = BLOCK_SCORES // max(axes.length, 1)
    return min(max(rows, 1 if axes.inner == 1 else 16), BLOCK_ROWS)


cdef inline Py_ssize_t count_blocks(Axes axes) noexcept nogil:
    cdef Py_ssize_t rows = rows_per_block(axes)
    if axes.inner == 1:
        return (axes.outer + rows - 1) // rows
    return axes.outer * ((axes.inner + rows - 1) // rows)


cdef inline Block block_of(Axes axes, Py_ssize_t number) noexcept nogil:
    cdef Block block
    cdef Py_ssize_t rows = rows_per_block(axes), per_outer, o
    if axes.inner == 1:
        block.row = number * rows
        block.n = min(rows, axes.outer - block.row)
        block.start = block.row * axes.length
        block.row_step, block.class_step = axes.length, 1
    else:
        per_outer = (axes.inner + rows - 1) // rows
        o = number // per_outer
        block.row = o * axes.inner + number % per_outer * rows
        block.n = min(rows, (o + 1) * axes.inner - block.row)
        block.start = block.row + o * (axes.length - 1) * axes.inner
        block.row_step, block.class_step = 1, axes.inner
    return block


cdef void exponentials(const real* x, real* p, Py_ssize_t C, Block block, real* m, double* total) noexcept nogil:
    """p = e^(x - m), with each row's largest x in m and its sum of p in total."""
    cdef Py_ssize_t r, c
    if block.class_step == 1:
        for r in range(block.n):
            m[r] = max_run(x + r * C, C)
            for c in range(C):
                p[r * C + c] = x[r * C + c] - m[r]
        for c in range(block.n * C):
            p[c] = simd.exp(p[c])
        for r in range(block.n):
            total[r] = sum_run(p + r * C, C)
        return
    for r in range(block.n):
        m[r] = -<real>simd.INFINITY
        total[r] = 0
    for c in range(C):
        for r in range(block.n):
            m[r] = larger(m[r], x[c * block.class_step + r])
    for c in range(C):
        for r in range(block.n):
            p[c * block.class_step + r] = simd.exp(x[c * block.class_step + r] - m[r])
            total[r] += p[c * block.class_step + r]


cdef void scale_rows(const real* p, const real* factor, real* y, Py_ssize_t C, Block block) noexcept nogil:
    """y = factor p, one factor for each row."""
    cdef Py_ssize_t r, c
    if block.class_step == 1:
        for r in range(block.n):
            for c in range(C):
                y[r * C + c] = factor[r] * p[r * C + c]
    else:
        for c in range(C):
            for r in range(block.n):
                y[c * block.class_step + r] = factor[r] * p[c * block.class_step + r]


cdef double cross_entropy_block(const real* x, const real* weight, double smoothing, real* losses, real* p, Rows rows,
                                Block block) noexcept nogil:
    """Fill in the block's p, and its losses unless that is NULL; returns their sum."""
    cdef Py_ssize_t r, c, C = rows.axes.length
    cdef long long t
    cdef real m[BLOCK_ROWS]
    cdef real factor[BLOCK_ROWS]
    cdef double total[BLOCK_ROWS]
    cdef double loss, result = 0
    exponentials(x, p, C, block, m, total)
    for r in range(block.n):
        factor[r] = <real>(1 / total[r])
        total[r] = simd.log(total[r])
    scale_rows(p, factor, p, C, block)
    for r in range(block.n):
        t = rows.target[block.row + r]
        loss = 0
        if t == rows.ignore_index:
            for c in range(C):
                p[r * block.row_step + c * block.class_step] = 0        # and with it dx
        else:
            loss = (1 - smoothing) * (total[r] + (m[r] - x[r * block.row_step + t * block.class_step]))
            if weight != NULL:
                loss *= weight[t]
            if smoothing != 0:
                for c in range(C):
                    loss += smoothing / C * (total[r] + (m[r] - x[r * block.row_step + c * block.class_step])) \
                        * (1 if weight == NULL else weight[c])
        if losses != NULL:
            losses[block.row + r] = <real>loss
        result += loss
    return result


cdef double cross_entropy_blocks(const real* x, const real* weight, double smoothing, real* losses, real* p, Rows rows,
                                 Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef Py_ssize_t number
    cdef Block block
    cdef double total = 0
    for number in range(first, last):
        block = block_of(rows.axes, number)
        total += cross_entropy_block(x + block.start, weight, smoothing, losses, p + block.start, rows, block)
    return total


cdef double cross_entropy_forward(const real* x, const real* weight, double smoothing, real* losses, real* p,
                                  Rows rows) noexcept nogil:
    cdef Py_ssize_t part, parts, blocks = count_blocks(rows.axes)
    cdef double sums[MAX_PARTS]
    cdef double total = 0
    parts = min(threads_for(rows.axes.outer * rows.axes.length * rows.axes.inner, SCORES_PER_THREAD), MAX_PARTS)
    if parts == 1:
        return cross_entropy_blocks(x, weight, smoothing, losses, p, rows, 0, blocks)
    for part in prange(parts, num_threads=<int>parts, schedule="static"):
        sums[part] = cross_entropy_blocks(x, weight, smoothing, losses, p, rows, share(part, parts, blocks, 1),
                                          share(part + 1, parts, blocks, 1))
    for part in range(parts):
        total += sums[part]
    return total


cdef void cross_entropy_gradients(const real* p, const real* weight, double smoothing, const real* g, bint per_row,
                                  double scale, real* dx, Rows rows, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """dx of some blocks."""
    cdef Py_ssize_t number, r, c, C = rows.axes.length
    cdef long long t
    cdef Block block
    cdef real factor[BLOCK_ROWS]
    cdef double row_scale, w, even = smoothing / C, all_weights = C
    cdef real* d
    if weight != NULL:
        all_weights = sum_run(weight, C)
    for number in range(first, last):
        block = block_of(rows.axes, number)
        d = dx + block.start
        for r in range(block.n):
            t = rows.target[block.row + r]
            factor[r] = 0
            if t != rows.ignore_index:
                w = 1 if weight == NULL else weight[t]
                factor[r] = <real>(scale * g[block.row + r if per_row else 0]
                                   * ((1 - smoothing) * w + even * all_weights))
        scale_rows(p + block.start, factor, d, C, block)
        for r in range(block.n):
            t = rows.target[block.row + r]
            if t == rows.ignore_index:
                continue
            row_scale = scale * g[block.row + r if per_row else 0]
            w = 1 if weight == NULL else weight[t]
            d[r * block.row_step + t * block.class_step] -= <real>(row_scale * (1 - smoothing) * w)
            if smoothing != 0:
                for c in range(C):
                    d[r * block.row_step + c * block.class_step] -= \
                        <real>(row_scale * even * (1 if weight == NULL else weight[c]))


cdef void cross_entropy_backward(const real* p, const real* weight, double smoothing, const real* g, bint per_row,
                                 double scale, real* dx, Rows rows) noexcept nogil:
    cdef Py_ssize_t part, blocks = count_blocks(rows.axes)
    cdef Py_ssize_t parts = threads_for(rows.axes.outer * rows.axes.length * rows.axes.inner, PARALLEL_ELEMENTS)
    if parts == 1:
        cross_entropy_gradients(p, weight, smoothing, g, per_row, scale, dx, rows, 0, blocks)
        return
    for part in prange(parts, num_threads=<int>parts, schedule="static"):
        cross_entropy_gradients(p, weight, smoothing, g, per_row, scale, dx, rows, share(part, parts, blocks, 1),
                                share(part + 1, parts, blocks, 1))


@cython.final
@cython.no_gc
cdef class CrossEntropy(ClassLoss):
    """-ln softmax(x)_t for each row."""

    cdef double smoothing

    cdef ndarray room_for_backward(self, ndarray x):
        return empty_like(x)

    cdef double forward_loop(self, const void* x, void* losses, void* kept) noexcept nogil:
        if self.single:
            return cross_entropy_forward(<const float*>x, <const float*>self.rows.weight, self.smoothing,
                                         <float*>losses, <float*>kept, self.rows)
        return cross_entropy_forward(<const double*>x, <const double*>self.rows.weight, self.smoothing,
                                     <double*>losses, <double*>kept, self.rows)

    cdef void backward_loop(self, const void* kept, const void* g, void* dx) noexcept nogil:
        if self.single:
            cross_entropy_backward(<const float*>kept, <const float*>self.rows.weight, self.smoothing, <const float*>g,
                                   self.per_row, self.scale, <float*>dx, self.rows)
        else:
            cross_entropy_backward(<const double*>kept, <const double*>self.rows.weight, self.smoothing,
                                   <const double*>g, self.per_row, self.scale, <double*>dx, self.rows)

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
        for reduction in ("mean", "none"):
            yield Sample(lambda x, r=reduction: cross_entropy(x, wrap(np.asarray(2)), reduction=r), [draw(5)],
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

cdef double nll_forward(const real* x, const real* weight, real* losses, Rows rows) noexcept nogil:
    cdef Py_ssize_t o, i, at, C = rows.axes.length, inner = rows.axes.inner
    cdef long long t
    cdef double total = 0
    cdef real loss
    for o in range(rows.axes.outer):
        for i in range(inner):
            at = o * inner + i
            t = rows.target[at]
            loss = 0
            if t != rows.ignore_index:
                loss = -x[(o * C + t) * inner + i] * (1 if weight == NULL else weight[t])
            if losses != NULL:
                losses[at] = loss
            total += loss
    return total


cdef void nll_backward(const real* weight, const real* g, bint per_row, double scale, real* dx,
                       Rows rows) noexcept nogil:
    cdef Py_ssize_t o, i, at, C = rows.axes.length, inner = rows.axes.inner
    cdef long long t
    for i in range(rows.axes.outer * C * inner):
        dx[i] = 0
    for o in range(rows.axes.outer):
        for i in range(inner):
            at = o * inner + i
            t = rows.target[at]
            if t != rows.ignore_index:
                dx[(o * C + t) * inner + i] = \
                    <real>(-scale * g[at if per_row else 0] * (1 if weight == NULL else weight[t]))


@cython.final
@cython.no_gc
cdef class NLLLoss(ClassLoss):
    """-x_t for each row of log-probabilities x."""

    cdef double forward_loop(self, const void* x, void* losses, void* kept) noexcept nogil:
        if self.single:
            return nll_forward(<const float*>x, <const float*>self.rows.weight, <float*>losses, self.rows)
        return nll_forward(<const double*>x, <const double*>self.rows.weight, <double*>losses, self.rows)

    cdef void backward_loop(self, const void* kept, const void* g, void* dx) noexcept nogil:
        if self.single:
            nll_backward(<const float*>self.rows.weight, <const float*>g, self.per_row, self.scale, <float*>dx,
                         self.rows)
        else:
            nll_backward(<const double*>self.rows.weight, <const double*>g, self.per_row, self.scale, <double*>dx,
                         self.rows)

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
