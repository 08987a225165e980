"""Reductions over all elements or along dimensions: sum, mean, var, amax, max, logsumexp; std, min, amin, argmax.

x is the input, y the output, g = dL/dy, dx = dL/dx, n the number of elements that make one output. Loops see x as
(outer, length, inner), see axes.pyx: y and g have (outer, inner), and n = length.

Sums are taken in double, so a float32 sum of ten million elements is right to its last digit.
"""

cimport cython
cimport numpy as cnp
from numpy cimport ndarray

from microtensor cimport simd
from microtensor.core cimport Engine, Op, Tensor, contiguous, is_float, is_single, late, record, wrap
from microtensor.ops.axes cimport Arrangement, Axes, arrangement_of, normal_dim
from microtensor.ops.elementwise cimport as_float
from microtensor.simd cimport real

import warnings

import numpy as np

from microtensor.ops.arithmetic import exp, maximum, minimum, sqrt, where
from microtensor.ops.sample import Sample

cnp.import_array()

cdef enum:
    LANES = 16          # partial sums of one run, for vector registers to hold
    COLUMNS = 128       # columns whose partial sums stay in the first-level cache


@cython.no_gc
cdef class Reduction(Op):
    """An op that makes one element of each run along the reduced dimensions."""

    cdef bint single
    cdef Arrangement arrangement

    cdef Tensor apply(self, Tensor x, object dim, bint keepdim):
        x = as_float(x)
        self.arrangement = arrangement_of(x.array, dim)
        self.single = is_single(x.array)
        cdef ndarray x_array = self.arrangement.arrange(x.array)
        cdef ndarray y_array = np.empty(self.arrangement.kept, x.array.dtype)
        self.check(x)
        self.forward_loop(cnp.PyArray_DATA(x_array), cnp.PyArray_DATA(y_array), self.arrangement.axes)
        if not keepdim:
            y_array = (<object>y_array).reshape(self.arrangement.rest)
        cdef Tensor y = record(self, y_array, x)
        if y.op is not None:
            self.keep(x, y)
        return y

    cdef int backward(self, ndarray g, Engine engine) except -1:
        cdef ndarray dx = np.empty(self.arrangement.shape, (<object>g).dtype)
        cdef ndarray x = None if self.a is None else self.arrangement.arrange(self.a)
        self.backward_loop(NULL if x is None else cnp.PyArray_DATA(x),
                           NULL if self.y is None else cnp.PyArray_DATA(contiguous(self.y)),
                           cnp.PyArray_DATA(g), cnp.PyArray_DATA(dx), self.arrangement.axes)
        return engine.give(self, 0, self.arrangement.restore(dx))

    cdef int check(self, Tensor x) except -1:
        """Raise for an x that cannot be reduced."""
        return 0

    cdef void keep(self, Tensor x, Tensor y):
        """Save what backward reads: by default nothing."""

    cdef void forward_loop(self, const void* x, void* y, Axes axes):
        """y of (outer, inner) from x of (outer, length, inner)."""

    cdef void backward_loop(self, const void* x, const void* y, const void* g, void* dx, Axes axes):
        """dx of (outer, length, inner). Of x and y those that keep() saved are there, the others NULL."""

    cdef Tensor spread(self, Tensor g):
        """An output-shaped tensor with the reduced dimensions put back as 1, for rules to broadcast against x."""
        return g.reshape(self.arrangement.kept)


cdef list reduction_samples(object function, object twin, object make):
    """The layouts every reduction is verified on."""
    return [
        Sample(function, [make(3, 5)], twin),
        Sample(lambda x: function(x, dim=0), [make(3, 5)], lambda x: twin(x, axis=0)),
        Sample(lambda x: function(x, dim=-1, keepdim=True), [make(3, 5)], lambda x: twin(x, axis=-1, keepdims=True)),
        Sample(lambda x: function(x, dim=1), [make(2, 3, 5)], lambda x: twin(x, axis=1)),
        Sample(lambda x: function(x, dim=(0, 2)), [make(2, 3, 5)], lambda x: twin(x, axis=(0, 2))),
        Sample(lambda x: function(x, dim=1), [make(0, 3)], lambda x: twin(x, axis=1)),
    ]


