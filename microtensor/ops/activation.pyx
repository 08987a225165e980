"""Activations, element by element: relu, leaky_relu, sigmoid, silu, tanh, gelu, elu, selu, softplus.

x is the input, y the output, g = dL/dy, dx = dL/dx. Each function takes a tensor of any shape and returns one of the
same shape; integers and bools are converted to float32.
"""

cimport cython
cimport numpy as cnp

from microtensor.core cimport INPUT, OUTPUT, Tensor
from microtensor.kernels cimport simd
from microtensor.kernels.simd cimport real
from microtensor.ops.base cimport Unary, UnaryLoops, unary

import numpy as np

from microtensor.ops.arithmetic import exp, where
from microtensor.ops.sample import Sample, unary_samples

cnp.import_array()


# -- relu -----------------------------------------------------------------------------------------------------
# y' = 1 for x > 0, 0 for x < 0; at the kink x = 0 the subgradient 0 is taken (PyTorch's choice)
# dx = g where y > 0                                                    y > 0 exactly where x > 0

cdef void relu_forward(const real* x, real* y, Py_ssize_t n, const double* options) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        y[i] = 0 if x[i] < 0 else x[i]


cdef void relu_backward(const real* y, const real* g, real* dx, Py_ssize_t n, const double* options) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        dx[i] = g[i] if y[i] > 0 else 0


cdef UnaryLoops RELU_LOOPS = unary(
    OUTPUT, relu_forward[float], relu_forward[double], relu_backward[float], relu_backward[double])


@cython.final
@cython.no_gc
cdef class ReLU(Unary):
    """max(x, 0)."""

    def rule(self, Tensor g not None):
        return (g * (self.output().detach() > 0).to(g.dtype),)

    @staticmethod
    def samples(draw):
        yield from unary_samples(relu, lambda x, f: f.where(x > 0, x, 0), lambda x, y, f: f.where(y > 0, 1, 0),
                                 draw.nonzero, kinks="0")


def relu(input):
    """The positive part of each element; its gradient at 0 is 0.

    Formula: y = max(x, 0)

    >>> import microtensor as mt
    >>> mt.relu(mt.tensor([1.0, -2.0]))
    tensor([1., 0.])
    """
    cdef ReLU op = ReLU.__new__(ReLU)
    return op.apply(&RELU_LOOPS, input)


# -- leaky_relu -----------------------------------------------------------------------------------------------
# y' = 1 for x > 0, slope elsewhere (at the kink x = 0 too, PyTorch's choice)
# dx = g or slope g                                                     needs x: y hides its sign if slope <= 0

cdef void leaky_relu_forward(const real* x, real* y, Py_ssize_t n, const double* options) noexcept nogil:
    cdef Py_ssize_t i
    cdef real slope = <real>options[0]
    for i in range(n):
        y[i] = x[i] if x[i] > 0 else slope * x[i]


cdef void leaky_relu_backward(const real* x, const real* g, real* dx, Py_ssize_t n,
                              const double* options) noexcept nogil:
    cdef Py_ssize_t i
    cdef real slope = <real>options[0]
    for i in range(n):
        dx[i] = g[i] if x[i] > 0 else slope * g[i]


cdef UnaryLoops LEAKY_RELU_LOOPS = unary(
    INPUT, leaky_relu_forward[float], leaky_relu_forward[double],
    leaky_relu_backward[float], leaky_relu_backward[double])


@cython.final
@cython.no_gc
cdef class LeakyReLU(Unary):
    """x for x > 0, slope x elsewhere."""

    def rule(self, Tensor g not None):
        return (where(self.input(0).detach() > 0, g, self.options[0] * g),)

    @staticmethod
    def samples(draw):
        for slope in (0.01, 0.1):
            yield from unary_samples(leaky_relu, lambda x, f, negative_slope: f.where(x > 0, x, negative_slope * x),
                                     lambda x, y, f, negative_slope: f.where(x > 0, 1, negative_slope),
                                     draw.nonzero, kinks="0", negative_slope=slope)


