"""Reductions over all elements or along dimensions: sum, mean, var, amax, max, logsumexp; std, min, amin, argmax.

x is the input, y the output, g = dL/dy, dx = dL/dx, n the number of elements that make one output.

The loops are those of passes.pyx; only max along a dimension, which says where the largest is, has its own.
"""

cimport cython
cimport numpy as cnp
from cython.parallel cimport prange
from numpy cimport ndarray

from microtensor.kernels cimport simd
from microtensor.core cimport Engine, Op, Tensor, contiguous, empty, is_float, is_single, late, record, wrap
from microtensor.ops.axes cimport Axes, Dims, axes_of, dims_of, normal_dim
from microtensor.ops.elementwise cimport as_float
from microtensor.ops.passes cimport EXPONENTIALS, LARGEST, SQUARES, SUM, Kind, reduce_array, spread_array
from microtensor.kernels.sums cimport max_run
from microtensor.kernels.simd cimport real
from microtensor.kernels.threads cimport PARALLEL_ELEMENTS, RELEASE_ELEMENTS, share, threads_for

import warnings

import numpy as np

from microtensor.ops.arithmetic import exp, maximum, minimum, sqrt, where
from microtensor.ops.sample import Sample

cnp.import_array()


# -- what all reductions share --------------------------------------------------------------------------------

@cython.no_gc
cdef class Reduction(Op):
    """An op that makes one element of all those along the reduced dimensions."""

    cdef Dims dims              # the reduced ones
    cdef Py_ssize_t length      # how many elements make one output
    cdef double scale           # factor of a sum
    cdef tuple shape            # of x

    cdef Kind kind(self) noexcept:
        """Which pass makes the output."""
        return SUM

    cdef int prepare(self, ndarray x, Py_ssize_t outputs) except -1:
        """Set the scale; raise if outputs outputs cannot be made of length elements of x each."""
        self.scale = 1
        return 0

    cdef void keep(self, Tensor x, Tensor y):
        """Save what backward reads: by default nothing."""

    cdef Tensor apply(self, Tensor x, object dim, bint keepdim):
        x = as_float(x)
        cdef ndarray x_array = contiguous(x.array), y_array
        cdef int d, kept = 0, ndim = cnp.PyArray_NDIM(x_array)
        cdef const Py_ssize_t* shape = <const Py_ssize_t*>cnp.PyArray_DIMS(x_array)
        cdef Py_ssize_t y_shape[64]
        cdef Py_ssize_t outputs = 1
        self.dims = dims_of(dim, ndim)
        self.length = 1
        for d in range(ndim):
            if self.dims >> d & 1:
                self.length *= shape[d]
                if keepdim:
                    y_shape[kept] = 1
                    kept += 1
            else:
                outputs *= shape[d]
                y_shape[kept] = shape[d]
                kept += 1
        self.prepare(x_array, outputs)
        y_array = empty(kept, y_shape, cnp.PyArray_TYPE(x_array))
        self.forward(x_array, y_array)
        cdef Tensor y = record(self, y_array, x)
        if y.op is not None:
            self.shape = (<object>x_array).shape
            self.keep(x, y)
        return y

    cdef int forward(self, ndarray x, ndarray y) except -1:
        """Fill in y."""
        reduce_array(self.kind(), x, y, self.dims, self.scale)
        return 0

    cdef int backward(self, ndarray g, Engine engine) except -1:
        cdef ndarray x = None if self.a is None else contiguous(self.a)
        cdef ndarray y = None if self.y is None else contiguous(self.y)
        cdef Py_ssize_t shape[64]
        cdef int d, ndim = <int>len(self.shape)
        for d in range(ndim):
            shape[d] = self.shape[d]
        cdef ndarray dx = empty(ndim, shape, cnp.PyArray_TYPE(g))
        self.backward_to(dx, x, y, g)
        return engine.give(self, 0, dx)

    cdef int backward_to(self, ndarray dx, ndarray x, ndarray y, ndarray g) except -1:
        """Fill in dx. Of x and y those that keep() saved are there, the others None."""
        spread_array(self.kind(), x, y, g, dx, self.dims, self.scale)
        return 0

    cdef tuple reduced(self):
        """The reduced dimensions."""
        return tuple([d for d in range(len(self.shape)) if self.dims >> d & 1])

    cdef Tensor spread(self, Tensor g):
        """An output-shaped tensor with the reduced dimensions put back as 1, for rules to broadcast against x."""
        return g.reshape(tuple([1 if self.dims >> d & 1 else self.shape[d] for d in range(len(self.shape))]))


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

