"""Activations, element by element (relu, tanh, ...) and along a dimension (softmax, log_softmax).

x is the input, y the output, g = dL/dy, dx = dL/dx.
"""

cimport cython
cimport numpy as cnp
from cython.parallel cimport prange
from numpy cimport ndarray

from microtensor.kernels cimport simd
from microtensor.core cimport Engine, Op, Tensor, contiguous, empty_like, is_single, record
from microtensor.ops.elementwise cimport INPUT, OUTPUT, Unary, as_float
from microtensor.ops.axes cimport Axes, axes_of, normal_dim
from microtensor.kernels.simd cimport real
from microtensor.kernels.threads cimport PARALLEL_ELEMENTS, RELEASE_ELEMENTS, share, threads_for

import numpy as np

from microtensor.ops.arithmetic import exp, where
from microtensor.ops.sample import Sample, unary_samples

cnp.import_array()


# -- relu -----------------------------------------------------------------------------------------------------
# y' = 1 for x > 0, 0 for x < 0; at the kink x = 0 the subgradient 0 is taken (PyTorch's choice)
# dx = g where y > 0                                                    y > 0 exactly where x > 0

cdef void relu_forward(const real* x, real* y, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        y[i] = 0 if x[i] < 0 else x[i]


cdef void relu_backward(const real* y, const real* g, real* dx, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        dx[i] = g[i] if y[i] > 0 else 0


@cython.final
@cython.no_gc
cdef class ReLU(Unary):
    """max(x, 0)."""

    cdef void forward_loop(self, const void* x, void* y, Py_ssize_t n) noexcept nogil:
        if self.single:
            relu_forward(<const float*>x, <float*>y, n)
        else:
            relu_forward(<const double*>x, <double*>y, n)

    cdef void backward_loop(self, const void* kept, const void* g, void* dx, Py_ssize_t n) noexcept nogil:
        if self.single:
            relu_backward(<const float*>kept, <const float*>g, <float*>dx, n)
        else:
            relu_backward(<const double*>kept, <const double*>g, <double*>dx, n)

    def rule(self, Tensor g):
        return (g * (self.output().detach() > 0).to(g.dtype),)

    @staticmethod
    def samples(draw):
        yield from unary_samples(relu, lambda x: np.maximum(x, 0), draw.nonzero, kinks="0")


def relu(Tensor input not None):
    """The positive part of each element; its gradient at 0 is 0.

    Args:
        input: x, any shape; integers and bools are converted to float32.

    Returns:
        A tensor of x's shape.

    Formula: y = max(x, 0)

    >>> import microtensor as mt
    >>> mt.relu(mt.tensor([1.0, -2.0]))
    tensor([1., 0.])
    """
    cdef ReLU op = ReLU.__new__(ReLU)
    return op.apply(input, OUTPUT)


# -- leaky_relu -----------------------------------------------------------------------------------------------
# y' = 1 for x > 0, slope elsewhere (at the kink x = 0 too, PyTorch's choice)
# dx = g or slope g                                                     needs x: y hides its sign if slope <= 0

cdef void leaky_relu_forward(const real* x, real* y, Py_ssize_t n, real slope) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        y[i] = x[i] if x[i] > 0 else slope * x[i]


cdef void leaky_relu_backward(const real* x, const real* g, real* dx, Py_ssize_t n, real slope) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        dx[i] = g[i] if x[i] > 0 else slope * g[i]


@cython.final
@cython.no_gc
cdef class LeakyReLU(Unary):
    """x for x > 0, slope x elsewhere."""

    cdef double slope

    cdef void forward_loop(self, const void* x, void* y, Py_ssize_t n) noexcept nogil:
        if self.single:
            leaky_relu_forward(<const float*>x, <float*>y, n, <float>self.slope)
        else:
            leaky_relu_forward(<const double*>x, <double*>y, n, self.slope)

    cdef void backward_loop(self, const void* kept, const void* g, void* dx, Py_ssize_t n) noexcept nogil:
        if self.single:
            leaky_relu_backward(<const float*>kept, <const float*>g, <float*>dx, n, <float>self.slope)
        else:
            leaky_relu_backward(<const double*>kept, <const double*>g, <double*>dx, n, self.slope)

    def rule(self, Tensor g):
        return (where(self.input(0).detach() > 0, g, self.slope * g),)

    @staticmethod
    def samples(draw):
        yield from unary_samples(lambda x: leaky_relu(x, 0.1),
                                 lambda x: np.where(x > 0, x, 0.1 * x), draw.nonzero, kinks="0")


def leaky_relu(Tensor input not None, double negative_slope=0.01):
    """Each element, multiplied by negative_slope where it is not positive.

    Args:
        input: x, any shape.
        negative_slope: a number.

    Returns:
        A tensor of x's shape.

    Formula: y = x for x > 0, negative_slope x elsewhere (Maas et al. 2013)

    >>> import microtensor as mt
    >>> mt.leaky_relu(mt.tensor([1.0, -2.0]), 0.1)
    tensor([ 1. , -0.2])
    """
    cdef LeakyReLU op = LeakyReLU.__new__(LeakyReLU)
    op.slope = negative_slope
    return op.apply(input, INPUT)


# -- sigmoid --------------------------------------------------------------------------------------------------
# y' = e^-x / (1 + e^-x)^2 = y (1 - y)
# dx = g y (1 - y)                                                      needs y, not x

cdef void sigmoid_forward(const real* x, real* y, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        y[i] = simd.sigmoid(x[i])


cdef void sigmoid_backward(const real* y, const real* g, real* dx, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        dx[i] = g[i] * y[i] * (<real>1 - y[i])


@cython.final
@cython.no_gc
cdef class Sigmoid(Unary):
    """1 / (1 + e^-x): squash each element into (0, 1)."""

    cdef void forward_loop(self, const void* x, void* y, Py_ssize_t n) noexcept nogil:
        if self.single:
            sigmoid_forward(<const float*>x, <float*>y, n)
        else:
            sigmoid_forward(<const double*>x, <double*>y, n)

    cdef void backward_loop(self, const void* kept, const void* g, void* dx, Py_ssize_t n) noexcept nogil:
        if self.single:
            sigmoid_backward(<const float*>kept, <const float*>g, <float*>dx, n)
        else:
            sigmoid_backward(<const double*>kept, <const double*>g, <double*>dx, n)

    def rule(self, Tensor g):
        y = self.output()
        return (g * y * (1 - y),)

    @staticmethod
    def samples(draw):
        yield from unary_samples(sigmoid, lambda x: 1 / (1 + np.exp(-x)), draw)


def sigmoid(Tensor input not None):
    """Squash each element into (0, 1).

    Args:
        input: x, any shape; integers and bools are converted to float32.

    Returns:
        A tensor of x's shape.

    Formula: y = 1 / (1 + e^-x)

    >>> import microtensor as mt
    >>> mt.sigmoid(mt.tensor([0.0, 2.0]))
    tensor([0.5   , 0.8808])
    """
    cdef Sigmoid op = Sigmoid.__new__(Sigmoid)
    return op.apply(input, OUTPUT)


# -- tanh -----------------------------------------------------------------------------------------------------
# y = (e^x - e^-x) / (e^x + e^-x)
# y' = ((e^x + e^-x)^2 - (e^x - e^-x)^2) / (e^x + e^-x)^2 = 1 - y^2      (quotient rule)
# dx = g (1 - y^2)                                                      needs y, not x

cdef void tanh_forward(const real* x, real* y, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        y[i] = simd.tanh(x[i])


cdef void tanh_backward(const real* y, const real* g, real* dx, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        dx[i] = g[i] * (<real>1 - y[i] * y[i])


@cython.final
@cython.no_gc
cdef class Tanh(Unary):
    """tanh(x): squash each element into (-1, 1)."""

    cdef void forward_loop(self, const void* x, void* y, Py_ssize_t n) noexcept nogil:
        if self.single:
            tanh_forward(<const float*>x, <float*>y, n)
        else:
            tanh_forward(<const double*>x, <double*>y, n)

    cdef void backward_loop(self, const void* kept, const void* g, void* dx, Py_ssize_t n) noexcept nogil:
        if self.single:
            tanh_backward(<const float*>kept, <const float*>g, <float*>dx, n)
        else:
            tanh_backward(<const double*>kept, <const double*>g, <double*>dx, n)

    def rule(self, Tensor g):
        y = self.output()
        return (g * (1 - y * y),)

    @staticmethod
    def samples(draw):
        yield from unary_samples(tanh, np.tanh, draw)


def tanh(Tensor input not None):
    """Squash each element into (-1, 1).

    Args:
        input: x, any shape; integers and bools are converted to float32.

    Returns:
        A tensor of x's shape.

    Formula: y = (e^x - e^-x) / (e^x + e^-x)

    >>> import microtensor as mt
    >>> mt.tanh(mt.tensor([0.0, 1.0]))
    tensor([0.    , 0.7616])
    """
    cdef Tanh op = Tanh.__new__(Tanh)
    return op.apply(input, OUTPUT)


# -- elu ------------------------------------------------------------------------------------------------------
# y' = 1 for x > 0, alpha e^x = y + alpha elsewhere
# dx = g or g (y + alpha)                                               y > 0 exactly where x > 0, as alpha >= 0

cdef void elu_forward(const real* x, real* y, Py_ssize_t n, real alpha) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        y[i] = x[i] if x[i] >= 0 else alpha * simd.expm1(x[i])


cdef void elu_backward(const real* y, const real* g, real* dx, Py_ssize_t n, real alpha) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        dx[i] = g[i] if y[i] > 0 else g[i] * (y[i] + alpha)


@cython.final
@cython.no_gc
cdef class ELU(Unary):
    """x for x > 0, alpha (e^x - 1) elsewhere."""

    cdef double alpha

    cdef void forward_loop(self, const void* x, void* y, Py_ssize_t n) noexcept nogil:
        if self.single:
            elu_forward(<const float*>x, <float*>y, n, <float>self.alpha)
        else:
            elu_forward(<const double*>x, <double*>y, n, self.alpha)

    cdef void backward_loop(self, const void* kept, const void* g, void* dx, Py_ssize_t n) noexcept nogil:
        if self.single:
            elu_backward(<const float*>kept, <const float*>g, <float*>dx, n, <float>self.alpha)
        else:
            elu_backward(<const double*>kept, <const double*>g, <double*>dx, n, self.alpha)

    def rule(self, Tensor g):
        y = self.output()
        return (where(y.detach() > 0, g, g * (y + self.alpha)),)

    @staticmethod
    def samples(draw):
        yield from unary_samples(lambda x: elu(x, 1.3),
                                 lambda x: np.where(x > 0, x, 1.3 * np.expm1(x)), draw.nonzero,
                                 kinks="0, unless alpha = 1")


def elu(Tensor input not None, double alpha=1.0):
    """Each element where positive, and a smooth descent to -alpha below 0.

    Args:
        input: x, any shape.
        alpha: a number >= 0.

    Returns:
        A tensor of x's shape.

    Raises:
        ValueError: if alpha is negative.

    Formula: y = x for x > 0, alpha (e^x - 1) elsewhere (Clevert et al. 2015)

    >>> import microtensor as mt
    >>> mt.elu(mt.tensor([1.0, -2.0]))
    tensor([ 1.    , -0.8647])
    """
    if not alpha >= 0:
        raise ValueError(f"elu needs alpha >= 0, got {alpha}")
    cdef ELU op = ELU.__new__(ELU)
    op.alpha = alpha
    return op.apply(input, OUTPUT)


# -- selu -----------------------------------------------------------------------------------------------------
# With scale and alpha such that mean 0 and variance 1 are a fixed point through a layer (Klambauer et al. 2017)
# y' = scale for x > 0, scale alpha e^x = y + scale alpha elsewhere
# dx = g scale or g (y + scale alpha)                                   y > 0 exactly where x > 0

cdef double SELU_ALPHA = 1.6732632423543772848170429916717
cdef double SELU_SCALE = 1.0507009873554804934193349852946
cdef double SELU_SCALE_ALPHA = 1.7580993408473768
cdef double SELU_SCALE_ALPHA_REST = 1.4153519380084498e-17       # what rounding took from it

cdef void selu_forward(const real* x, real* y, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef real scale = <real>SELU_SCALE, scale_alpha = <real>SELU_SCALE_ALPHA, m
    cdef real rest = <real>(SELU_SCALE_ALPHA - scale_alpha + SELU_SCALE_ALPHA_REST)
    for i in range(n):
        m = simd.expm1(x[i])
        y[i] = scale * x[i] if x[i] >= 0 else scale_alpha * m + rest * m


cdef void selu_backward(const real* y, const real* g, real* dx, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef real scale = <real>SELU_SCALE, scale_alpha = <real>SELU_SCALE_ALPHA
    for i in range(n):
        dx[i] = g[i] * scale if y[i] > 0 else g[i] * (y[i] + scale_alpha)


@cython.final
@cython.no_gc
cdef class SELU(Unary):
    """scale (x for x > 0, alpha (e^x - 1) elsewhere)."""

    cdef void forward_loop(self, const void* x, void* y, Py_ssize_t n) noexcept nogil:
        if self.single:
            selu_forward(<const float*>x, <float*>y, n)
        else:
            selu_forward(<const double*>x, <double*>y, n)

    cdef void backward_loop(self, const void* kept, const void* g, void* dx, Py_ssize_t n) noexcept nogil:
        if self.single:
            selu_backward(<const float*>kept, <const float*>g, <float*>dx, n)
        else:
            selu_backward(<const double*>kept, <const double*>g, <double*>dx, n)

    def rule(self, Tensor g):
        y = self.output()
        return (where(y.detach() > 0, g * SELU_SCALE, g * (y + SELU_SCALE_ALPHA)),)

    @staticmethod
    def samples(draw):
        yield from unary_samples(selu,
                                 lambda x: SELU_SCALE * np.where(x > 0, x, SELU_ALPHA * np.expm1(x)), draw.nonzero,
                                 kinks="0")


def selu(Tensor input not None):
    """ELU, scaled so that activations keep mean 0 and variance 1 from layer to layer.

    Args:
        input: x, any shape.

    Returns:
        A tensor of x's shape.

    Formula: y = scale x for x > 0, scale alpha (e^x - 1) elsewhere; scale = 1.0507..., alpha = 1.6733...
    (Klambauer et al. 2017, Self-Normalizing Neural Networks)

    >>> import microtensor as mt
    >>> mt.selu(mt.tensor([1.0, -2.0]))
    tensor([ 1.0507, -1.5202])
    """
    cdef SELU op = SELU.__new__(SELU)
    return op.apply(input, OUTPUT)


# -- softplus -------------------------------------------------------------------------------------------------
# y = ln(1 + e^(bx)) / b = (max(bx, 0) + ln(1 + e^-|bx|)) / b             b = beta; the exponent is never positive
# y' = e^(bx) / (1 + e^(bx)) = s(bx), s the sigmoid
# dx = g s(bx)                                                          needs x
# For bx above the threshold y = x and y' = 1: there the difference is lost in rounding (PyTorch's convention).

cdef void softplus_forward(const real* x, real* y, Py_ssize_t n, real beta, real threshold) noexcept nogil:
    cdef Py_ssize_t i
    cdef real bx, smooth, unit = <real>1 / beta
    for i in range(n):
        bx = beta * x[i]
        smooth = ((0 if bx < 0 else bx) + simd.log1p(simd.exp(-simd.fabs(bx)))) * unit
        y[i] = x[i] if bx > threshold else smooth


cdef void softplus_backward(const real* x, const real* g, real* dx, Py_ssize_t n, real beta,
                            real threshold) noexcept nogil:
    cdef Py_ssize_t i
    cdef real slope
    for i in range(n):
        slope = simd.sigmoid(beta * x[i])
        dx[i] = g[i] if beta * x[i] > threshold else g[i] * slope


@cython.final
@cython.no_gc
cdef class Softplus(Unary):
    """ln(1 + e^(beta x)) / beta: a smooth max(x, 0)."""

    cdef double beta, threshold

    cdef void forward_loop(self, const void* x, void* y, Py_ssize_t n) noexcept nogil:
        if self.single:
            softplus_forward(<const float*>x, <float*>y, n, <float>self.beta, <float>self.threshold)
        else:
            softplus_forward(<const double*>x, <double*>y, n, self.beta, self.threshold)

    cdef void backward_loop(self, const void* kept, const void* g, void* dx, Py_ssize_t n) noexcept nogil:
        if self.single:
            softplus_backward(<const float*>kept, <const float*>g, <float*>dx, n, <float>self.beta,
                              <float>self.threshold)
        else:
            softplus_backward(<const double*>kept, <const double*>g, <double*>dx, n, self.beta, self.threshold)

    def rule(self, Tensor g):
        x = self.input(0)
        linear = (self.beta * x.detach()) > self.threshold
        return (where(linear, g, g * sigmoid(self.beta * x)),)

    @staticmethod
    def samples(draw):
        yield from unary_samples(softplus, lambda x: np.log1p(np.exp(x)), draw)
        yield Sample(lambda x: softplus(x, 2.0, 3.0), [draw.away_from(1.5, shape=(3, 5))],
                     lambda x: np.where(2 * x > 3, x, np.log1p(np.exp(2 * x)) / 2), kinks="threshold / beta, slightly")


def softplus(Tensor input not None, double beta=1.0, double threshold=20.0):
    """A smooth approximation of relu, always positive.

    Args:
        input: x, any shape.
        beta: a positive number; the larger, the closer to relu.
        threshold: where beta x is above it, y = x.

    Returns:
        A tensor of x's shape.

    Raises:
        ValueError: if beta is not positive.

    Formula: y = ln(1 + e^(beta x)) / beta (Dugas et al. 2001)

    >>> import microtensor as mt
    >>> mt.softplus(mt.tensor([0.0, 100.0]))
    tensor([  0.6931, 100.    ])
    """
    if not beta > 0:
        raise ValueError(f"softplus needs beta > 0, got {beta}")
    cdef Softplus op = Softplus.__new__(Softplus)
    op.beta, op.threshold = beta, threshold
    return op.apply(input, INPUT)


# -- along a dimension ----------------------------------------------------------------------------------------
#
# Columns are what an op runs along: for the last dimension the rows of x, elsewhere elements that are `inner` apart.
# A loop is given neighbouring columns as a Panel, no more than fit in the first-level cache, and is vectorised along
# the rows if those are long, across the columns if they lie side by side, and over all of the panel where it can.

cdef enum:
    PANEL = 1024                # elements of whole rows; more only if one row is longer
    WIDTH = 128                 # columns side by side
    LANES = 16                  # elements of a row that are reduced at a time


cdef struct Panel:
    Py_ssize_t length, width    # elements in a column, columns
    Py_ssize_t step             # from one element of a column to the next: 1 if they are rows


@cython.no_gc
cdef class AlongDim(Op):
    """An op whose outputs along one dimension each depend on all inputs along it. Keeps y."""

    cdef bint single
    cdef Py_ssize_t dim

    cdef Tensor apply(self, Tensor x, object dim):
        x = as_float(x)
        self.dim = normal_dim(dim, x.ndim)
        self.single = is_single(x.array)
        cdef ndarray x_array = contiguous(x.array)
        cdef ndarray y_array = empty_like(x_array)
        self.run(x_array, None, y_array)
        cdef Tensor y = record(self, y_array, x)
        if y.op is not None:
            self.save(None, None, y)
        return y

    cdef int backward(self, ndarray g, Engine engine) except -1:
        cdef ndarray dx = empty_like(g)
        self.run(self.y, g, dx)
        return engine.give(self, 0, dx)

    cdef int run(self, ndarray x, ndarray g, ndarray target) except -1:
        """Call forward_loop on all columns of x, or with a g backward_loop on those of y, g and dx."""
        cdef Axes axes = axes_of(target, self.dim)
        cdef const char* x_data = <const char*>cnp.PyArray_DATA(x)
        cdef const char* g_data = NULL
        cdef char* target_data = <char*>cnp.PyArray_DATA(target)
        cdef Py_ssize_t columns = axes.outer * axes.inner, size = cnp.PyArray_SIZE(target)
        if g is not None:
            g_data = <const char*>cnp.PyArray_DATA(g)
        if size < RELEASE_ELEMENTS:
            if size > 0:
                self.run_part(x_data, g_data, target_data, axes, 0, columns)
        else:
            with nogil:
                self.run_threads(x_data, g_data, target_data, axes, columns)
        return 0

    cdef void run_threads(self, const char* x, const char* g, char* target, Axes axes,
                          Py_ssize_t columns) noexcept nogil:
        cdef Py_ssize_t part, parts = min(threads_for(columns * axes.length, PARALLEL_ELEMENTS), columns)
        if parts == 1:
            self.run_part(x, g, target, axes, 0, columns)
            return
        for part in prange(parts, num_threads=<int>parts, schedule="static"):
            self.run_part(x, g, target, axes, share(part, parts, columns, 1), share(part + 1, parts, columns, 1))

    cdef void run_part(self, const char* x, const char* g, char* target, Axes axes, Py_ssize_t first,
                       Py_ssize_t last) noexcept nogil:
        """Columns first to last, panel by panel."""
        cdef Py_ssize_t itemsize = 4 if self.single else 8, column = first, start
        cdef Panel panel
        panel.length, panel.step = axes.length, axes.inner
        while column < last:
            if axes.inner == 1:
                panel.width = min(max(PANEL // axes.length, 1), WIDTH)
            else:
                panel.width = min(WIDTH, axes.inner - column % axes.inner)
            panel.width = min(panel.width, last - column)
            start = (column // axes.inner * axes.length * axes.inner + column % axes.inner) * itemsize
            if g == NULL:
                self.forward_loop(x + start, target + start, panel)
            else:
                self.backward_loop(x + start, g + start, target + start, panel)
            column += panel.width

    cdef void forward_loop(self, const void* x, void* y, Panel panel) noexcept nogil:
        """y from x, for the columns of a panel."""

    cdef void backward_loop(self, const void* y, const void* g, void* dx, Panel panel) noexcept nogil:
        """dx from y and g."""


cdef inline real largest(const real* x, Py_ssize_t n) noexcept nogil:
    """The largest element of a row."""
    cdef Py_ssize_t i, k, rest = n % LANES
    cdef real lane[LANES]
    cdef real m = x[0]
    for i in range(1, rest):
        m = x[i] if x[i] > m else m
    if n >= LANES:
        for k in range(LANES):
            lane[k] = m
        for i in range(n // LANES):
            for k in range(LANES):
                lane[k] = x[rest + i * LANES + k] if x[rest + i * LANES + k] > lane[k] else lane[k]
        for k in range(LANES):
            m = lane[k] if lane[k] > m else m
    return m


cdef inline double sum_of(const real* x, Py_ssize_t n) noexcept nogil:
    """The sum of a row."""
    cdef Py_ssize_t i, k, rest = n % LANES
    cdef double lane[LANES]
    cdef double total = 0
    for i in range(rest):
        total += x[i]
    if n >= LANES:
        for k in range(LANES):
            lane[k] = 0
        for i in range(n // LANES):
            for k in range(LANES):
                lane[k] += x[rest + i * LANES + k]
        for k in range(LANES):
            total += lane[k]
    return total


cdef void exp_shifted(const real* x, real* y, real* m, double* total, Panel panel) noexcept nogil:
    """y = e^(x - m) for the columns of a panel, m their largest elements and total the sums of their y."""
    cdef Py_ssize_t l, c, row, length = panel.length, width = panel.width
    if panel.step == 1:
        for c in range(width):
            m[c] = largest(x + c * length, length)
            for l in range(length):
                y[c * length + l] = x[c * length + l] - m[c]
        for l in range(width * length):
            y[l] = simd.exp(y[l])
        for c in range(width):
            total[c] = sum_of(y + c * length, length)
    else:
        for c in range(width):
            m[c] = x[c]
            total[c] = 0
        for l in range(1, length):
            row = l * panel.step
            for c in range(width):
                m[c] = x[row + c] if x[row + c] > m[c] else m[c]
        for l in range(length):
            row = l * panel.step
            for c in range(width):
                y[row + c] = simd.exp(x[row + c] - m[c])
                total[c] += y[row + c]


# -- softmax --------------------------------------------------------------------------------------------------
# y_l = e^x_l / s,  s = e^x_1 + ... + e^x_n;  with every x_l less max(x), y is the same and nothing overflows
# dy_k/dx_l = y_k ([k = l] - y_l)                                        (quotient rule)
# dx_l = sum_k g_k dy_k/dx_l = y_l (g_l - sum_k g_k y_k)                 needs y, not x

cdef void softmax_forward(const real* x, real* y, Panel panel) noexcept nogil:
    cdef Py_ssize_t l, c, at, length = panel.length, width = panel.width
    cdef real m[WIDTH]
    cdef real s[WIDTH]
    cdef double total[WIDTH]
    exp_shifted(x, y, m, total, panel)
    for c in range(width):
        s[c] = <real>total[c]
    if panel.step == 1:
        for c in range(width):
            for at in range(c * length, (c + 1) * length):
                y[at] = y[at] / s[c]
    else:
        for l in range(length):
            for c in range(width):
                at = l * panel.step + c
                y[at] = y[at] / s[c]


cdef void softmax_backward(const real* y, const real* g, real* dx, Panel panel) noexcept nogil:
    cdef Py_ssize_t l, c, at, length = panel.length, width = panel.width
    cdef double dot[WIDTH]
    cdef real s
    if panel.step == 1:
        for at in range(width * length):
            dx[at] = g[at] * y[at]
        for c in range(width):
            s = <real>sum_of(dx + c * length, length)
            for at in range(c * length, (c + 1) * length):
                dx[at] = y[at] * (g[at] - s)
    else:
        for c in range(width):
            dot[c] = 0
        for l in range(length):
            for c in range(width):
                at = l * panel.step + c
                dot[c] += g[at] * y[at]
        for l in range(length):
            for c in range(width):
                at = l * panel.step + c
                dx[at] = y[at] * (g[at] - <real>dot[c])


@cython.final
@cython.no_gc
cdef class Softmax(AlongDim):
    """e^x_l / (e^x_1 + ... + e^x_n)."""

    cdef void forward_loop(self, const void* x, void* y, Panel panel) noexcept nogil:
        if self.single:
            softmax_forward(<const float*>x, <float*>y, panel)
        else:
            softmax_forward(<const double*>x, <double*>y, panel)

    cdef void backward_loop(self, const void* y, const void* g, void* dx, Panel panel) noexcept nogil:
        if self.single:
            softmax_backward(<const float*>y, <const float*>g, <float*>dx, panel)
        else:
            softmax_backward(<const double*>y, <const double*>g, <double*>dx, panel)

    def rule(self, Tensor g):
        y = self.output()
        return (y * (g - (g * y).sum(self.dim, keepdim=True)),)

    @staticmethod
    def samples(draw):
        def twin(x, axis):
            e = np.exp(x - x.max(axis, keepdims=True)) if x.size else x
            return e / e.sum(axis, keepdims=True)

        for shape, dim in (((3, 5), -1), ((3, 5), 0), ((2, 3, 5), 1), ((0, 3), 1)):
            yield Sample(lambda x, d=dim: softmax(x, d), [draw(*shape)], lambda x, d=dim: twin(x, d))
        yield Sample(lambda x: softmax(x, 0), [draw()], np.ones_like, zero_gradient=True)


def softmax(Tensor input not None, dim):
    """Each element's share of the exponentials along a dimension: positive, and 1 in sum.

    Args:
        input: x, any shape.
        dim: the dimension along which the result sums to 1.

    Returns:
        A tensor of x's shape.

    Raises:
        IndexError: if the dimension is out of range.

    Formula: y_l = e^x_l / (e^x_1 + ... + e^x_n)

    >>> import microtensor as mt
    >>> mt.softmax(mt.tensor([0.0, 0.0, 1000.0]), dim=0)
    tensor([0., 0., 1.])
    """
    cdef Softmax op = Softmax.__new__(Softmax)
    return op.apply(input, dim)


# -- log_softmax ----------------------------------------------------------------------------------------------
# y_l = ln softmax(x)_l = x_l - ln s,  s = e^x_1 + ... + e^x_n
# dy_k/dx_l = [k = l] - e^x_l / s = [k = l] - e^y_l
# dx_l = g_l - e^y_l sum_k g_k                                          needs y, not x

cdef void log_softmax_forward(const real* x, real* y, Panel panel) noexcept nogil:
    cdef Py_ssize_t l, c, at, length = panel.length, width = panel.width
    cdef real m[WIDTH]
    cdef real log_s[WIDTH]
    cdef double total[WIDTH]
    exp_shifted(x, y, m, total, panel)
    for c in range(width):
        log_s[c] = <real>simd.log(total[c])
    if panel.step == 1:
        for c in range(width):
            for at in range(c * length, (c + 1) * length):
                y[at] = (x[at] - m[c]) - log_s[c]
    else:
        for l in range(length):
            for c in range(width):
                at = l * panel.step + c
                y[at] = (x[at] - m[c]) - log_s[c]


cdef void log_softmax_backward(const real* y, const real* g, real* dx, Panel panel) noexcept nogil:
    cdef Py_ssize_t l, c, at, length = panel.length, width = panel.width
    cdef double total[WIDTH]
    cdef real s
    if panel.step == 1:
        for at in range(width * length):
            dx[at] = simd.exp(y[at])
        for c in range(width):
            s = <real>sum_of(g + c * length, length)
            for at in range(c * length, (c + 1) * length):
                dx[at] = g[at] - dx[at] * s
    else:
        for c in range(width):
            total[c] = 0
        for l in range(length):
            for c in range(width):
                total[c] += g[l * panel.step + c]
        for l in range(length):
            for c in range(width):
                at = l * panel.step + c
                dx[at] = g[at] - simd.exp(y[at]) * <real>total[c]


@cython.final
@cython.no_gc
cdef class LogSoftmax(AlongDim):
    """x_l - ln(e^x_1 + ... + e^x_n)."""

    cdef void forward_loop(self, const void* x, void* y, Panel panel) noexcept nogil:
        if self.single:
            log_softmax_forward(<const float*>x, <float*>y, panel)
        else:
            log_softmax_forward(<const double*>x, <double*>y, panel)

    cdef void backward_loop(self, const void* y, const void* g, void* dx, Panel panel) noexcept nogil:
        if self.single:
            log_softmax_backward(<const float*>y, <const float*>g, <float*>dx, panel)
        else:
            log_softmax_backward(<const double*>y, <const double*>g, <double*>dx, panel)

    def rule(self, Tensor g):
        return (g - exp(self.output()) * g.sum(self.dim, keepdim=True),)

    @staticmethod
    def samples(draw):
        def twin(x, axis):
            return x - np.log(np.exp(x).sum(axis, keepdims=True)) if x.size else x

        for shape, dim in (((3, 5), -1), ((3, 5), 0), ((2, 3, 5), 1), ((0, 3), 1)):
            yield Sample(lambda x, d=dim: log_softmax(x, d), [draw(*shape)], lambda x, d=dim: twin(x, d))
        yield Sample(lambda x: log_softmax(x, 0), [draw()], np.zeros_like, zero_gradient=True)


def log_softmax(Tensor input not None, dim):
    """The logarithm of softmax along a dimension, without its overflow and underflow.

    Args:
        input: x, any shape.
        dim: the dimension along which the exponentials of the result sum to 1.

    Returns:
        A tensor of x's shape.

    Raises:
        IndexError: if the dimension is out of range.

    Formula: y_l = x_l - ln(e^x_1 + ... + e^x_n)

    >>> import microtensor as mt
    >>> mt.log_softmax(mt.tensor([0.0, 0.0, 1000.0]), dim=0)
    tensor([-1000., -1000.,     0.])
    """
    cdef LogSoftmax op = LogSoftmax.__new__(LogSoftmax)
    return op.apply(input, dim)