def leaky_relu(input, double negative_slope=0.01):
    """Each element, multiplied by negative_slope where it is not positive.

    Args:
        negative_slope: a number.

    Formula: y = x for x > 0, negative_slope x elsewhere (Maas et al. 2013)

    >>> import microtensor as mt
    >>> mt.leaky_relu(mt.tensor([1.0, -2.0]), 0.1)
    tensor([ 1. , -0.2])
    """
    cdef LeakyReLU op = LeakyReLU.__new__(LeakyReLU)
    op.options[0] = negative_slope
    return op.apply(&LEAKY_RELU_LOOPS, input)


# -- sigmoid --------------------------------------------------------------------------------------------------
# y' = e^-x / (1 + e^-x)^2 = y (1 - y)
# dx = g y (1 - y)                                                      needs y, not x

cdef void sigmoid_forward(const real* x, real* y, Py_ssize_t n, const double* options) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        y[i] = simd.sigmoid(x[i])


cdef void sigmoid_backward(const real* y, const real* g, real* dx, Py_ssize_t n, const double* options) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        dx[i] = g[i] * y[i] * (<real>1 - y[i])


cdef UnaryLoops SIGMOID_LOOPS = unary(
    OUTPUT, sigmoid_forward[float], sigmoid_forward[double], sigmoid_backward[float], sigmoid_backward[double])


@cython.final
@cython.no_gc
cdef class Sigmoid(Unary):
    """1 / (1 + e^-x): squash each element into (0, 1)."""

    def rule(self, Tensor g not None):
        y = self.output()
        return (g * y * (1 - y),)

    @staticmethod
    def samples(draw):
        yield from unary_samples(sigmoid, lambda x, f: f.sigmoid(x), lambda x, y, f: y * (1 - y), draw)


def sigmoid(input):
    """Squash each element into (0, 1).

    Formula: y = 1 / (1 + e^-x)

    >>> import microtensor as mt
    >>> mt.sigmoid(mt.tensor([0.0, 2.0]))
    tensor([0.5   , 0.8808])
    """
    cdef Sigmoid op = Sigmoid.__new__(Sigmoid)
    return op.apply(&SIGMOID_LOOPS, input)


# -- silu -----------------------------------------------------------------------------------------------------
# y = x s(x), s the sigmoid: x is used twice
# y' = s + x s (1 - s)                                                   (product rule, and s' = s (1 - s))
# dx = g (s + x s (1 - s))                                              needs x: y has the same value at two of them
# 1 - s(x) is computed as s(-x), which is as good where it is small, and costs no second exponential.

cdef void silu_forward(const real* x, real* y, Py_ssize_t n, const double* options) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        y[i] = x[i] * simd.sigmoid(x[i])


cdef void silu_backward(const real* x, const real* g, real* dx, Py_ssize_t n, const double* options) noexcept nogil:
    cdef Py_ssize_t i
    cdef real s
    for i in range(n):
        s = simd.sigmoid(x[i])
        dx[i] = g[i] * (s + x[i] * (s * simd.sigmoid(-x[i])))


cdef UnaryLoops SILU_LOOPS = unary(
    INPUT, silu_forward[float], silu_forward[double], silu_backward[float], silu_backward[double])


@cython.final
@cython.no_gc
cdef class SiLU(Unary):
    """x / (1 + e^-x)."""

    def rule(self, Tensor g not None):
        x = self.input(0)
        s = sigmoid(x)
        return (g * (s + x * (s * sigmoid(-x))),)

    @staticmethod
    def samples(draw):
        yield from unary_samples(silu, lambda x, f: x * f.sigmoid(x),
                                 lambda x, y, f: f.sigmoid(x) + x * (f.sigmoid(x) * f.sigmoid(-x)), draw)


def silu(input):
    """Each element times its sigmoid, also called swish: a smooth relu that dips below 0.

    Formula: y = x / (1 + e^-x) (Elfwing et al. 2017)

    >>> import microtensor as mt
    >>> mt.silu(mt.tensor([1.0, -2.0]))
    tensor([ 0.7311, -0.2384])
    """
    cdef SiLU op = SiLU.__new__(SiLU)
    return op.apply(&SILU_LOOPS, input)