# -- sum ------------------------------------------------------------------------------------------------------
# y = x_1 + ... + x_n,  dy/dx_l = 1
# dx_l = g for every l

cdef double sum_run(const real* x, Py_ssize_t n) noexcept nogil:
    """The sum of n consecutive elements, in LANES partial sums."""
    cdef double lanes[LANES]
    cdef double total = 0
    cdef Py_ssize_t i = 0, j
    for j in range(LANES):
        lanes[j] = 0
    while i + LANES <= n:
        for j in range(LANES):
            lanes[j] += x[i + j]
        i += LANES
    while i < n:
        total += x[i]
        i += 1
    for j in range(LANES):
        total += lanes[j]
    return total


cdef void sum_columns(const real* x, Py_ssize_t rows, Py_ssize_t stride, double* total, Py_ssize_t n) noexcept nogil:
    """total[j] = the sum over rows of x[row * stride + j], for j < n."""
    cdef Py_ssize_t row, j
    for j in range(n):
        total[j] = 0
    for row in range(rows):
        for j in range(n):
            total[j] += x[row * stride + j]


cdef void sum_forward(const real* x, real* y, Axes axes, double scale) noexcept nogil:
    cdef Py_ssize_t o, i, j, n
    cdef double total[COLUMNS]
    for o in range(axes.outer):
        if axes.inner == 1:
            y[o] = <real>(sum_run(x + o * axes.length, axes.length) * scale)
            continue
        i = 0
        while i < axes.inner:
            n = axes.inner - i if axes.inner - i < COLUMNS else COLUMNS
            sum_columns(x + o * axes.length * axes.inner + i, axes.length, axes.inner, total, n)
            for j in range(n):
                y[o * axes.inner + i + j] = <real>(total[j] * scale)
            i += n


cdef void sum_backward(const real* g, real* dx, Axes axes, double scale) noexcept nogil:
    cdef Py_ssize_t o, l, i
    cdef real s = <real>scale
    for o in range(axes.outer):
        for l in range(axes.length):
            for i in range(axes.inner):
                dx[(o * axes.length + l) * axes.inner + i] = g[o * axes.inner + i] * s


@cython.final
@cython.no_gc
cdef class Sum(Reduction):
    """x_1 + ... + x_n."""

    cdef void forward_loop(self, const void* x, void* y, Axes axes):
        if self.single:
            sum_forward(<const float*>x, <float*>y, axes, 1)
        else:
            sum_forward(<const double*>x, <double*>y, axes, 1)

    cdef void backward_loop(self, const void* x, const void* y, const void* g, void* dx, Axes axes):
        if self.single:
            sum_backward(<const float*>g, <float*>dx, axes, 1)
        else:
            sum_backward(<const double*>g, <double*>dx, axes, 1)

    def rule(self, Tensor g):
        return (self.spread(g).expand(self.arrangement.shape),)

    @staticmethod
    def samples(draw):
        yield from reduction_samples(sum, np.sum, draw)
        yield Sample(sum, [draw()], np.sum)


def sum(Tensor input not None, dim=None, bint keepdim=False):
    """The sum of all elements, or along dimensions; int64 for integers and bools.

    Args:
        input: x, any shape.
        dim: a dimension, several, or None for all.
        keepdim: keep the reduced dimensions with size 1.

    Returns:
        A tensor of x's dtype, without the reduced dimensions.

    Raises:
        IndexError: if a dimension is out of range.

    Formula: y = x_1 + ... + x_n

    >>> import microtensor as mt
    >>> mt.sum(mt.tensor([[1.0, 2.0], [3.0, 4.0]]), dim=0)
    tensor([4., 6.])
    """
    if not is_float(input.array):
        return wrap(np.asarray(np.sum(input.array, axis=_axis(dim), keepdims=keepdim, dtype=np.int64)))
    cdef Sum op = Sum.__new__(Sum)
    return op.apply(input, dim, keepdim)