@cython.final
@cython.no_gc
cdef class Sum(Reduction):
    """x_1 + ... + x_n."""

    def rule(self, Tensor g):
        return (self.spread(g).expand(self.shape),)

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
    cdef int d, ndim = <int>len(shape), added = cnp.PyArray_NDIM(array) - ndim
    cdef Py_ssize_t sizes[64]
    cdef Dims dims = (<Dims>1 << added) - 1
    cdef bint same = added == 0
    for d in range(ndim):
        sizes[d] = shape[d]
        if sizes[d] != cnp.PyArray_DIM(array, d + added):
            dims |= <Dims>1 << (d + added)
            same = False
    if same:
        return array
    cdef ndarray total = empty(ndim, sizes, cnp.PyArray_TYPE(array))
    reduce_array(SUM, contiguous(array), total, dims, 1)
    return total


late.sum_to = sum_to


# -- mean -----------------------------------------------------------------------------------------------------
# y = (x_1 + ... + x_n) / n,  dy/dx_l = 1/n                              sum's loops with a scale of 1/n
# dx_l = g / n for every l

@cython.final
@cython.no_gc
cdef class Mean(Reduction):
    """(x_1 + ... + x_n) / n."""

    cdef int prepare(self, ndarray x, Py_ssize_t outputs) except -1:
        self.scale = 1. / self.length
        return 0

    def rule(self, Tensor g):
        return (self.spread(g).expand(self.shape) / self.length,)

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

@cython.final
@cython.no_gc
cdef class Var(Reduction):
    """The mean square distance from the mean, with divisor n - correction."""

    cdef double correction

    cdef Kind kind(self) noexcept:
        return SQUARES

    cdef int prepare(self, ndarray x, Py_ssize_t outputs) except -1:
        cdef double divisor = self.length - self.correction
        if divisor <= 0:
            warnings.warn(f"var of {self.length} elements with correction={self.correction:g} is not defined and gives "
                          "nan or inf: pass correction=0", stacklevel=2)
        self.scale = 1 / (divisor if divisor > 0 else 0)
        return 0

    cdef void keep(self, Tensor x, Tensor y):
        self.save(x, None, None)

    def rule(self, Tensor g):
        x = self.input(0)
        return (self.spread(g) * (2 * self.scale) * (x - x.mean(self.reduced(), keepdim=True)),)

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

@cython.final
@cython.no_gc
cdef class AMax(Reduction):
    """The largest of x_1, ..., x_n; nan if one is nan."""

    cdef Kind kind(self) noexcept:
        return LARGEST

    cdef int prepare(self, ndarray x, Py_ssize_t outputs) except -1:
        self.scale = 1
        return check_not_empty("amax", self.length, outputs, x)

    cdef void keep(self, Tensor x, Tensor y):
        self.save(x, None, y)

    def rule(self, Tensor g):
        largest = (self.input(0).detach() == self.spread(self.output().detach())).to(g.dtype)
        return (self.spread(g) * (largest / largest.sum(self.reduced(), keepdim=True)),)

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


cdef int check_not_empty(str name, Py_ssize_t length, Py_ssize_t outputs, ndarray x) except -1:
    """Raise if outputs outputs are wanted, of no elements each."""
    if length == 0 and outputs > 0:
        raise ValueError(f"{name} of no elements: x has shape {(<object>x).shape}")
    return 0


cdef Tensor _of_integers(object function, str name, Tensor x, object dim, bint keepdim):
    """NumPy's function of a tensor that is not float: it has no gradient."""
    cdef Dims dims = dims_of(dim, x.ndim)
    shape = x.shape
    check_not_empty(name, 0 not in [shape[d] for d in range(x.ndim) if dims >> d & 1],
                    0 not in [shape[d] for d in range(x.ndim) if not dims >> d & 1], x.array)
    return wrap(np.asarray(function(x.array, axis=_axis(dim) if x.ndim else None, keepdims=keepdim)))


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
        return _of_integers(np.max, "amax", input, dim, keepdim)
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
        return _of_integers(np.min, "amin", input, dim, keepdim)
    return -amax(-input, dim, keepdim)


# -- max along a dimension ------------------------------------------------------------------------------------
# y = x_k,  k the first index of the largest element (of the first nan, if there is one)
# dx_l = g where l = k, 0 elsewhere                                      one index only: ties do not share

