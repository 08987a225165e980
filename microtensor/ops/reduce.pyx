"""Reductions over all elements or along dimensions: sum, mean, var, amax, max, logsumexp; std, min, amin, argmax.

Each function takes a tensor x of any shape, dim (a dimension, several, or None for all), and keepdim (whether the
reduced dimensions stay, with size 1), and returns a tensor of x's dtype without the reduced dimensions, unless it says
otherwise. A dimension that is out of range is an IndexError.

x is the input, y the output, g = dL/dy, dx = dL/dx, n the number of elements that make one output. An op supplies loops
for one pass over a block of lines, as rows and as columns, which add to a result for each line; loops that spread
gradients over a line's elements; and how its forward and backward are made of such passes, for one tile of lines
(kernels/lines.pyx has the rest).
"""

cimport cython
cimport numpy as cnp
from libc.string cimport memcpy
from numpy cimport ndarray

from microtensor.core cimport (
    CONTEXT, INPUT, OUTPUT, Tensor, as_tensor, contiguous, either, empty, is_float, is_single, lent, operators,
    wrap,
)
from microtensor.kernels cimport simd
from microtensor.kernels.broadcast cimport MAX_DIMS
from microtensor.kernels.lines cimport (
    MAX_HEIGHT, SMALL_TILE, TILE, Block, Blocks, Dims, Lines, Pass, ReductionLoops, Spread, Tile, accumulate, block_at,
    blocks_of, blocks_per_thread, make_lines, reduce_forward, spread,
)
from microtensor.kernels.simd cimport real
from microtensor.kernels.sums cimport (
    CHAINS, add_rows, larger, max_of_rows, max_run, sum_run, sum_squares_run, turn_rows,
)
from microtensor.kernels.threads cimport ELEMENTS_PER_THREAD, SUMS_PER_THREAD, parallel_for
from microtensor.ops.base cimport Reduction, dims_of, normal_dim

import warnings

import numpy as np

from microtensor.ops.arithmetic import exp, maximum, minimum, sqrt, where
from microtensor.ops.sample import Sample

cnp.import_array()


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
# mean is the same with a scale of 1/n.

cdef void sum_rows(const real* x, const Block* block, const double* centre, double* result) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(block.lines):
        result[j] += sum_run(x + j * block.line_step, block.length)


cdef void sum_columns(const real* x, const Block* block, const double* centre, double* result) noexcept nogil:
    add_rows(x, block.length, block.step, result, block.lines)


cdef void sum_spread(const real* x, const real* factor, const double* centre, real* dx, Py_ssize_t n) noexcept nogil:
    memcpy(dx, factor, n * sizeof(real))


cdef Pass SUM = Pass(sum_rows[float], sum_columns[float], sum_rows[double], sum_columns[double], False)
cdef Spread SUM_SPREAD = Spread(sum_spread[float], sum_spread[double])


cdef void sum_forward(const real* x, real* y, const Tile* tile, double scale) noexcept nogil:
    cdef Py_ssize_t j
    cdef double total[TILE]
    accumulate(&SUM, x, tile, total, total)             # a sum has no centre
    for j in range(tile.block.lines):
        y[j] = <real>(total[j] * scale)


cdef void sum_backward(const real* x, const real* y, const real* g, real* dx, const Tile* tile,
                       double scale) noexcept nogil:
    cdef Py_ssize_t j
    cdef real factor[TILE]
    for j in range(tile.block.lines):
        factor[j] = <real>(g[j] * scale)
    spread(&SUM_SPREAD, x, factor, NULL, dx, tile)


cdef ReductionLoops SUM_LOOPS = ReductionLoops(
    sum_forward[float], sum_forward[double], sum_backward[float], sum_backward[double], False, False,
    SUMS_PER_THREAD)


@cython.final
@cython.no_gc
cdef class Sum(Reduction):
    """x_1 + ... + x_n."""

    def rule(self, Tensor g not None):
        return (self.put_back(g).expand(self.shape),)

    @staticmethod
    def samples(draw):
        yield from reduction_samples(sum, np.sum, draw)
        yield Sample(sum, [draw()], np.sum)