cdef object _axis(object dim):
    """dim as NumPy takes it."""
    return tuple(dim) or None if isinstance(dim, (tuple, list)) else dim


cdef ndarray sum_to(ndarray array, tuple shape):
    """The gradient of an input of this shape that was broadcast to array's shape: summed over what was repeated."""
    if (<object>array).shape == shape:
        return array
    cdef tuple wide = (<object>array).shape
    cdef Py_ssize_t d, added = len(wide) - len(shape)
    repeated = [d for d in range(len(wide)) if d < added or (shape[d - added] == 1 and wide[d] != 1)]
    cdef Arrangement arrangement = arrangement_of(array, repeated)
    cdef ndarray total = np.empty(shape, (<object>array).dtype)
    array = arrangement.arrange(array)
    if is_single(array):
        sum_forward(<const float*>cnp.PyArray_DATA(array), <float*>cnp.PyArray_DATA(total), arrangement.axes, 1)
    else:
        sum_forward(<const double*>cnp.PyArray_DATA(array), <double*>cnp.PyArray_DATA(total), arrangement.axes, 1)
    return total


late.sum_to = sum_to


# -- mean -----------------------------------------------------------------------------------------------------
# y = (x_1 + ... + x_n) / n,  dy/dx_l = 1/n                              sum's loops with a scale of 1/n
# dx_l = g / n for every l

@cython.final
@cython.no_gc
cdef class Mean(Reduction):
    """(x_1 + ... + x_n) / n."""

    cdef void forward_loop(self, const void* x, void* y, Axes axes):
        if self.single:
            sum_forward(<const float*>x, <float*>y, axes, 1. / axes.length)
        else:
            sum_forward(<const double*>x, <double*>y, axes, 1. / axes.length)

    cdef void backward_loop(self, const void* x, const void* y, const void* g, void* dx, Axes axes):
        if self.single:
            sum_backward(<const float*>g, <float*>dx, axes, 1. / axes.length)
        else:
            sum_backward(<const double*>g, <double*>dx, axes, 1. / axes.length)

    def rule(self, Tensor g):
        return (self.spread(g).expand(self.arrangement.shape) / self.arrangement.axes.length,)

    @staticmethod
    def samples(draw):
        yield from reduction_samples(mean, np.mean, draw)
        yield Sample(mean, [draw()], np.mean)


def mean(Tensor input not None, dim=None, bint keepdim=False):
    """The mean of all elements, or along dimensions; nan where there are none.

    Args:
        input: x, any shape, float32 or float64.
        dim: a dimension, several, or None for all.
        keepdim: keep the reduced dimensions with size 1.

    Returns:
        A tensor of x's dtype, without the reduced dimensions.

    Raises:
        IndexError: if a dimension is out of range.
        TypeError: if x is not float.

    Formula: y = (x_1 + ... + x_n) / n

    >>> import microtensor as mt
    >>> mt.mean(mt.tensor([[1.0, 2.0], [3.0, 4.0]]), dim=1)
    tensor([1.5, 3.5])
    """
    if not is_float(input.array):
        raise TypeError(f"mean needs a float tensor, got {input.dtype}: use input.float().mean()")
    cdef Mean op = Mean.__new__(Mean)
    return op.apply(input, dim, keepdim)


# -- var ------------------------------------------------------------------------------------------------------
# m = mean(x),  d_l = x_l - m,  y = (d_1^2 + ... + d_n^2) / (n - c),  c the correction
# dy/dx_l = 2 (d_l - mean(d)) / (n - c) = 2 d_l / (n - c)                since the d_l sum to 0
# dx_l = g 2 (x_l - m) / (n - c)

cdef double mean_strided(const real* x, Axes axes) noexcept nogil:
    cdef Py_ssize_t l
    cdef double total = 0
    if axes.inner == 1:
        return sum_run(x, axes.length) / axes.length
    for l in range(axes.length):
        total += x[l * axes.inner]
    return total / axes.length