# -- tanh -----------------------------------------------------------------------------------------------------
# y = (e^x - e^-x) / (e^x + e^-x)
# y' = ((e^x + e^-x)^2 - (e^x - e^-x)^2) / (e^x + e^-x)^2 = 1 - y^2      (quotient rule)
# dx = g (1 - y^2)                                                      needs y, not x

cdef void tanh_forward(const real* x, real* y, Py_ssize_t n, const double* options) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        y[i] = simd.tanh(x[i])


cdef void tanh_backward(const real* y, const real* g, real* dx, Py_ssize_t n, const double* options) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        dx[i] = g[i] * (<real>1 - y[i] * y[i])


cdef UnaryLoops TANH_LOOPS = unary(
    OUTPUT, tanh_forward[float], tanh_forward[double], tanh_backward[float], tanh_backward[double])


@cython.final
@cython.no_gc
cdef class Tanh(Unary):
    """tanh(x): squash each element into (-1, 1)."""

    def rule(self, Tensor g not None):
        y = self.output()
        return (g * (1 - y * y),)

    @staticmethod
    def samples(draw):
        yield from unary_samples(tanh, lambda x, f: f.tanh(x), lambda x, y, f: 1 - y * y, draw)


def tanh(input):
    """Squash each element into (-1, 1).

    Formula: y = (e^x - e^-x) / (e^x + e^-x)

    >>> import microtensor as mt
    >>> mt.tanh(mt.tensor([0.0, 1.0]))
    tensor([0.    , 0.7616])
    """
    cdef Tanh op = Tanh.__new__(Tanh)
    return op.apply(&TANH_LOOPS, input)


# -- normal_cdf: for gelu's rule ---------------------------------------------------------------------------------
# y = F(x) = (1 + erf(x / sqrt 2)) / 2, the probability that a standard normal number is below x
# y' = d(x) = e^(-x^2/2) / sqrt(2 pi), the density
# dx = g d(x)                                                           needs x

cdef double DENSITY_AT_0 = 0.39894228040143267794

cdef void normal_cdf_forward(const real* x, real* y, Py_ssize_t n, const double* options) noexcept nogil:
    cdef Py_ssize_t i
    cdef real density
    for i in range(n):
        y[i] = simd.normal_cdf(x[i], &density)


cdef void normal_cdf_backward(const real* x, const real* g, real* dx, Py_ssize_t n,
                              const double* options) noexcept nogil:
    cdef Py_ssize_t i
    cdef real density
    for i in range(n):
        simd.normal_cdf(x[i], &density)
        dx[i] = g[i] * density


cdef UnaryLoops NORMAL_CDF_LOOPS = unary(
    INPUT, normal_cdf_forward[float], normal_cdf_forward[double],
    normal_cdf_backward[float], normal_cdf_backward[double])


@cython.final
@cython.no_gc
cdef class NormalCDF(Unary):
    """F(x), the probability that a standard normal number is below x."""

    def rule(self, Tensor g not None):
        return (g * normal_density(self.input(0)),)

    @staticmethod
    def samples(draw):
        yield from unary_samples(normal_cdf, lambda x, f, **_: f.normal_cdf(x),
                                 lambda x, y, f, at_0: f.exp(-(x * x) / 2) * at_0, draw,
                                 at_0="0.39894228040143267793994605993438")


cdef object normal_density(Tensor x):
    """d(x)."""
    return DENSITY_AT_0 * exp(-(x * x) / 2)


cdef object normal_cdf(Tensor x):
    cdef NormalCDF op = NormalCDF.__new__(NormalCDF)
    return op.apply(&NORMAL_CDF_LOOPS, x)


# -- gelu by tanh: F is approximated ------------------------------------------------------------------------------
# F(x) = (1 + tanh(v/2)) / 2 = s(v), s the sigmoid,  v = 2 sqrt(2/pi) (x + 0.044715 x^3) = x (slope + cubic x^2)
# y = x s(v),  v' = slope + 3 cubic x^2
# dx = g (s + x s (1 - s) v')                                           needs x
# With s in place of tanh nothing cancels where x is negative.

cdef double GELU_SLOPE = 1.5957691216057307117597842397375
cdef double GELU_CUBIC = 0.071354816272600248776338752279864