def sum(input, dim=None, bint keepdim=False, *, axis=None, bint keepdims=False):
    """The sum of all elements, or along dimensions; int64 for integers and bools.

    Formula: y = x_1 + ... + x_n

    >>> import microtensor as mt
    >>> mt.sum(mt.tensor([[1.0, 2.0], [3.0, 4.0]]), dim=0)
    tensor([4., 6.])
    """
    cdef Tensor x = as_tensor(input, "input")
    dim, keepdim = either(dim, axis), keepdim or keepdims
    if not is_float(x.array):
        return wrap(np.asarray(np.sum(lent(x.array), axis=_axis(dim), keepdims=keepdim, dtype=np.int64)))
    cdef Sum op = Sum.__new__(Sum)
    return op.apply(&SUM_LOOPS, x, dim, keepdim)


cdef object _axis(object dim):
    """dim as NumPy takes it."""
    return tuple(dim) or None if isinstance(dim, (tuple, list)) else dim


cdef ndarray sum_to(ndarray array, tuple shape):
    """The gradient of an input of this shape that was broadcast to array's shape: summed over what was repeated."""
    cdef int d, ndim = <int>len(shape), added = cnp.PyArray_NDIM(array) - ndim
    cdef Py_ssize_t sizes[MAX_DIMS]
    cdef Dims dims = ~<Dims>0 >> (MAX_DIMS - added) if added > 0 else 0         # a shift by all 64 bits has no meaning
    cdef bint same = added == 0
    for d in range(ndim):
        sizes[d] = shape[d]
        if sizes[d] != cnp.PyArray_DIM(array, d + added):
            dims |= <Dims>1 << (d + added)
            same = False
    if same:
        return array
    cdef ndarray x = contiguous(array), total = empty(ndim, sizes, cnp.PyArray_TYPE(array))
    cdef Lines lines
    make_lines(&lines, cnp.PyArray_NDIM(x), <const Py_ssize_t*>cnp.PyArray_DIMS(x), dims)
    reduce_forward(&SUM_LOOPS, is_single(x), cnp.PyArray_DATA(x), cnp.PyArray_DATA(total), &lines, 1)
    return total


operators.sum_to = sum_to


# -- mean -----------------------------------------------------------------------------------------------------
# y = (x_1 + ... + x_n) / n,  dy/dx_l = 1/n
# dx_l = g / n for every l

@cython.final
@cython.no_gc
cdef class Mean(Reduction):
    """(x_1 + ... + x_n) / n."""

    cdef int prepare(self, ndarray x, Py_ssize_t outputs) except -1:
        self.scale = 1. / self.length
        return 0

    def rule(self, Tensor g not None):
        return (self.put_back(g).expand(self.shape) / self.length,)

    @staticmethod
    def samples(draw):
        yield from reduction_samples(mean, np.mean, draw)
        yield Sample(mean, [draw()], np.mean)


def mean(input, dim=None, bint keepdim=False, *, axis=None, bint keepdims=False):
    """The mean of all elements, or along dimensions; nan where there are none.

    Raises:
        TypeError: if x is not float.

    Formula: y = (x_1 + ... + x_n) / n

    >>> import microtensor as mt
    >>> mt.mean(mt.tensor([[1.0, 2.0], [3.0, 4.0]]), dim=1)
    tensor([1.5, 3.5])
    """
    cdef Tensor x = as_tensor(input, "input")
    dim, keepdim = either(dim, axis), keepdim or keepdims
    if not is_float(x.array):
        raise TypeError(f"mean needs a float tensor, got {x.dtype}: use input.float().mean()")
    cdef Mean op = Mean.__new__(Mean)
    return op.apply(&SUM_LOOPS, x, dim, keepdim)


# -- var ------------------------------------------------------------------------------------------------------
# m = mean(x),  d_l = x_l - m,  y = (d_1^2 + ... + d_n^2) / (n - c),  c the correction
# dy/dx_l = 2 (d_l - mean(d)) / (n - c) = 2 d_l / (n - c)                since the d_l sum to 0
# dx_l = g 2 (x_l - m) / (n - c)

cdef void squares_rows(const real* x, const Block* block, const double* centre, double* result) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(block.lines):
        result[j] += sum_squares_run(x + j * block.line_step, centre[j], block.length)