cdef void var_forward(const real* x, real* y, Axes axes, double divisor) noexcept nogil:
    cdef Py_ssize_t o, l, i
    cdef const real* run
    cdef double m, d, total
    for o in range(axes.outer):
        for i in range(axes.inner):
            run = x + o * axes.length * axes.inner + i
            m = mean_strided(run, axes)
            total = 0
            for l in range(axes.length):
                d = run[l * axes.inner] - m
                total += d * d
            y[o * axes.inner + i] = <real>(total / divisor)


cdef void var_backward(const real* x, const real* g, real* dx, Axes axes, double divisor) noexcept nogil:
    cdef Py_ssize_t o, l, i, start
    cdef double m, scale
    for o in range(axes.outer):
        for i in range(axes.inner):
            start = o * axes.length * axes.inner + i
            m = mean_strided(x + start, axes)
            scale = 2 * g[o * axes.inner + i] / divisor
            for l in range(axes.length):
                dx[start + l * axes.inner] = <real>((x[start + l * axes.inner] - m) * scale)


@cython.final
@cython.no_gc
cdef class Var(Reduction):
    """The mean square distance from the mean, with divisor n - correction."""

    cdef double correction

    cdef int check(self, Tensor x) except -1:
        cdef Py_ssize_t n = self.arrangement.axes.length
        if n - self.correction <= 0:
            warnings.warn(f"var of {n} elements with correction={self.correction:g} is not defined and gives nan or "
                          "inf: pass correction=0", stacklevel=2)
        return 0

    cdef void keep(self, Tensor x, Tensor y):
        self.save(x, None, None)

    cdef double divisor(self):
        cdef double divisor = self.arrangement.axes.length - self.correction
        return divisor if divisor > 0 else 0

    cdef void forward_loop(self, const void* x, void* y, Axes axes):
        if self.single:
            var_forward(<const float*>x, <float*>y, axes, self.divisor())
        else:
            var_forward(<const double*>x, <double*>y, axes, self.divisor())

    cdef void backward_loop(self, const void* x, const void* y, const void* g, void* dx, Axes axes):
        if self.single:
            var_backward(<const float*>x, <const float*>g, <float*>dx, axes, self.divisor())
        else:
            var_backward(<const double*>x, <const double*>g, <double*>dx, axes, self.divisor())

    def rule(self, Tensor g):
        x = self.input(0)
        reduced = tuple([d for d in range(x.ndim) if self.arrangement.kept[d] == 1])
        return (self.spread(g) * (2 / self.divisor()) * (x - x.mean(reduced, keepdim=True)),)

    @staticmethod
    def samples(draw):
        yield from reduction_samples(lambda x, dim=None, keepdim=False: var(x, dim, 0.5, keepdim),
                                     lambda x, **k: np.var(x, ddof=0.5, **k), draw)
        yield Sample(lambda x: var(x, 0, 0), [draw(4)], np.var)


def var(Tensor input not None, dim=None, double correction=1, bint keepdim=False):
    """The variance of all elements, or along dimensions.

    Args:
        input: x, any shape, float32 or float64.
        dim: a dimension, several, or None for all.
        correction: the divisor is n - correction: 1 estimates a population's variance, 0 gives the sample's own.
        keepdim: keep the reduced dimensions with size 1.

    Returns:
        A tensor of x's dtype, without the reduced dimensions.

    Raises:
        IndexError: if a dimension is out of range.
        TypeError: if x is not float.

    Formula: y = ((x_1 - mean)^2 + ... + (x_n - mean)^2) / (n - correction)

    >>> import microtensor as mt
    >>> mt.var(mt.tensor([1.0, 2.0, 3.0, 4.0]))
    tensor(1.6667)
    """
    if not is_float(input.array):
        raise TypeError(f"var needs a float tensor, got {input.dtype}: use input.float().var()")
    cdef Var op = Var.__new__(Var)
    op.correction = correction
    return op.apply(input, dim, keepdim)