cdef void gelu_tanh_forward(const real* x, real* y, Py_ssize_t n, const double* options) noexcept nogil:
    cdef Py_ssize_t i
    cdef real slope = <real>GELU_SLOPE, cubic = <real>GELU_CUBIC
    for i in range(n):
        y[i] = x[i] * simd.sigmoid(x[i] * (slope + cubic * (x[i] * x[i])))


cdef void gelu_tanh_backward(const real* x, const real* g, real* dx, Py_ssize_t n,
                             const double* options) noexcept nogil:
    cdef Py_ssize_t i
    cdef real slope = <real>GELU_SLOPE, cubic = <real>GELU_CUBIC, term, v, s
    for i in range(n):
        term = cubic * (x[i] * x[i])
        v = x[i] * (slope + term)
        s = simd.sigmoid(v)
        dx[i] = g[i] * (s + x[i] * (s * simd.sigmoid(-v)) * (slope + <real>3 * term))


cdef UnaryLoops GELU_TANH_LOOPS = unary(
    INPUT, gelu_tanh_forward[float], gelu_tanh_forward[double],
    gelu_tanh_backward[float], gelu_tanh_backward[double])


@cython.final
@cython.no_gc
cdef class GELUTanh(Unary):
    """x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2, the approximation of gelu."""

    def rule(self, Tensor g not None):
        x = self.input(0)
        term = GELU_CUBIC * (x * x)
        v = x * (GELU_SLOPE + term)
        s = sigmoid(v)
        return (g * (s + x * (s * sigmoid(-v)) * (GELU_SLOPE + 3 * term)),)

    @staticmethod
    def samples(draw):
        def derivative(x, y, f, slope, cubic):
            v = x * (slope + cubic * (x * x))
            return f.sigmoid(v) + x * (f.sigmoid(v) * f.sigmoid(-v)) * (slope + 3 * (cubic * (x * x)))

        yield from unary_samples(
            lambda x: gelu(x, "tanh"), lambda x, f, slope, cubic: x * f.sigmoid(x * (slope + cubic * (x * x))),
            derivative, draw, slope="1.5957691216057307117597842397375", cubic="0.071354816272600248776338752279864")


# -- gelu -----------------------------------------------------------------------------------------------------
# y = x F(x), F the integral of the normal density d
# y' = F + x d                                                           (product rule, and F' = d)
# dx = g (F + x d)                                                      needs x: y has the same value at two of them

cdef void gelu_forward(const real* x, real* y, Py_ssize_t n, const double* options) noexcept nogil:
    cdef Py_ssize_t i
    cdef real density
    for i in range(n):
        y[i] = x[i] * simd.normal_cdf(x[i], &density)


cdef void gelu_backward(const real* x, const real* g, real* dx, Py_ssize_t n, const double* options) noexcept nogil:
    cdef Py_ssize_t i
    cdef real below, density
    for i in range(n):
        below = simd.normal_cdf(x[i], &density)
        dx[i] = g[i] * (below + x[i] * density)


cdef UnaryLoops GELU_LOOPS = unary(
    INPUT, gelu_forward[float], gelu_forward[double], gelu_backward[float], gelu_backward[double])


@cython.final
@cython.no_gc
cdef class GELU(Unary):
    """x F(x), F the normal distribution's."""

    def rule(self, Tensor g not None):
        x = self.input(0)
        return (g * (normal_cdf(x) + x * normal_density(x)),)

    @staticmethod
    def samples(draw):
        yield from unary_samples(
            gelu, lambda x, f, **_: x * f.normal_cdf(x),
            lambda x, y, f, at_0: f.normal_cdf(x) + x * (f.exp(-(x * x) / 2) * at_0), draw,
            at_0="0.39894228040143267793994605993438")