cdef enum:
    COLUMNS = 256               # columns whose largest so far stay in the first-level cache
    RUN = 128                   # elements of a run of which the largest is found before it is asked where it is


cdef Py_ssize_t where_largest(const real* x, Py_ssize_t n, real* largest) noexcept nogil:
    """The index of the first largest of n consecutive elements."""
    cdef Py_ssize_t i = 0, start = 0
    cdef real m = -<real>simd.INFINITY, v
    while i < n:
        v = max_run(x + i, RUN if RUN < n - i else n - i)
        if v > m or (v != v and m == m):
            m, start = v, i
        i += RUN
    while not (x[start] == m or (m != m and x[start] != x[start])):
        start += 1
    largest[0] = m
    return start


cdef void max_columns(const real* x, real* y, long long* index, Py_ssize_t length, Py_ssize_t step,
                      Py_ssize_t n) noexcept nogil:
    """The same for n neighbouring columns, of length elements a step apart."""
    cdef Py_ssize_t l, j
    cdef real v
    cdef bint better
    for j in range(n):
        y[j], index[j] = x[j], 0
    for l in range(1, length):
        x += step
        for j in range(n):
            v = x[j]
            better = (v > y[j]) | (v != v) & (y[j] == y[j])
            y[j] = v if better else y[j]
            index[j] = l if better else index[j]


cdef void max_part(const real* x, real* y, long long* index, Axes axes, Py_ssize_t first,
                   Py_ssize_t last) noexcept nogil:
    """Some of the outputs: single ones where runs are reduced, tiles of up to COLUMNS of them otherwise."""
    cdef Py_ssize_t k, at, i, tiles = (axes.inner + COLUMNS - 1) // COLUMNS
    for k in range(first, last):
        if axes.inner == 1:
            index[k] = where_largest(x + k * axes.length, axes.length, y + k)
        else:
            i = k % tiles * COLUMNS
            at = k // tiles * axes.inner + i
            max_columns(x + k // tiles * axes.length * axes.inner + i, y + at, index + at, axes.length, axes.inner,
                        COLUMNS if COLUMNS < axes.inner - i else axes.inner - i)