def std(Tensor input not None, dim=None, double correction=1, bint keepdim=False):
    """The standard deviation of all elements, or along dimensions: the square root of ``var`` (see there).

    At the kink, where all elements are equal, its gradient is 0.

    Formula: y = sqrt(var(x))

    >>> import microtensor as mt
    >>> mt.std(mt.tensor([1.0, 3.0]))
    tensor(1.4142)
    """
    variance = var(input, dim, correction, keepdim)
    flat = variance.detach() == 0
    return where(flat, variance * 0, sqrt(where(flat, 1.0, variance)))


# -- amax -----------------------------------------------------------------------------------------------------
# y = max(x_1, ..., x_n);  dy/dx_l = 1 where x_l is the only largest, 0 where it is smaller
# at the kink of t equal largest elements each gets 1/t (PyTorch's choice for amax)
# dx_l = g / t where x_l = y, 0 elsewhere

cdef void amax_forward(const real* x, real* y, Axes axes) noexcept nogil:
    cdef Py_ssize_t o, l, i
    cdef real v
    for o in range(axes.outer):
        for i in range(axes.inner):
            y[o * axes.inner + i] = x[o * axes.length * axes.inner + i]
        for l in range(1, axes.length):
            for i in range(axes.inner):
                v = x[(o * axes.length + l) * axes.inner + i]
                if v > y[o * axes.inner + i] or v != v:         # nan stays: no comparison with it holds
                    y[o * axes.inner + i] = v


cdef void amax_backward(const real* x, const real* y, const real* g, real* dx, Axes axes) noexcept nogil:
    cdef Py_ssize_t o, l, i, ties, start
    cdef real largest, share
    for o in range(axes.outer):
        for i in range(axes.inner):
            start = o * axes.length * axes.inner + i
            largest = y[o * axes.inner + i]
            ties = 0
            for l in range(axes.length):
                ties += x[start + l * axes.inner] == largest
            share = g[o * axes.inner + i] / <real>ties          # no ties where nan is largest: nan for all
            for l in range(axes.length):
                dx[start + l * axes.inner] = share * (1 if x[start + l * axes.inner] == largest else 0)


@cython.final
@cython.no_gc
cdef class AMax(Reduction):
    """The largest of x_1, ..., x_n; nan if one is nan."""

    cdef int check(self, Tensor x) except -1:
        return check_not_empty("amax", self.arrangement)

    cdef void keep(self, Tensor x, Tensor y):
        self.save(x, None, y)

    cdef void forward_loop(self, const void* x, void* y, Axes axes):
        if self.single:
            amax_forward(<const float*>x, <float*>y, axes)
        else:
            amax_forward(<const double*>x, <double*>y, axes)

    cdef void backward_loop(self, const void* x, const void* y, const void* g, void* dx, Axes axes):
        if self.single:
            amax_backward(<const float*>x, <const float*>y, <const float*>g, <float*>dx, axes)
        else:
            amax_backward(<const double*>x, <const double*>y, <const double*>g, <double*>dx, axes)

    def rule(self, Tensor g):
        largest = (self.input(0).detach() == self.spread(self.output().detach())).to(g.dtype)
        reduced = tuple([d for d in range(largest.ndim) if self.arrangement.kept[d] == 1])
        return (self.spread(g) * (largest / largest.sum(reduced, keepdim=True)),)

    @staticmethod
    def samples(draw):
        for sample in reduction_samples(amax, np.max, draw.distinct)[:5]:
            sample.kinks = "where the largest elements are equal"
            yield sample
        yield Sample(amax, [draw()], np.max)


cdef int check_no_keepdim(str name, bint keepdim) except -1:
    if keepdim:
        raise TypeError(f"{name}: keepdim goes with a dim: use a{name}(keepdim=True) over all dimensions")
    return 0


cdef int check_not_empty(str name, Arrangement arrangement) except -1:
    if arrangement.axes.length == 0 and arrangement.count > 0:
        raise ValueError(f"{name} of no elements: x has shape {arrangement.shape}")
    return 0