def gelu(input, approximate="none"):
    """Each element times the probability that a standard normal number is below it: a smooth relu.

    Args:
        input: x, any shape.
        approximate: 'none', or 'tanh' for the formula that older models were trained with, off by less than 0.0005.

    Returns:
        y, of x's shape.

    Raises:
        ValueError: if approximate is neither.

    Formula: y = x (1 + erf(x / 2^(1/2))) / 2 (Hendrycks and Gimpel 2016)

    >>> import microtensor as mt
    >>> mt.gelu(mt.tensor([1.0, -2.0]))
    tensor([ 0.8413, -0.0455])
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(f"gelu: approximate is 'none' or 'tanh', not {approximate!r}")
    cdef GELU exact
    cdef GELUTanh rough
    if approximate == "none":
        exact = GELU.__new__(GELU)
        return exact.apply(&GELU_LOOPS, input)
    rough = GELUTanh.__new__(GELUTanh)
    return rough.apply(&GELU_TANH_LOOPS, input)


# -- elu ------------------------------------------------------------------------------------------------------
# y = s x for x > 0, s alpha (e^x - 1) elsewhere;  the scale s is 1 for elu
# y' = s for x > 0, s alpha e^x = y + s alpha elsewhere; at nan s (PyTorch's choice)
# dx = g s or g (y + s alpha)                                           y > 0 exactly where x > 0, as alpha >= 0
# options: s alpha, s

cdef void elu_forward(const real* x, real* y, Py_ssize_t n, const double* options) noexcept nogil:
    cdef Py_ssize_t i
    cdef real alpha = <real>options[0]
    for i in range(n):
        y[i] = x[i] if x[i] >= 0 else alpha * simd.expm1(x[i])


cdef void elu_backward(const real* y, const real* g, real* dx, Py_ssize_t n, const double* options) noexcept nogil:
    cdef Py_ssize_t i
    cdef real scale_alpha = <real>options[0], scale = <real>options[1]
    for i in range(n):
        dx[i] = g[i] * (y[i] + scale_alpha) if y[i] <= 0 else g[i] * scale


cdef UnaryLoops ELU_LOOPS = unary(
    OUTPUT, elu_forward[float], elu_forward[double], elu_backward[float], elu_backward[double])


@cython.no_gc
cdef class ScaledELU(Unary):
    """What elu and selu share: the rule, and the backward loop."""

    def rule(self, Tensor g not None):
        y = self.output()
        return (where(y.detach() <= 0, g * (y + self.options[0]), g * self.options[1]),)


@cython.final
@cython.no_gc
cdef class ELU(ScaledELU):
    """x for x > 0, alpha (e^x - 1) elsewhere."""

    @staticmethod
    def samples(draw):
        for alpha in (1.0, 1.3):
            yield from unary_samples(elu, lambda x, f, alpha: f.where(x > 0, x, alpha * f.expm1(x)),
                                     lambda x, y, f, alpha: f.where(y > 0, 1, y + alpha), draw.nonzero,
                                     kinks="0, unless alpha = 1", alpha=alpha)


def elu(input, double alpha=1.0):
    """Each element where positive, and a smooth descent to -alpha below 0.

    Args:
        alpha: a number >= 0.

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
    op.options[0], op.options[1] = alpha, 1
    return op.apply(&ELU_LOOPS, input)


# -- selu -----------------------------------------------------------------------------------------------------
# elu with scale and alpha such that mean 0 and variance 1 are a fixed point through a layer
# (docs/derivations/elu-selu.md; Klambauer et al. 2017)
# What rounding took from s alpha is added as a product of its own: in elu's loop it would cost a twentieth of the time
# options: s alpha, s, and what rounding took from s alpha as a double

cdef double SELU_SCALE = 1.0507009873554804934193349852946
cdef double SELU_SCALE_ALPHA = 1.7580993408473768
cdef double SELU_SCALE_ALPHA_REST = 1.4153519380084498e-17       # what rounding took from it

cdef void selu_forward(const real* x, real* y, Py_ssize_t n, const double* options) noexcept nogil:
    cdef Py_ssize_t i
    cdef real scale_alpha = <real>options[0], scale = <real>options[1], m
    cdef real rest = <real>(options[0] - scale_alpha + options[2])
    for i in range(n):
        m = simd.expm1(x[i])
        y[i] = scale * x[i] if x[i] >= 0 else scale_alpha * m + rest * m


cdef UnaryLoops SELU_LOOPS = unary(
    OUTPUT, selu_forward[float], selu_forward[double], elu_backward[float], elu_backward[double])