cdef void max_forward(const real* x, real* y, long long* index, Axes axes) noexcept nogil:
    cdef Py_ssize_t count = axes.outer * ((axes.inner + COLUMNS - 1) // COLUMNS)
    cdef Py_ssize_t part, parts = threads_for(axes.outer * axes.length * axes.inner, PARALLEL_ELEMENTS)
    if parts == 1:
        max_part(x, y, index, axes, 0, count)
        return
    for part in prange(parts, num_threads=<int>parts, schedule="static"):
        max_part(x, y, index, axes, share(part, parts, count, 1), share(part + 1, parts, count, 1))


cdef void max_backward(const long long* index, const real* g, real* dx, Axes axes) noexcept nogil:
    cdef Py_ssize_t o, i, at
    for i in range(axes.outer * axes.length * axes.inner):
        dx[i] = 0
    for o in range(axes.outer):
        for i in range(axes.inner):
            at = o * axes.inner + i
            dx[(o * axes.length + index[at]) * axes.inner + i] = g[at]


cdef int find_largest(ndarray x, ndarray y, ndarray index, Axes axes) except -1:
    """Fill in y and index from a contiguous x."""
    cdef const void* x_data = cnp.PyArray_DATA(x)
    cdef void* y_data = cnp.PyArray_DATA(y)
    cdef long long* index_data = <long long*>cnp.PyArray_DATA(index)
    cdef bint single = is_single(x)
    if cnp.PyArray_SIZE(x) < RELEASE_ELEMENTS:
        find_largest_data(x_data, y_data, index_data, axes, single)
    else:
        with nogil:
            find_largest_data(x_data, y_data, index_data, axes, single)
    return 0


cdef void find_largest_data(const void* x, void* y, long long* index, Axes axes, bint single) noexcept nogil:
    if single:
        max_forward(<const float*>x, <float*>y, index, axes)
    else:
        max_forward(<const double*>x, <double*>y, index, axes)


@cython.final
@cython.no_gc
cdef class Max(Reduction):
    """The largest of x_1, ..., x_n, and which it is."""

    cdef Py_ssize_t dim
    cdef ndarray index          # of y's shape

    cdef int prepare(self, ndarray x, Py_ssize_t outputs) except -1:
        return check_not_empty("max", self.length, outputs, x)

    cdef int forward(self, ndarray x, ndarray y) except -1:
        self.index = empty(cnp.PyArray_NDIM(y), <Py_ssize_t*>cnp.PyArray_DIMS(y), cnp.NPY_INT64)
        return find_largest(x, y, self.index, axes_of(x, self.dim))

    cdef int backward_to(self, ndarray dx, ndarray x, ndarray y, ndarray g) except -1:
        cdef const long long* index = <const long long*>cnp.PyArray_DATA(self.index)
        if is_single(dx):
            max_backward(index, <const float*>cnp.PyArray_DATA(g), <float*>cnp.PyArray_DATA(dx), axes_of(dx, self.dim))
        else:
            max_backward(index, <const double*>cnp.PyArray_DATA(g), <double*>cnp.PyArray_DATA(dx),
                         axes_of(dx, self.dim))
        return 0

    def rule(self, Tensor g):
        places = np.indices(self.shape)[self.dim] if self.shape else 0
        index = self.spread(wrap(self.index)).array
        return (self.spread(g) * wrap(np.asarray(places == index)).to(g.dtype),)

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
        return _of_integers(np.max, "max", input, dim, keepdim), argmax(input, dim, keepdim)
    cdef Max op = Max.__new__(Max)
    op.dim = dim
    values = op.apply(input, dim, keepdim)
    return values, wrap((<object>op.index).copy())      # op.index is backward's


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
        return _of_integers(np.min, "min", input, dim, keepdim), argmin(input, dim, keepdim)
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
    return _arg(np.argmax, input, input, dim, keepdim)


def argmin(Tensor input not None, dim=None, bint keepdim=False):
    """The index of the smallest of all elements, or along a dimension; the first of ties. See ``argmax``.

    >>> import microtensor as mt
    >>> mt.argmin(mt.tensor([[1.0, 2.0], [4.0, 3.0]]), dim=1)
    tensor([0, 1])
    """
    return _arg(np.argmin, input, -input.detach() if is_float(input.array) else input, dim, keepdim)


cdef Tensor _arg(object function, Tensor input, Tensor x, object dim, bint keepdim):
    """NumPy's argmax or argmin; for floats the index of the largest of x, which is the input or -input."""
    cdef Py_ssize_t axis = 0 if dim is None else normal_dim(dim, input.ndim)
    cdef int d, kept = 0, ndim = cnp.PyArray_NDIM(input.array)
    cdef Py_ssize_t shape[64]
    for d in range(ndim):
        if dim is not None and d != axis:
            shape[kept] = cnp.PyArray_DIM(input.array, d)
            kept += 1
        elif keepdim:
            shape[kept] = 1
            kept += 1
    if cnp.PyArray_SIZE(input.array) == 0 and (dim is None or input.shape[axis] == 0):
        raise ValueError(f"{function.__name__} of no elements: x has shape {input.shape}")
    cdef ndarray index = empty(kept, shape, cnp.NPY_INT64), array = contiguous(x.array)
    if is_float(array):
        find_largest(array, empty(kept, shape, cnp.PyArray_TYPE(array)), index,
                     Axes(1, cnp.PyArray_SIZE(array), 1) if dim is None else axes_of(array, axis))
    else:
        found = function(np.atleast_1d(array), axis=None if dim is None else axis)
        np.copyto(index, np.reshape(found, (<object>index).shape))
    return wrap(index)


# -- logsumexp ------------------------------------------------------------------------------------------------
# y = ln(e^x_1 + ... + e^x_n) = m + ln(e^(x_1 - m) + ... + e^(x_n - m)),  m = max(x): no term overflows
# dy/dx_l = e^x_l / (e^x_1 + ... + e^x_n) = e^(x_l - y)                  the softmax
# dx_l = g e^(x_l - y)

@cython.final
@cython.no_gc
cdef class LogSumExp(Reduction):
    """ln(e^x_1 + ... + e^x_n), without overflow."""

    cdef Kind kind(self) noexcept:
        return EXPONENTIALS

    cdef void keep(self, Tensor x, Tensor y):
        self.save(x, None, y)

    def rule(self, Tensor g):
        y = self.spread(self.output())
        return (self.spread(g) * exp(self.input(0) - where(y.detach() == -np.inf, 0.0, y)),)    # all x -inf: 0, not nan

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