def amax(Tensor input not None, dim=None, bint keepdim=False):
    """The largest of all elements, or along dimensions; equal largest elements share the gradient.

    Args:
        input: x, any shape.
        dim: a dimension, several, or None for all.
        keepdim: keep the reduced dimensions with size 1.

    Returns:
        A tensor of x's dtype, without the reduced dimensions.

    Raises:
        IndexError: if a dimension is out of range.
        ValueError: if there are no elements to choose from.

    Formula: y = max(x_1, ..., x_n)

    >>> import microtensor as mt
    >>> mt.amax(mt.tensor([[1.0, 2.0], [4.0, 3.0]]), dim=1)
    tensor([2., 4.])
    """
    if not is_float(input.array):
        check_not_empty("amax", arrangement_of(input.array, dim))
        return wrap(np.asarray(np.max(input.array, axis=_axis(dim), keepdims=keepdim)))
    cdef AMax op = AMax.__new__(AMax)
    return op.apply(input, dim, keepdim)


def amin(Tensor input not None, dim=None, bint keepdim=False):
    """The smallest of all elements, or along dimensions; equal smallest elements share the gradient. See ``amax``.

    Formula: y = min(x_1, ..., x_n) = -max(-x_1, ..., -x_n)

    >>> import microtensor as mt
    >>> mt.amin(mt.tensor([[1.0, 2.0], [4.0, 3.0]]), dim=1)
    tensor([1., 3.])
    """
    if not is_float(input.array):
        check_not_empty("amin", arrangement_of(input.array, dim))
        return wrap(np.asarray(np.min(input.array, axis=_axis(dim), keepdims=keepdim)))
    return -amax(-input, dim, keepdim)


# -- max along a dimension ------------------------------------------------------------------------------------
# y = x_k,  k the first index of the largest element (of the first nan, if there is one)
# dx_l = g where l = k, 0 elsewhere                                      one index only: ties do not share

cdef void max_forward(const real* x, real* y, long long* index, Axes axes) noexcept nogil:
    cdef Py_ssize_t o, l, i, at
    cdef real v
    for o in range(axes.outer):
        for i in range(axes.inner):
            at = o * axes.inner + i
            y[at] = x[o * axes.length * axes.inner + i]
            index[at] = 0
        for l in range(1, axes.length):
            for i in range(axes.inner):
                at = o * axes.inner + i
                v = x[(o * axes.length + l) * axes.inner + i]
                if v > y[at] or (v != v and y[at] == y[at]):
                    y[at] = v
                    index[at] = l


cdef void max_backward(const long long* index, const real* g, real* dx, Axes axes) noexcept nogil:
    cdef Py_ssize_t o, l, i
    for o in range(axes.outer):
        for l in range(axes.length):
            for i in range(axes.inner):
                dx[(o * axes.length + l) * axes.inner + i] = \
                    g[o * axes.inner + i] if index[o * axes.inner + i] == l else 0


@cython.final
@cython.no_gc
cdef class Max(Reduction):
    """The largest of x_1, ..., x_n, and which it is."""

    cdef Py_ssize_t dim
    cdef ndarray index

    cdef int check(self, Tensor x) except -1:
        check_not_empty("max", self.arrangement)
        self.index = np.empty(self.arrangement.kept, np.int64)
        return 0

    cdef void forward_loop(self, const void* x, void* y, Axes axes):
        cdef long long* index = <long long*>cnp.PyArray_DATA(self.index)
        if self.single:
            max_forward(<const float*>x, <float*>y, index, axes)
        else:
            max_forward(<const double*>x, <double*>y, index, axes)

    cdef void backward_loop(self, const void* x, const void* y, const void* g, void* dx, Axes axes):
        cdef const long long* index = <const long long*>cnp.PyArray_DATA(self.index)
        if self.single:
            max_backward(index, <const float*>g, <float*>dx, axes)
        else:
            max_backward(index, <const double*>g, <double*>dx, axes)

    def rule(self, Tensor g):
        places = np.indices(self.arrangement.shape)[self.dim] if self.arrangement.shape else 0
        return (self.spread(g) * wrap(np.asarray(places == self.index)).to(g.dtype),)

    @staticmethod
    def samples(draw):
        for shape, dim in (((3, 5), 0), ((3, 5), -1), ((2, 3, 5), 1), ((), 0), ((0, 3), 1)):
            yield Sample(lambda x, d=dim: max(x, d)[0], [draw.distinct(*shape)],
                         lambda x, d=dim: np.max(x, axis=d) if x.ndim else x,
                         kinks="where the largest elements are equal")