@cython.final
@cython.no_gc
cdef class SELU(ScaledELU):
    """scale (x for x > 0, alpha (e^x - 1) elsewhere)."""

    @staticmethod
    def samples(draw):
        yield from unary_samples(
            selu, lambda x, f, scale, scale_alpha, **_: f.where(x > 0, scale * x, scale_alpha * f.expm1(x)),
            lambda x, y, f, scale, scale_alpha, **_: f.where(y > 0, scale, y + scale_alpha), draw.nonzero, kinks="0",
            scale="1.0507009873554804934193349852946", alpha="1.6732632423543772848170429916717",
            scale_alpha="1.7580993408473768599402175208123")


def selu(input):
    """ELU, scaled so that activations keep mean 0 and variance 1 from layer to layer.

    Formula: y = scale x for x > 0, scale alpha (e^x - 1) elsewhere; scale = 1.0507..., alpha = 1.6733...
    (Klambauer et al. 2017, Self-Normalizing Neural Networks)

    >>> import microtensor as mt
    >>> mt.selu(mt.tensor([1.0, -2.0]))
    tensor([ 1.0507, -1.5202])
    """
    cdef SELU op = SELU.__new__(SELU)
    op.options[0], op.options[1], op.options[2] = SELU_SCALE_ALPHA, SELU_SCALE, SELU_SCALE_ALPHA_REST
    return op.apply(&SELU_LOOPS, input)


# -- softplus -------------------------------------------------------------------------------------------------
# y = ln(1 + e^(bx)) / b = (max(bx, 0) + ln(1 + e^-|bx|)) / b             b = beta; the exponent is never positive
# y' = e^(bx) / (1 + e^(bx)) = s(bx), s the sigmoid
# dx = g s(bx)                                                          needs x
# For bx above the threshold y = x and y' = 1: there the difference is lost in rounding (PyTorch's convention).

cdef void softplus_forward(const real* x, real* y, Py_ssize_t n, const double* options) noexcept nogil:
    cdef Py_ssize_t i
    cdef real beta = <real>options[0], threshold = <real>options[1]
    cdef real bx, smooth, unit = <real>1 / beta
    for i in range(n):
        bx = beta * x[i]
        smooth = ((0 if bx < 0 else bx) + simd.log1p(simd.exp(-simd.fabs(bx)))) * unit
        y[i] = x[i] if bx > threshold else smooth


cdef void softplus_backward(const real* x, const real* g, real* dx, Py_ssize_t n,
                            const double* options) noexcept nogil:
    cdef Py_ssize_t i
    cdef real beta = <real>options[0], threshold = <real>options[1]
    cdef real slope
    for i in range(n):
        slope = simd.sigmoid(beta * x[i])
        dx[i] = g[i] if beta * x[i] > threshold else g[i] * slope


cdef UnaryLoops SOFTPLUS_LOOPS = unary(
    INPUT, softplus_forward[float], softplus_forward[double], softplus_backward[float], softplus_backward[double])


@cython.final
@cython.no_gc
cdef class Softplus(Unary):
    """ln(1 + e^(beta x)) / beta: a smooth max(x, 0)."""

    def rule(self, Tensor g not None):
        x = self.input(0)
        linear = (self.options[0] * x.detach()) > self.options[1]
        return (where(linear, g, g * sigmoid(self.options[0] * x)),)

    @staticmethod
    def samples(draw):
        for beta in (1.0, 1.5):
            yield from unary_samples(softplus, lambda x, f, beta: f.softplus(beta * x) / beta,
                                     lambda x, y, f, beta: f.sigmoid(beta * x), draw, beta=beta)
        yield Sample(lambda x: softplus(x, 2.0, 3.0), [draw.away_from(1.5, shape=(3, 5))],
                     lambda x: np.where(2 * x > 3, x, np.log1p(np.exp(2 * x)) / 2), kinks="threshold / beta, slightly")


def softplus(input, double beta=1.0, double threshold=20.0):
    """A smooth approximation of relu, always positive.

    Args:
        beta: a positive number; the larger, the closer to relu.
        threshold: where beta x is above it, y = x.

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
    op.options[0], op.options[1] = beta, threshold
    return op.apply(&SOFTPLUS_LOOPS, input)