cdef void squares_columns(const real* x, const Block* block, const double* centre, double* result) noexcept nogil:
    cdef Py_ssize_t j, _l
    for _l in range(block.length):
        for j in range(block.lines):
            result[j] += (x[j] - centre[j]) * (x[j] - centre[j])
        x += block.step


cdef void squares_spread(const real* x, const real* factor, const double* centre, real* dx,
                         Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(n):
        dx[j] = <real>((x[j] - centre[j]) * factor[j])


cdef Pass SQUARES = Pass(
    squares_rows[float], squares_columns[float], squares_rows[double], squares_columns[double], False)
cdef Spread SQUARES_SPREAD = Spread(squares_spread[float], squares_spread[double])


cdef inline void means(const real* x, const Tile* tile, double* mean) noexcept nogil:
    cdef Py_ssize_t j
    accumulate(&SUM, x, tile, mean, mean)
    for j in range(tile.block.lines):
        mean[j] /= tile.n


cdef void var_forward(const real* x, real* y, const Tile* tile, double scale) noexcept nogil:
    cdef Py_ssize_t j
    cdef double mean[SMALL_TILE]
    cdef double total[SMALL_TILE]
    means(x, tile, mean)
    accumulate(&SQUARES, x, tile, mean, total)
    for j in range(tile.block.lines):
        y[j] = <real>(total[j] * scale)


cdef void var_backward(const real* x, const real* y, const real* g, real* dx, const Tile* tile,
                       double scale) noexcept nogil:
    cdef Py_ssize_t j
    cdef double mean[SMALL_TILE]
    cdef real factor[SMALL_TILE]
    means(x, tile, mean)
    for j in range(tile.block.lines):
        factor[j] = 2 * <real>(g[j] * scale)
    spread(&SQUARES_SPREAD, x, factor, mean, dx, tile)


cdef ReductionLoops VAR_LOOPS = ReductionLoops(
    var_forward[float], var_forward[double], var_backward[float], var_backward[double], True, True,
    SUMS_PER_THREAD)


@cython.final
@cython.no_gc
cdef class Var(Reduction):
    """The mean square distance from the mean, with divisor n - correction."""

    cdef double correction

    cdef int prepare(self, ndarray x, Py_ssize_t outputs) except -1:
        cdef double divisor = self.length - self.correction
        if divisor <= 0:
            warnings.warn(f"var of {self.length} elements with correction={self.correction:g} is not defined and gives "
                          "nan or inf: pass correction=0", stacklevel=2)
        self.scale = 1 / (divisor if divisor > 0 else 0)
        return 0

    cdef int reads(self) noexcept:
        return INPUT

    def rule(self, Tensor g not None):
        x = self.input(0)
        return (self.put_back(g) * (2 * self.scale) * (x - x.mean(self.reduced(), keepdim=True)),)

    @staticmethod
    def samples(draw):
        yield from reduction_samples(lambda x, dim=None, keepdim=False: var(x, dim, 0.5, keepdim),
                                     lambda x, **k: np.var(x, ddof=0.5, **k), draw)
        yield Sample(lambda x: var(x, 0, 0), [draw(4)], np.var)


def var(input, dim=None, double correction=1, bint keepdim=False, *, axis=None, bint keepdims=False):
    """The variance of all elements, or along dimensions.

    Args:
        correction: the divisor is n - correction: 1 estimates a population's variance, 0 gives the sample's own.

    Raises:
        TypeError: if x is not float.

    Formula: y = ((x_1 - mean)^2 + ... + (x_n - mean)^2) / (n - correction)

    >>> import microtensor as mt
    >>> mt.var(mt.tensor([1.0, 2.0, 3.0, 4.0]))
    tensor(1.6667)
    """
    cdef Tensor x = as_tensor(input, "input")
    dim, keepdim = either(dim, axis), keepdim or keepdims
    if not is_float(x.array):
        raise TypeError(f"var needs a float tensor, got {x.dtype}: use input.float().var()")
    cdef Var op = Var.__new__(Var)
    op.correction = correction
    return op.apply(&VAR_LOOPS, x, dim, keepdim)


def std(input, dim=None, double correction=1, bint keepdim=False, *, axis=None, bint keepdims=False):
    """The standard deviation of all elements, or along dimensions: the square root of ``var`` (see there).

    At the kink, where all elements are equal, its gradient is 0.

    Formula: y = sqrt(var(x))

    >>> import microtensor as mt
    >>> mt.std(mt.tensor([1.0, 3.0]))
    tensor(1.4142)
    """
    dim, keepdim = either(dim, axis), keepdim or keepdims
    variance = var(input, dim, correction, keepdim)
    flat = variance.detach() == 0
    return where(flat, variance * 0, sqrt(where(flat, 1.0, variance)))


# -- amax -----------------------------------------------------------------------------------------------------
# y = max(x_1, ..., x_n);  dy/dx_l = 1 where x_l is the only largest, 0 where it is smaller
# at the kink of t equal largest elements each gets 1/t (PyTorch's choice for amax)
# dx_l = g / t where x_l = y, 0 elsewhere

cdef void largest_rows(const real* x, const Block* block, const double* centre, double* result) noexcept nogil:
    cdef Py_ssize_t j, rows, first = 0
    cdef real m[MAX_HEIGHT]
    while first < block.lines:
        rows = MAX_HEIGHT if MAX_HEIGHT < block.lines - first else block.lines - first
        max_of_rows(x + first * block.line_step, rows, block.length, block.line_step, m)
        for j in range(rows):
            result[first + j] = larger(result[first + j], m[j])
        first += rows


cdef void largest_columns(const real* x, const Block* block, const double* centre, double* result) noexcept nogil:
    cdef Py_ssize_t j, _l
    cdef real m[TILE]
    for j in range(block.lines):
        m[j] = <real>result[j]
    for _l in range(block.length):
        for j in range(block.lines):
            m[j] = larger(m[j], x[j])
        x += block.step
    for j in range(block.lines):
        result[j] = m[j]


cdef void ties_rows(const real* x, const Block* block, const double* centre, double* result) noexcept nogil:
    cdef Py_ssize_t j, l
    for j in range(block.lines):
        for l in range(j * block.line_step, j * block.line_step + block.length):
            result[j] += x[l] == <real>centre[j]


cdef void ties_columns(const real* x, const Block* block, const double* centre, double* result) noexcept nogil:
    cdef Py_ssize_t j, _l
    for _l in range(block.length):
        for j in range(block.lines):
            result[j] += 1 if x[j] == <real>centre[j] else 0
        x += block.step


cdef void ties_spread(const real* x, const real* factor, const double* centre, real* dx, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(n):
        dx[j] = factor[j] * (1 if x[j] == <real>centre[j] else 0)


cdef Pass LARGEST = Pass(
    largest_rows[float], largest_columns[float], largest_rows[double], largest_columns[double], True)
cdef Pass TIES = Pass(ties_rows[float], ties_columns[float], ties_rows[double], ties_columns[double], False)
cdef Spread TIES_SPREAD = Spread(ties_spread[float], ties_spread[double])


cdef void amax_forward(const real* x, real* y, const Tile* tile, double scale) noexcept nogil:
    cdef Py_ssize_t j
    cdef double m[TILE]
    accumulate(&LARGEST, x, tile, m, m)
    for j in range(tile.block.lines):
        y[j] = <real>m[j]


cdef void amax_backward(const real* x, const real* y, const real* g, real* dx, const Tile* tile,
                        double scale) noexcept nogil:
    cdef Py_ssize_t j
    cdef double centre[SMALL_TILE]
    cdef double ties[SMALL_TILE]
    cdef real factor[SMALL_TILE]
    for j in range(tile.block.lines):
        centre[j] = y[j]
    accumulate(&TIES, x, tile, centre, ties)
    for j in range(tile.block.lines):
        factor[j] = g[j] / <real>ties[j]                # no ties where nan is largest: nan for all
    spread(&TIES_SPREAD, x, factor, centre, dx, tile)


cdef ReductionLoops AMAX_LOOPS = ReductionLoops(
    amax_forward[float], amax_forward[double], amax_backward[float], amax_backward[double], False, True,
    SUMS_PER_THREAD)


@cython.final
@cython.no_gc
cdef class AMax(Reduction):
    """The largest of x_1, ..., x_n; nan if one is nan."""

    cdef int prepare(self, ndarray x, Py_ssize_t outputs) except -1:
        return check_not_empty("amax", self.length, outputs, x)

    cdef int reads(self) noexcept:
        return INPUT | OUTPUT

    def rule(self, Tensor g not None):
        largest = (self.input(0).detach() == self.put_back(self.output().detach())).to(g.dtype)
        return (self.put_back(g) * (largest / largest.sum(self.reduced(), keepdim=True)),)

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
    return wrap(np.asarray(function(lent(x.array), axis=_axis(dim) if x.ndim else None, keepdims=keepdim)))


def amax(input, dim=None, bint keepdim=False, *, axis=None, bint keepdims=False):
    """The largest of all elements, or along dimensions; equal largest elements share the gradient.

    Raises:
        ValueError: if there are no elements to choose from.

    Formula: y = max(x_1, ..., x_n)

    >>> import microtensor as mt
    >>> mt.amax(mt.tensor([[1.0, 2.0], [4.0, 3.0]]), dim=1)
    tensor([2., 4.])
    """
    cdef Tensor x = as_tensor(input, "input")
    dim, keepdim = either(dim, axis), keepdim or keepdims
    if not is_float(x.array):
        return _of_integers(np.max, "amax", x, dim, keepdim)
    cdef AMax op = AMax.__new__(AMax)
    return op.apply(&AMAX_LOOPS, x, dim, keepdim)


def amin(input, dim=None, bint keepdim=False, *, axis=None, bint keepdims=False):
    """The smallest of all elements, or along dimensions; equal smallest elements share the gradient. See ``amax``.

    Formula: y = min(x_1, ..., x_n) = -max(-x_1, ..., -x_n)

    >>> import microtensor as mt
    >>> mt.amin(mt.tensor([[1.0, 2.0], [4.0, 3.0]]), dim=1)
    tensor([1., 3.])
    """
    cdef Tensor x = as_tensor(input, "input")
    dim, keepdim = either(dim, axis), keepdim or keepdims
    if not is_float(x.array):
        return _of_integers(np.min, "amin", x, dim, keepdim)
    return -amax(-x, dim, keepdim)


# -- max along a dimension ------------------------------------------------------------------------------------
# y = x_k,  k the first index of the largest element (of the first nan, if there is one)
# dx_l = g where l = k, 0 elsewhere                                      one index only: ties do not share

cdef enum:
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
    # The bound holds if another thread writes into x meanwhile, and m is not there any more.
    while start < n - 1 and not (x[start] == m or (m != m and x[start] != x[start])):
        start += 1
    largest[0] = m
    return start


cdef void max_columns(const real* x, const Block* block, real* y, long long* index) noexcept nogil:
    """The same for columns."""
    cdef Py_ssize_t l, j
    cdef real v
    cdef bint better
    for j in range(block.lines):
        y[j], index[j] = x[j], 0
    for l in range(1, block.length):
        x += block.step
        for j in range(block.lines):
            v = x[j]
            better = (v > y[j]) | (v != v) & (y[j] == y[j])
            y[j] = v if better else y[j]
            index[j] = l if better else index[j]


cdef void max_forward(const real* x, const Block* block, real* y, long long* index) noexcept nogil:
    cdef Py_ssize_t j = 0
    cdef real columns[CHAINS * CHAINS]
    cdef Block turned
    if block.columns:
        max_columns(x, block, y, index)
        return
    turned.lines, turned.length, turned.step = CHAINS, block.length, CHAINS
    while block.length <= CHAINS and j + CHAINS <= block.lines:
        turn_rows(x + j * block.line_step, block.length, block.line_step, columns)
        max_columns(columns, &turned, y + j, index + j)
        j += CHAINS
    while j < block.lines:
        index[j] = where_largest(x + j * block.line_step, block.length, y + j)
        j += 1


cdef void max_backward(const long long* index, const real* g, real* dx, const Block* block) noexcept nogil:
    cdef Py_ssize_t i, j
    cdef Py_ssize_t runs = block.length if block.columns else block.lines
    cdef Py_ssize_t run_step = block.step if block.columns else block.line_step
    cdef Py_ssize_t n = block.lines if block.columns else block.length
    if run_step == n:                           # one after the other: as one
        runs, n = 1, runs * n
    for i in range(runs):
        for j in range(n):
            dx[i * run_step + j] = 0
    for j in range(block.lines):
        dx[j * block.line_step + index[j] * block.step] = g[j]


cdef struct MaxJob:
    bint single
    Blocks blocks
    long long* index
    const void* x               # forward only
    void* y                     # forward: y; backward: g
    void* dx                    # backward only


cdef void max_part(void* job_pointer, Py_ssize_t _number, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef MaxJob* job = <MaxJob*>job_pointer
    cdef Py_ssize_t number, i, j
    cdef Block block
    for number in range(first, last):
        block = block_at(&job.blocks, number)
        i, j = block.start, block.first
        if job.single and job.dx == NULL:
            max_forward(<const float*>job.x + i, &block, <float*>job.y + j, job.index + j)
        elif job.dx == NULL:
            max_forward(<const double*>job.x + i, &block, <double*>job.y + j, job.index + j)
        elif job.single:
            max_backward(job.index + j, <const float*>job.y + j, <float*>job.dx + i, &block)
        else:
            max_backward(job.index + j, <const double*>job.y + j, <double*>job.dx + i, &block)


cdef int run_max(ndarray x, Dims dims, ndarray y, ndarray index, ndarray dx) except -1:
    """y and index from a contiguous x; or with a dx, that from g, which stands for y, and index."""
    cdef ndarray whole = x if dx is None else dx
    cdef MaxJob job
    cdef Lines lines
    make_lines(&lines, cnp.PyArray_NDIM(whole), <const Py_ssize_t*>cnp.PyArray_DIMS(whole), dims)
    job.single, job.blocks = is_single(whole), blocks_of(&lines, TILE)
    job.index, job.y = <long long*>cnp.PyArray_DATA(index), cnp.PyArray_DATA(y)
    job.x = NULL if x is None else cnp.PyArray_DATA(x)
    job.dx = NULL if dx is None else cnp.PyArray_DATA(dx)
    parallel_for(max_part, &job, job.blocks.count, 1, blocks_per_thread(&job.blocks, ELEMENTS_PER_THREAD))
    return 0


@cython.final
@cython.no_gc
cdef class Max(Reduction):
    """The largest of x_1, ..., x_n, and which it is."""

    cdef Py_ssize_t dim

    cdef int prepare(self, ndarray x, Py_ssize_t outputs) except -1:
        return check_not_empty("max", self.length, outputs, x)

    cdef int run_forward(self) except -1:
        cdef ndarray y = self.y
        self.context = empty(cnp.PyArray_NDIM(y), <Py_ssize_t*>cnp.PyArray_DIMS(y), cnp.NPY_INT64)    # where it is
        return run_max(contiguous(self.a), self.dims, y, <ndarray>self.context, None)

    cdef int reads(self) noexcept:
        return CONTEXT

    cdef int run_backward(self) except -1:
        return run_max(None, self.dims, <ndarray>self.g, <ndarray>self.context, self.da)

    def rule(self, Tensor g not None):
        places = np.indices(self.shape)[self.dim] if self.shape else 0
        index = self.put_back(wrap(self.read_context())).array
        return (self.put_back(g) * wrap(np.asarray(places == index)).to(g.dtype),)

    @staticmethod
    def samples(draw):
        for shape, dim in (((3, 5), 0), ((3, 5), -1), ((2, 3, 5), 1), ((), 0), ((0, 3), 1)):
            yield Sample(lambda x, d=dim: max(x, d)[0], [draw.distinct(*shape)],
                         lambda x, d=dim: np.max(x, axis=d) if x.ndim else x,
                         kinks="where the largest elements are equal")


def max(input, dim=None, bint keepdim=False, *, axis=None, bint keepdims=False):
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
    cdef Tensor x = as_tensor(input, "input")
    dim, keepdim = either(dim, axis), keepdim or keepdims
    if isinstance(dim, Tensor):
        return maximum(x, dim)
    if dim is None:
        check_no_keepdim("max", keepdim)
        return amax(x)
    dim = normal_dim(dim, cnp.PyArray_NDIM(x.array))
    if not is_float(x.array):
        return _of_integers(np.max, "max", x, dim, keepdim), argmax(x, dim, keepdim)
    cdef Max op = Max.__new__(Max)
    op.dim = dim
    values = op.apply(NULL, x, dim, keepdim)
    return values, wrap((<object>op.context).copy())      # the context is backward's


def min(input, dim=None, bint keepdim=False, *, axis=None, bint keepdims=False):
    """The smallest of all elements; along a dimension, the smallest and where they are. See ``max``.

    Formula: y = min(x_1, ..., x_n) = -max(-x_1, ..., -x_n)

    >>> import microtensor as mt
    >>> mt.min(mt.tensor([[1.0, 2.0], [4.0, 3.0]]), dim=1)
    (tensor([1., 3.]), tensor([0, 1]))
    """
    cdef Tensor x = as_tensor(input, "input")
    dim, keepdim = either(dim, axis), keepdim or keepdims
    if isinstance(dim, Tensor):
        return minimum(x, dim)
    if dim is None:
        check_no_keepdim("min", keepdim)
        return amin(x)
    dim = normal_dim(dim, cnp.PyArray_NDIM(x.array))
    if not is_float(x.array):
        return _of_integers(np.min, "min", x, dim, keepdim), argmin(x, dim, keepdim)
    values, indices = max(-x, dim, keepdim)
    return -values, indices


def argmax(input, dim=None, bint keepdim=False, *, axis=None, bint keepdims=False):
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
    cdef Tensor x = as_tensor(input, "input")
    dim, keepdim = either(dim, axis), keepdim or keepdims
    return _arg(np.argmax, x, x, dim, keepdim)


def argmin(input, dim=None, bint keepdim=False, *, axis=None, bint keepdims=False):
    """The index of the smallest of all elements, or along a dimension; the first of ties. See ``argmax``.

    >>> import microtensor as mt
    >>> mt.argmin(mt.tensor([[1.0, 2.0], [4.0, 3.0]]), dim=1)
    tensor([0, 1])
    """
    cdef Tensor x = as_tensor(input, "input")
    dim, keepdim = either(dim, axis), keepdim or keepdims
    return _arg(np.argmin, x, -x.detach() if is_float(x.array) else x, dim, keepdim)


cdef Tensor _arg(object function, Tensor input, Tensor x, object dim, bint keepdim):
    """NumPy's argmax or argmin; for floats the index of the largest of x, which is the input or -input."""
    cdef ndarray array = contiguous(x.array)
    cdef int d, kept = 0, ndim = cnp.PyArray_NDIM(array)
    cdef Py_ssize_t axis = 0 if dim is None else normal_dim(dim, ndim)
    cdef Py_ssize_t shape[MAX_DIMS]
    for d in range(ndim):
        if dim is not None and d != axis:
            shape[kept] = cnp.PyArray_DIM(array, d)
            kept += 1
        elif keepdim:
            shape[kept] = 1
            kept += 1
    if cnp.PyArray_SIZE(array) == 0 and (dim is None or ndim == 0 or cnp.PyArray_DIM(array, axis) == 0):
        raise ValueError(f"{function.__name__} of no elements: x has shape {input.shape}")
    cdef ndarray index = empty(kept, shape, cnp.NPY_INT64)
    if is_float(array):
        run_max(array, ~<Dims>0 if dim is None else <Dims>1 << axis, empty(kept, shape, cnp.PyArray_TYPE(array)), index,
                None)
    else:
        found = function(np.atleast_1d(lent(array)), axis=None if dim is None else axis)
        (<object>index)[...] = np.reshape(found, (<object>index).shape)
    return wrap(index)


# -- logsumexp ------------------------------------------------------------------------------------------------
# y = ln(e^x_1 + ... + e^x_n) = m + ln(e^(x_1 - m) + ... + e^(x_n - m)),  m = max(x): no term overflows
# dy/dx_l = e^x_l / (e^x_1 + ... + e^x_n) = e^(x_l - y)                  the softmax
# dx_l = g e^(x_l - y)

cdef void exponentials_rows(const real* x, const Block* block, const double* centre, double* result) noexcept nogil:
    cdef Py_ssize_t first = 0, start, j, l, rows, count, n = block.length, together = SMALL_TILE // n if n > 0 else 1
    cdef real e[SMALL_TILE]
    while first < block.lines and n <= SMALL_TILE // 2:       # exponentials of several short rows in one vector loop
        rows = together if together < block.lines - first else block.lines - first
        for j in range(rows):
            for l in range(n):
                e[j * n + l] = x[(first + j) * block.line_step + l] - <real>centre[first + j]
        for l in range(rows * n):
            e[l] = simd.exp(e[l])
        for j in range(rows):
            result[first + j] += sum_run(e + j * n, n)
        first += rows
    for j in range(first, block.lines):
        start = 0
        while start < n:
            count = SMALL_TILE if SMALL_TILE < n - start else n - start
            for l in range(count):
                e[l] = simd.exp(x[j * block.line_step + start + l] - <real>centre[j])
            result[j] += sum_run(e, count)
            start += count


cdef void exponentials_columns(const real* x, const Block* block, const double* centre, double* result) noexcept nogil:
    cdef Py_ssize_t j, _l
    cdef real c[SMALL_TILE]
    for j in range(block.lines):
        c[j] = <real>centre[j]
    for _l in range(block.length):
        for j in range(block.lines):
            result[j] += simd.exp(x[j] - c[j])
        x += block.step


cdef void exponentials_spread(const real* x, const real* factor, const double* centre, real* dx,
                              Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(n):
        dx[j] = factor[j] * (0 if centre[j] == -<double>simd.INFINITY else simd.exp(x[j] - <real>centre[j]))


cdef Pass EXPONENTIALS = Pass(exponentials_rows[float], exponentials_columns[float], exponentials_rows[double],
                              exponentials_columns[double], False)
cdef Spread EXPONENTIALS_SPREAD = Spread(exponentials_spread[float], exponentials_spread[double])


cdef void logsumexp_forward(const real* x, real* y, const Tile* tile, double scale) noexcept nogil:
    cdef Py_ssize_t j
    cdef double m[SMALL_TILE]
    cdef double total[SMALL_TILE]
    accumulate(&LARGEST, x, tile, m, m)
    accumulate(&EXPONENTIALS, x, tile, m, total)
    for j in range(tile.block.lines):               # all -inf, or one inf: inf - inf would be nan
        y[j] = <real>(m[j] if simd.fabs(m[j]) == simd.INFINITY else m[j] + simd.log(total[j]))


cdef void logsumexp_backward(const real* x, const real* y, const real* g, real* dx, const Tile* tile,
                             double scale) noexcept nogil:
    cdef Py_ssize_t j
    cdef double centre[TILE]
    for j in range(tile.block.lines):
        centre[j] = y[j]
    spread(&EXPONENTIALS_SPREAD, x, g, centre, dx, tile)


cdef ReductionLoops LOGSUMEXP_LOOPS = ReductionLoops(
    logsumexp_forward[float], logsumexp_forward[double], logsumexp_backward[float], logsumexp_backward[double], True,
    False, ELEMENTS_PER_THREAD)


@cython.final
@cython.no_gc
cdef class LogSumExp(Reduction):
    """ln(e^x_1 + ... + e^x_n), without overflow."""

    cdef int reads(self) noexcept:
        return INPUT | OUTPUT

    def rule(self, Tensor g not None):
        y = self.put_back(self.output())
        y = where(y.detach() == -np.inf, 0.0, y)            # where all x are -inf: 0, not nan
        return (self.put_back(g) * exp(self.input(0) - y),)

    @staticmethod
    def samples(draw):
        def twin(x, axis=None, keepdims=False):
            with np.errstate(divide="ignore"):
                return np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims))

        yield from reduction_samples(lambda x, dim=None, keepdim=False: logsumexp(x, dim, keepdim), twin, draw)
        yield Sample(lambda x: logsumexp(x, 0), [draw()], lambda x: x)


def logsumexp(input, dim=None, bint keepdim=False, *, axis=None, bint keepdims=False):
    """ln(e^x_1 + ... + e^x_n) along dimensions, without overflow; -inf where there are no elements.

    Formula: y = ln(e^x_1 + ... + e^x_n)

    >>> import microtensor as mt
    >>> mt.logsumexp(mt.tensor([1000.0, 0.0]), dim=0)
    tensor(1000.)
    """
    dim, keepdim = either(dim, axis), keepdim or keepdims
    cdef LogSumExp op = LogSumExp.__new__(LogSumExp)
    return op.apply(&LOGSUMEXP_LOOPS, input, dim, keepdim)