def max(Tensor input not None, dim=None, bint keepdim=False):
    """The largest of all elements; along a dimension, the largest and where they are.

    Args:
        input: x, any shape.
        dim: one dimension, or None for all. A tensor in its place makes it ``maximum(input, dim)``.
        keepdim: keep the reduced dimension with size 1.

    Returns:
        A 0-d tensor; with dim, the tuple (values, indices), indices int64. Over all elements, equal largest ones
        share the gradient; along a dimension, the first one gets it.

    Raises:
        IndexError: if the dimension is out of range.
        ValueError: if there are no elements to choose from.

    Formula: y = max(x_1, ..., x_n)

    >>> import microtensor as mt
    >>> mt.max(mt.tensor([[1.0, 2.0], [4.0, 3.0]]), dim=1)
    (tensor([2., 4.]), tensor([1, 0]))
    """
    if isinstance(dim, Tensor):
        return maximum(input, dim)
    if dim is None:
        check_no_keepdim("max", keepdim)
        return amax(input)
    dim = normal_dim(dim, input.ndim)
    if not is_float(input.array):
        check_not_empty("max", arrangement_of(input.array, dim))
        return (wrap(np.asarray(np.max(input.array, axis=dim, keepdims=keepdim))), argmax(input, dim, keepdim))
    cdef Max op = Max.__new__(Max)
    op.dim = dim
    values = op.apply(input, dim, keepdim)
    return values, wrap((<object>op.index).reshape(values.shape).copy())      # op.index is backward's


def min(Tensor input not None, dim=None, bint keepdim=False):
    """The smallest of all elements; along a dimension, the smallest and where they are. See ``max``.

    Formula: y = min(x_1, ..., x_n) = -max(-x_1, ..., -x_n)

    >>> import microtensor as mt
    >>> mt.min(mt.tensor([[1.0, 2.0], [4.0, 3.0]]), dim=1)
    (tensor([1., 3.]), tensor([0, 1]))
    """
    if isinstance(dim, Tensor):
        return minimum(input, dim)
    if dim is None:
        check_no_keepdim("min", keepdim)
        return amin(input)
    dim = normal_dim(dim, input.ndim)
    if not is_float(input.array):
        check_not_empty("min", arrangement_of(input.array, dim))
        return (wrap(np.asarray(np.min(input.array, axis=dim, keepdims=keepdim))), argmin(input, dim, keepdim))
    values, indices = max(-input, dim, keepdim)
    return -values, indices


def argmax(Tensor input not None, dim=None, bint keepdim=False):
    """The index of the largest of all elements (counted in row-major order), or along a dimension; the first of ties.

    Args:
        input: x, any shape, not empty.
        dim: one dimension, or None for all.
        keepdim: keep the reduced dimension with size 1.

    Returns:
        An int64 tensor; it has no gradient.

    >>> import microtensor as mt
    >>> mt.argmax(mt.tensor([[1.0, 2.0], [4.0, 3.0]]), dim=1)
    tensor([1, 0])
    """
    return _arg(np.argmax, input, dim, keepdim)


def argmin(Tensor input not None, dim=None, bint keepdim=False):
    """The index of the smallest of all elements, or along a dimension; the first of ties. See ``argmax``.

    >>> import microtensor as mt
    >>> mt.argmin(mt.tensor([[1.0, 2.0], [4.0, 3.0]]), dim=1)
    tensor([0, 1])
    """
    return _arg(np.argmin, input, dim, keepdim)


cdef Tensor _arg(object function, Tensor x, object dim, bint keepdim):
    if dim is not None:
        dim = normal_dim(dim, x.ndim)
    if cnp.PyArray_SIZE(x.array) == 0 and (dim is None or x.shape[dim] == 0):
        raise ValueError(f"{function.__name__} of no elements: x has shape {x.shape}")
    array = x.array if x.ndim else (<object>x.array).reshape(1)
    index = np.asarray(function(array, axis=dim, keepdims=keepdim))
    return wrap(index if x.ndim else index.reshape(()))


# -- logsumexp ------------------------------------------------------------------------------------------------
# y = ln(e^x_1 + ... + e^x_n) = m + ln(e^(x_1 - m) + ... + e^(x_n - m)),  m = max(x): no term overflows
# dy/dx_l = e^x_l / (e^x_1 + ... + e^x_n) = e^(x_l - y)                  the softmax
# dx_l = g e^(x_l - y)

cdef void logsumexp_forward(const real* x, real* y, Axes axes) noexcept nogil:
    cdef Py_ssize_t o, l, i, start
    cdef double total
    cdef real m, v
    for o in range(axes.outer):
        for i in range(axes.inner):
            start = o * axes.length * axes.inner + i
            m = -<real>simd.INFINITY
            for l in range(axes.length):
                v = x[start + l * axes.inner]
                m = v if v > m or v != v else m
            if m == <real>simd.INFINITY or m == -<real>simd.INFINITY:
                y[o * axes.inner + i] = m                       # all -inf, or one inf: inf - inf would be nan
                continue
            total = 0
            for l in range(axes.length):
                total += simd.exp(x[start + l * axes.inner] - m)
            y[o * axes.inner + i] = m + <real>simd.log(total)


cdef void logsumexp_backward(const real* x, const real* y, const real* g, real* dx, Axes axes) noexcept nogil:
    cdef Py_ssize_t o, l, i, at
    cdef real top
    for o in range(axes.outer):
        for l in range(axes.length):
            for i in range(axes.inner):
                at = (o * axes.length + l) * axes.inner + i
                top = y[o * axes.inner + i]
                dx[at] = g[o * axes.inner + i] * (0 if top == -<real>simd.INFINITY else simd.exp(x[at] - top))


@cython.final
@cython.no_gc
cdef class LogSumExp(Reduction):
    """ln(e^x_1 + ... + e^x_n), without overflow."""

    cdef void keep(self, Tensor x, Tensor y):
        self.save(x, None, y)

    cdef void forward_loop(self, const void* x, void* y, Axes axes):
        if self.single:
            logsumexp_forward(<const float*>x, <float*>y, axes)
        else:
            logsumexp_forward(<const double*>x, <double*>y, axes)

    cdef void backward_loop(self, const void* x, const void* y, const void* g, void* dx, Axes axes):
        if self.single:
            logsumexp_backward(<const float*>x, <const float*>y, <const float*>g, <float*>dx, axes)
        else:
            logsumexp_backward(<const double*>x, <const double*>y, <const double*>g, <double*>dx, axes)

    def rule(self, Tensor g):
        return (self.spread(g) * exp(self.input(0) - self.spread(self.output())),)

    @staticmethod
    def samples(draw):
        def twin(x, axis=None, keepdims=False):
            with np.errstate(divide="ignore"):
                return np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims))

        yield from reduction_samples(lambda x, dim=None, keepdim=False: logsumexp(x, dim, keepdim), twin, draw)
        yield Sample(lambda x: logsumexp(x, 0), [draw()], lambda x: x)


def logsumexp(Tensor input not None, dim, bint keepdim=False):
    """ln(e^x_1 + ... + e^x_n) along dimensions, without overflow; -inf where there are no elements.

    Args:
        input: x, any shape.
        dim: a dimension, several, or None for all.
        keepdim: keep the reduced dimensions with size 1.

    Returns:
        A tensor without the reduced dimensions.

    Raises:
        IndexError: if a dimension is out of range.

    Formula: y = ln(e^x_1 + ... + e^x_n)

    >>> import microtensor as mt
    >>> mt.logsumexp(mt.tensor([1000.0, 0.0]), dim=0)
    tensor(1000.)
    """
    cdef LogSumExp op = LogSumExp.__new__(LogSumExp)
    return op.apply(input, dim, keepdim)
