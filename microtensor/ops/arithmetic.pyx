"""Arithmetic, element by element: add, sub, mul, div, neg, pow, exp, log, sqrt, abs, sign, maximum, clamp, where, ...

Functions of one input take a tensor x of any shape, or an array, and return one of the same shape; where a function is
not defined on integers and bools, they are converted to float32. Functions of two inputs take tensors a and b, or on
one side an array or a number; they return a tensor of the shape that both broadcast to (ValueError if they do not), in
the promoted dtype (see result_type), and raise TypeError if neither is a tensor.

x, a, b are the inputs, y the output, g = dL/dy, and dx, da, db the gradients; all of one shape inside the loops, since
the family (base.pyx) has broadcast them and the engine sums da and db back to the shapes of their inputs.
"""

cimport cython
cimport numpy as cnp
from libc.string cimport memcpy
from numpy cimport ndarray

from microtensor.kernels cimport simd
from microtensor.core cimport (
    CONTEXT, INPUT, NOTHING, OTHER, OUTPUT, Engine, Op, Tensor, as_tensor, empty_like, is_taping, is_float,
    is_single, lent, operand, operators, record, take_in, wrap,
)
from microtensor.kernels.broadcast cimport Cursor, Plan, make_plan, next_run, start_at
from microtensor.kernels.simd cimport real
from microtensor.kernels.threads cimport ELEMENTS_PER_THREAD, UNIT, parallel_for
from microtensor.ops.base cimport (
    Binary, BinaryLoops, Unary, UnaryLoops, binary, check_promoted, empty_broadcast, promote, unary,
)

import numpy as np

from microtensor.ops.base import result_type
from microtensor.ops.sample import Sample, Stated, binary_samples, unary_samples

cnp.import_array()


cdef tuple operands(str name, object a, object b):
    """Both as tensors; at least one has to be one already."""
    cdef Tensor x = None, y = None
    if isinstance(a, Tensor):
        x, y = a, operand(b, a)
    elif isinstance(b, Tensor):
        x, y = operand(a, b), b
    if x is None or y is None:
        raise TypeError(f"{name} takes tensors, and arrays or numbers on one side, not {type(a).__name__} and "
                        f"{type(b).__name__}")
    return x, y


cdef Tensor of_integers(object function, Tensor a, Tensor b):
    """An operation on integers or bools, which has no gradient: NumPy's, with PyTorch's result type."""
    dtype = result_type(a, b)
    return wrap(np.asarray(function(a.array.astype(dtype, copy=False), b.array.astype(dtype, copy=False))))


# -- add ------------------------------------------------------------------------------------------------------
# d(a + b)/da = d(a + b)/db = 1:   da = g,  db = g                     g itself: there is no loop

cdef void add_forward(const real* a, const real* b, real* y, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        y[i] = a[i] + b[i]


cdef BinaryLoops ADD_LOOPS = binary(add_forward[float], add_forward[double], NULL, NULL, NULL, NULL)


@cython.final
@cython.no_gc
cdef class Add(Binary):
    """a + b."""

    cdef int reads(self) noexcept:
        return NOTHING

    cdef int allocate_gradients(self) except -1:
        return 0

    cdef int give_gradients(self, Engine engine) except -1:
        engine.lend(self, 0, self.g)
        engine.lend(self, 1, self.g)
        return 0

    def rule(self, Tensor g not None):
        return g, g

    @staticmethod
    def samples(draw):
        yield from binary_samples(add, lambda a, b, f: a + b, lambda a, b, y, f: (1, 1), draw, draw)


cdef Tensor _add(Tensor a, Tensor b):
    if not is_float(a.array) and not is_float(b.array):
        return of_integers(np.add, a, b)
    cdef Add op = Add.__new__(Add)
    return op.apply(&ADD_LOOPS, a, b)


def add(input, other):
    """a + b, broadcast.

    Formula: y = a + b

    >>> import microtensor as mt
    >>> mt.add(mt.tensor([1.0, 2.0]), 3)
    tensor([4., 5.])
    """
    a, b = operands("add", input, other)
    return _add(a, b)


# -- neg ------------------------------------------------------------------------------------------------------
# d(-x)/dx = -1:   dx = -g

cdef void neg_forward(const real* x, real* y, Py_ssize_t n, const double* options) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        y[i] = -x[i]


cdef void neg_backward(const real* _, const real* g, real* dx, Py_ssize_t n, const double* options) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        dx[i] = -g[i]


cdef UnaryLoops NEG_LOOPS = unary(
    NOTHING, neg_forward[float], neg_forward[double], neg_backward[float], neg_backward[double])


@cython.final
@cython.no_gc
cdef class Neg(Unary):
    """-x."""

    def rule(self, Tensor g not None):
        return (-g,)

    @staticmethod
    def samples(draw):
        yield from unary_samples(neg, lambda x, f: -x, lambda x, y, f: -1, draw)


cdef Tensor _neg(Tensor x):
    if not is_float(x.array):
        return wrap(np.asarray(np.negative(x.array)))
    cdef Neg op = Neg.__new__(Neg)
    return op.apply(&NEG_LOOPS, x)


def neg(input):
    """-x.

    Formula: y = -x

    >>> import microtensor as mt
    >>> mt.neg(mt.tensor([1.0, -2.0]))
    tensor([-1.,  2.])
    """
    return _neg(as_tensor(input, "input"))


# -- sub ------------------------------------------------------------------------------------------------------
# d(a - b)/da = 1,  d(a - b)/db = -1:   da = g,  db = -g              g itself for a: there is no loop

cdef void sub_forward(const real* a, const real* b, real* y, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        y[i] = a[i] - b[i]


cdef void sub_backward_b(const real* a, const real* b, const real* y, const real* g, real* db,
                         Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        db[i] = -g[i]


cdef BinaryLoops SUB_LOOPS = binary(
    sub_forward[float], sub_forward[double], NULL, NULL, sub_backward_b[float], sub_backward_b[double])


@cython.final
@cython.no_gc
cdef class Sub(Binary):
    """a - b."""

    cdef int reads(self) noexcept:
        return NOTHING

    cdef int allocate_gradients(self) except -1:
        if self.needs(1):
            self.db = empty_like(<ndarray>self.g)
        return 0

    cdef int give_gradients(self, Engine engine) except -1:
        engine.lend(self, 0, self.g)
        if self.db is not None:
            engine.give(self, 1, self.db)
        return 0

    def rule(self, Tensor g not None):
        return g, -g

    @staticmethod
    def samples(draw):
        yield from binary_samples(sub, lambda a, b, f: a - b, lambda a, b, y, f: (1, -1), draw, draw)


cdef Tensor _sub(Tensor a, Tensor b):
    if not is_float(a.array) and not is_float(b.array):
        return of_integers(np.subtract, a, b)
    cdef Sub op = Sub.__new__(Sub)
    return op.apply(&SUB_LOOPS, a, b)


def sub(input, other):
    """a - b, broadcast.

    Formula: y = a - b

    >>> import microtensor as mt
    >>> mt.sub(mt.tensor([1.0, 2.0]), 3)
    tensor([-2., -1.])
    """
    a, b = operands("sub", input, other)
    return _sub(a, b)


# -- mul ------------------------------------------------------------------------------------------------------
# d(ab)/da = b,  d(ab)/db = a:   da = g b,  db = g a                  each reads the other input only

cdef void mul_forward(const real* a, const real* b, real* y, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        y[i] = a[i] * b[i]


cdef void mul_backward_a(const real* a, const real* b, const real* y, const real* g, real* da,
                         Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        da[i] = g[i] * b[i]


cdef void mul_backward_b(const real* a, const real* b, const real* y, const real* g, real* db,
                         Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        db[i] = g[i] * a[i]


cdef BinaryLoops MUL_LOOPS = binary(
    mul_forward[float], mul_forward[double], mul_backward_a[float], mul_backward_a[double],
    mul_backward_b[float], mul_backward_b[double])


@cython.final
@cython.no_gc
cdef class Mul(Binary):
    """a * b."""

    cdef int reads(self) noexcept:
        return (INPUT if self.needs(1) else NOTHING) | (OTHER if self.needs(0) else NOTHING)

    def rule(self, Tensor g not None):
        return (g * self.input(1) if self.needs(0) else None, g * self.input(0) if self.needs(1) else None)

    @staticmethod
    def samples(draw):
        yield from binary_samples(mul, lambda a, b, f: a * b, lambda a, b, y, f: (b, a), draw, draw)


cdef Tensor _mul(Tensor a, Tensor b):
    if not is_float(a.array) and not is_float(b.array):
        return of_integers(np.multiply, a, b)
    cdef Mul op = Mul.__new__(Mul)
    return op.apply(&MUL_LOOPS, a, b)


def mul(input, other):
    """a * b, broadcast.

    Formula: y = a b

    >>> import microtensor as mt
    >>> mt.mul(mt.tensor([1.0, 2.0]), 3)
    tensor([3., 6.])
    """
    a, b = operands("mul", input, other)
    return _mul(a, b)


def square(input):
    """Each element times itself, ``input * input``.

    >>> import microtensor as mt
    >>> mt.square(mt.tensor([1.0, -2.0]))
    tensor([1., 4.])
    """
    cdef Tensor x = as_tensor(input, "input")
    return _mul(x, x)


# -- div ------------------------------------------------------------------------------------------------------
# d(a/b)/da = 1/b
# d(a/b)/db = -a/b^2                                                    (quotient rule)
# da = g / b,  db = -g (a / b) / b                                      b^2 alone may overflow

cdef void div_forward(const real* a, const real* b, real* y, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        y[i] = a[i] / b[i]


cdef void div_backward_a(const real* a, const real* b, const real* y, const real* g, real* da,
                         Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        da[i] = g[i] / b[i]


cdef void div_backward_b(const real* a, const real* b, const real* y, const real* g, real* db,
                         Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        db[i] = -g[i] * (a[i] / b[i] / b[i])


cdef BinaryLoops DIV_LOOPS = binary(
    div_forward[float], div_forward[double], div_backward_a[float], div_backward_a[double],
    div_backward_b[float], div_backward_b[double])


@cython.final
@cython.no_gc
cdef class Div(Binary):
    """a / b."""

    cdef int reads(self) noexcept:
        return (INPUT if self.needs(1) else NOTHING) | OTHER

    def rule(self, Tensor g not None):
        b = self.input(1)
        return (g / b, -g * (self.input(0) / b / b) if self.needs(1) else None)

    @staticmethod
    def samples(draw):
        yield from binary_samples(div, lambda a, b, f: a / b, lambda a, b, y, f: (1 / b, -(a / b / b)),
                                  draw, draw.nonzero)


cdef Tensor _div(Tensor a, Tensor b):
    cdef Div op = Div.__new__(Div)
    return op.apply(&DIV_LOOPS, a, b)


def div(input, other):
    """a / b, broadcast; float32 for integers.

    Formula: y = a / b

    >>> import microtensor as mt
    >>> mt.div(mt.tensor([1.0, 2.0]), 4)
    tensor([0.25, 0.5 ])
    """
    a, b = operands("div", input, other)
    return _div(a, b)


# -- pow ------------------------------------------------------------------------------------------------------
# a^b = e^(b ln a)
# d/da = b a^(b-1);  for b = 0 it is 0, also at a = 0 where a^-1 is inf
# d/db = a^b ln a;   at a = 0 and b >= 0 it is 0, the limit from a > 0 (for b > 0; by convention at b = 0)
# da = g b a^(b-1),  db = g y ln a

cdef void pow_forward(const real* a, const real* b, real* y, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        y[i] = simd.power(a[i], b[i])


cdef void pow_backward_a(const real* a, const real* b, const real* y, const real* g, real* da,
                         Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        da[i] = 0 if b[i] == 0 else g[i] * b[i] * simd.power(a[i], b[i] - <real>1)


cdef void pow_backward_b(const real* a, const real* b, const real* y, const real* g, real* db,
                         Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        db[i] = 0 if a[i] == 0 and b[i] >= 0 else g[i] * y[i] * simd.log(a[i])


cdef BinaryLoops POW_LOOPS = binary(
    pow_forward[float], pow_forward[double], pow_backward_a[float], pow_backward_a[double],
    pow_backward_b[float], pow_backward_b[double])


# One exponent for all: those that are written most need neither logarithm nor exponential.

cdef inline real root(real a) noexcept nogil:
    """a^(1/2), which is inf at -inf and 0 at -0, as C has it, where the square root is nan and -0."""
    return simd.sqrt(<real>simd.INFINITY if a == -<real>simd.INFINITY else a + <real>0)


cdef void powers(const real* a, real b, real* y, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    if b == 1:
        memcpy(y, a, n * sizeof(real))
    elif b == 2:
        for i in range(n):
            y[i] = a[i] * a[i]
    elif b == 3:
        for i in range(n):
            y[i] = a[i] * a[i] * a[i]
    elif b == -1:
        for i in range(n):
            y[i] = <real>1 / a[i]
    elif b == -2:
        for i in range(n):
            y[i] = (<real>1 / a[i]) * (<real>1 / a[i])      # a^2 may overflow where this is subnormal
    elif b == 0.5:
        for i in range(n):
            y[i] = root(a[i])
    elif b == -0.5:
        for i in range(n):
            y[i] = <real>1 / root(a[i])
    else:
        for i in range(n):
            y[i] = simd.power(a[i], b)


cdef void pow_number_forward(const real* a, const real* b, real* y, Py_ssize_t n) noexcept nogil:
    powers(a, b[0], y, n)


cdef void pow_number_backward(const real* a, const real* b, const real* y, const real* g, real* da,
                              Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef real exponent = b[0]
    powers(a, exponent - <real>1, da, n)
    for i in range(n):
        da[i] = 0 if exponent == 0 else g[i] * exponent * da[i]


cdef BinaryLoops POW_NUMBER_LOOPS = binary(
    pow_number_forward[float], pow_number_forward[double], pow_number_backward[float], pow_number_backward[double],
    pow_backward_b[float], pow_backward_b[double])


@cython.final
@cython.no_gc
cdef class Pow(Binary):
    """a ** b."""

    cdef int reads(self) noexcept:
        return INPUT | OTHER | (OUTPUT if self.needs(1) else NOTHING)

    def rule(self, Tensor g not None):
        a, b = self.input(0), self.input(1)
        da = db = None
        if self.needs(0):
            da = where(b.detach() == 0, 0.0, g * b * a ** (b - 1))
        if self.needs(1):
            silent = (a.detach() == 0) & (b.detach() >= 0)
            db = where(silent, 0.0, g * a ** b * log(where(silent, 1.0, a)))
        return da, db

    @staticmethod
    def samples(draw):
        yield from binary_samples(pow, lambda a, b, f: f.power(a, b),
                                  lambda a, b, y, f: (b * f.power(a, b - 1), y * f.log(a)), draw.positive, draw)
        yield Sample(lambda a: pow(a, 3.0), [draw(3, 5)], lambda a: a ** 3)
        yield Sample(lambda a: pow(a, 2), [draw(3, 5)], np.square)
        for b in -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.5:
            yield Sample(lambda a, b=b: pow(a, b), [draw.positive(3, 5)], lambda a, b=b: a ** b, zero_gradient=b == 0)


cdef Tensor _pow(Tensor a, Tensor b):
    if not is_float(a.array) and not is_float(b.array):
        return of_integers(np.power, a, b)
    cdef Pow op = Pow.__new__(Pow)
    return op.apply(&POW_NUMBER_LOOPS if cnp.PyArray_NDIM(b.array) == 0 else &POW_LOOPS, a, b)


def pow(input, exponent):
    """a ** b, broadcast.

    Formula: y = a^b

    >>> import microtensor as mt
    >>> mt.pow(mt.tensor([1.0, 2.0]), 3)
    tensor([1., 8.])
    """
    a, b = operands("pow", input, exponent)
    return _pow(a, b)


# -- exp ------------------------------------------------------------------------------------------------------
# (e^x)' = e^x = y
# dx = g y                                                              needs y, not x

cdef void exp_forward(const real* x, real* y, Py_ssize_t n, const double* options) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        y[i] = simd.exp(x[i])


cdef void exp_backward(const real* y, const real* g, real* dx, Py_ssize_t n, const double* options) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        dx[i] = g[i] * y[i]


cdef UnaryLoops EXP_LOOPS = unary(
    OUTPUT, exp_forward[float], exp_forward[double], exp_backward[float], exp_backward[double])


@cython.final
@cython.no_gc
cdef class Exp(Unary):
    """e^x."""

    def rule(self, Tensor g not None):
        return (g * self.output(),)

    @staticmethod
    def samples(draw):
        yield from unary_samples(exp, lambda x, f: f.exp(x), lambda x, y, f: y, draw)


def exp(input):
    """e to the power of each element.

    Formula: y = e^x

    >>> import microtensor as mt
    >>> mt.exp(mt.tensor([0.0, 1.0]))
    tensor([1.    , 2.7183])
    """
    cdef Exp op = Exp.__new__(Exp)
    return op.apply(&EXP_LOOPS, input)


# -- log ------------------------------------------------------------------------------------------------------
# (ln x)' = 1/x
# dx = g / x

cdef void log_forward(const real* x, real* y, Py_ssize_t n, const double* options) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        y[i] = simd.log(x[i])


cdef void log_backward(const real* x, const real* g, real* dx, Py_ssize_t n, const double* options) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        dx[i] = g[i] / x[i]


cdef UnaryLoops LOG_LOOPS = unary(
    INPUT, log_forward[float], log_forward[double], log_backward[float], log_backward[double])


@cython.final
@cython.no_gc
cdef class Log(Unary):
    """The natural logarithm."""

    def rule(self, Tensor g not None):
        return (g / self.input(0),)

    @staticmethod
    def samples(draw):
        yield from unary_samples(log, lambda x, f: f.log(x), lambda x, y, f: 1 / x, draw.positive)


def log(input):
    """The natural logarithm of each element: -inf at 0, nan below.

    Formula: y = ln x

    >>> import microtensor as mt
    >>> mt.log(mt.tensor([1.0, 2.0]))
    tensor([0.    , 0.6931])
    """
    cdef Log op = Log.__new__(Log)
    return op.apply(&LOG_LOOPS, input)


# -- sqrt -----------------------------------------------------------------------------------------------------
# y^2 = x,  2 y y' = 1,  y' = 1 / (2 y)                                  (implicit differentiation)
# dx = g / (2 y)                                                        inf at x = 0

cdef void sqrt_forward(const real* x, real* y, Py_ssize_t n, const double* options) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        y[i] = simd.sqrt(x[i])


cdef void sqrt_backward(const real* y, const real* g, real* dx, Py_ssize_t n, const double* options) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        dx[i] = g[i] / (y[i] + y[i])


cdef UnaryLoops SQRT_LOOPS = unary(
    OUTPUT, sqrt_forward[float], sqrt_forward[double], sqrt_backward[float], sqrt_backward[double])


@cython.final
@cython.no_gc
cdef class Sqrt(Unary):
    """The square root."""

    def rule(self, Tensor g not None):
        return (g / (2 * self.output()),)

    @staticmethod
    def samples(draw):
        yield from unary_samples(sqrt, lambda x, f: f.sqrt(x), lambda x, y, f: 1 / (2 * y), draw.positive)


def sqrt(input):
    """The square root of each element: nan below 0.

    Formula: y = x^(1/2)

    >>> import microtensor as mt
    >>> mt.sqrt(mt.tensor([1.0, 4.0]))
    tensor([1., 2.])
    """
    cdef Sqrt op = Sqrt.__new__(Sqrt)
    return op.apply(&SQRT_LOOPS, input)


# -- abs ------------------------------------------------------------------------------------------------------
# |x|' = sign x; at the kink x = 0 and at nan 0 is taken (PyTorch's choices)
# dx = g sign x

cdef void abs_forward(const real* x, real* y, Py_ssize_t n, const double* options) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        y[i] = simd.fabs(x[i])


cdef void abs_backward(const real* x, const real* g, real* dx, Py_ssize_t n, const double* options) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        dx[i] = g[i] if x[i] > 0 else -g[i] if x[i] < 0 else g[i] * 0


cdef UnaryLoops ABS_LOOPS = unary(
    INPUT, abs_forward[float], abs_forward[double], abs_backward[float], abs_backward[double])


@cython.final
@cython.no_gc
cdef class Abs(Unary):
    """The absolute value."""

    def rule(self, Tensor g not None):
        x = self.input(0).detach()
        return (g * ((x > 0).to(g.dtype) - (x < 0).to(g.dtype)),)

    @staticmethod
    def samples(draw):
        yield from unary_samples(abs, lambda x, f: f.abs(x), lambda x, y, f: f.sign(x), draw.nonzero, kinks="0")


def abs(input):
    """The absolute value of each element; its gradient at 0 is 0.

    Formula: y = |x|

    >>> import microtensor as mt
    >>> mt.abs(mt.tensor([1.0, -2.0]))
    tensor([1., 2.])
    """
    cdef Tensor x = as_tensor(input, "input")
    if not is_float(x.array):
        return wrap(np.asarray(np.abs(x.array)))
    cdef Abs op = Abs.__new__(Abs)
    return op.apply(&ABS_LOOPS, x)


def sign(input):
    """-1, 0 or 1 for each element, in x's own dtype; it has no gradient. Bools stay as they are.

    Formula: y = x / |x|, and 0 at 0

    >>> import microtensor as mt
    >>> mt.sign(mt.tensor([3.0, 0.0, -2.0]))
    tensor([ 1.,  0., -1.])
    """
    cdef Tensor x = as_tensor(input, "input")
    array = <object>x.array
    return wrap(np.array(array if array.dtype.kind == "b" else np.sign(array)))


# -- maximum --------------------------------------------------------------------------------------------------
# y = a where a > b, b where b > a: the gradient goes to the larger one
# at the kink a = b each gets half, and where one is nan each gets all (PyTorch's choices): g w,  w = 1, 1/2 or 0

cdef void maximum_forward(const real* a, const real* b, real* y, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        y[i] = b[i] if b[i] > a[i] else a[i]
        y[i] = b[i] if b[i] != b[i] else y[i]


cdef void maximum_backward_a(const real* a, const real* b, const real* y, const real* g, real* da,
                             Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        da[i] = 0 if a[i] < b[i] else g[i] * <real>0.5 if a[i] == b[i] else g[i]


cdef void maximum_backward_b(const real* a, const real* b, const real* y, const real* g, real* db,
                             Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        db[i] = 0 if b[i] < a[i] else g[i] * <real>0.5 if a[i] == b[i] else g[i]


cdef BinaryLoops MAXIMUM_LOOPS = binary(
    maximum_forward[float], maximum_forward[double], maximum_backward_a[float], maximum_backward_a[double],
    maximum_backward_b[float], maximum_backward_b[double])


@cython.final
@cython.no_gc
cdef class Maximum(Binary):
    """The larger of a and b; nan if either is nan."""

    def rule(self, Tensor g not None):
        a, b = self.input(0).detach(), self.input(1).detach()
        half = (a == b).to(g.dtype) / 2
        return g * (1 - half - (a < b).to(g.dtype)), g * (1 - half - (b < a).to(g.dtype))

    @staticmethod
    def samples(draw):
        def share(a, b, f):
            return f.where(a > b, 1, f.where(a < b, 0, 0.5))

        stated = Stated(lambda a, b, f: f.where(a > b, a, b), lambda a, b, y, f: (share(a, b, f), share(b, a, f)),
                        (draw, draw))
        inputs = [[draw(3, 5), draw(3, 5)], [draw(3, 5), draw(5)], [draw(2, 1, 5), draw(3, 1)],
                  [np.asarray(0.1), np.array([-1.0, 0.5, 2.0, -0.3])]]
        for pair in inputs:
            yield Sample(maximum, pair, stated.twin, kinks="where a = b", stated=stated)


cdef Tensor _maximum(Tensor a, Tensor b):
    if not is_float(a.array) and not is_float(b.array):
        return of_integers(np.maximum, a, b)
    cdef Maximum op = Maximum.__new__(Maximum)
    return op.apply(&MAXIMUM_LOOPS, a, b)


def maximum(input, other):
    """The larger of a and b, broadcast; nan if either is nan. A tie gives half the gradient to each.

    Formula: y = max(a, b)

    >>> import microtensor as mt
    >>> mt.maximum(mt.tensor([1.0, 2.0]), 1.5)
    tensor([1.5, 2. ])
    """
    a, b = operands("maximum", input, other)
    return _maximum(a, b)


def minimum(input, other):
    """The smaller of a and b, broadcast; nan if either is nan. A tie gives half the gradient to each.

    Formula: y = min(a, b) = -max(-a, -b)

    >>> import microtensor as mt
    >>> mt.minimum(mt.tensor([1.0, 2.0]), 1.5)
    tensor([1. , 1.5])
    """
    cdef Tensor a, b
    a, b = operands("minimum", input, other)
    if not is_float(a.array) and not is_float(b.array):
        return of_integers(np.minimum, a, b)
    a, b = promote(a, b)                # before the sign changes: unsigned integers have none
    return _neg(_maximum(_neg(a), _neg(b)))


# -- clamp ----------------------------------------------------------------------------------------------------
# y' = 1 where low <= x <= high (the bounds included, PyTorch's choice), 0 outside
# dx = g or 0

cdef void clamp_forward(const real* x, real* y, Py_ssize_t n, const double* options) noexcept nogil:
    cdef Py_ssize_t i
    cdef real low = <real>options[0], high = <real>options[1]
    for i in range(n):
        y[i] = low if x[i] < low else x[i]
        y[i] = high if y[i] > high else y[i]


cdef void clamp_backward(const real* x, const real* g, real* dx, Py_ssize_t n, const double* options) noexcept nogil:
    cdef Py_ssize_t i
    cdef real low = <real>options[0], high = <real>options[1]
    for i in range(n):
        dx[i] = g[i] if low <= x[i] and x[i] <= high else 0


cdef UnaryLoops CLAMP_LOOPS = unary(
    INPUT, clamp_forward[float], clamp_forward[double], clamp_backward[float], clamp_backward[double])


@cython.final
@cython.no_gc
cdef class Clamp(Unary):
    """x limited to [low, high]."""

    def rule(self, Tensor g not None):
        x, low, high = self.input(0).detach(), self.options[0], self.options[1]
        return (g * ((x >= low) & (x <= high)).to(g.dtype),)

    @staticmethod
    def samples(draw):
        stated = Stated(lambda x, f, low, high: f.where(x < low, low, f.where(x > high, high, x)),
                        lambda x, y, f, low, high: f.where(x < low, 0, f.where(x > high, 0, 1)), (draw,),
                        {"low": -0.5, "high": 0.75})
        yield Sample(lambda x: clamp(x, -0.5, 0.75), [draw.away_from(-0.5, 0.75, shape=(3, 5))], stated.twin,
                     kinks="min, max", stated=stated)
        yield Sample(lambda x: clamp(x, min=0.2), [np.asarray(0.9)], lambda x: np.maximum(x, 0.2), kinks="min")
        yield Sample(lambda x: clamp(x, max=0.2), [draw(0, 3)], lambda x: np.minimum(x, 0.2), kinks="max")


def clamp(input, min=None, max=None):
    """x limited to [min, max]; the gradient passes where x is within, bounds included.

    Args:
        min, max: numbers; one may be left out.

    Raises:
        ValueError: if neither bound is given.
        TypeError: if a bound is a tensor.

    Formula: y = min(max(x, low), high)

    >>> import microtensor as mt
    >>> mt.clamp(mt.tensor([-2.0, 0.5, 2.0]), -1, 1)
    tensor([-1. ,  0.5,  1. ])
    """
    cdef Tensor x = as_tensor(input, "input")
    if min is None and max is None:
        raise ValueError("clamp needs min, max or both")
    for name, bound in (("min", min), ("max", max)):
        if isinstance(bound, Tensor):
            raise TypeError(f"clamp takes numbers, but {name} is a Tensor: use maximum and minimum")
        if bound is not None and bound != bound:
            raise ValueError(f"clamp: {name} is nan")
    if not is_float(x.array) and not isinstance(min, float) and not isinstance(max, float):
        return wrap(np.asarray(np.clip(lent(x.array), min, max)))
    cdef Clamp op = Clamp.__new__(Clamp)
    op.options[0] = float("-inf") if min is None else min
    op.options[1] = float("inf") if max is None else max
    return op.apply(&CLAMP_LOOPS, x)


# -- where ----------------------------------------------------------------------------------------------------
# y = a where c, b elsewhere:   da = g where c, 0 elsewhere;   db the other way round

cdef void where_forward(const char* c, const real* a, const real* b, real* y, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        y[i] = a[i] if c[i] else b[i]


cdef void where_backward_a(const char* c, const real* g, real* da, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        da[i] = g[i] if c[i] else 0


cdef void where_backward_b(const char* c, const real* g, real* db, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        db[i] = 0 if c[i] else g[i]


cdef struct WhereJob:
    Plan plan                   # of c, a, b, y, or of c, g, da or db
    bint single
    int side                    # forward: -1; backward: 0 for a, 1 for b


cdef void where_run(int side, const char* c, const real* first, void* second, void* third, Py_ssize_t n) noexcept nogil:
    if side < 0:
        where_forward(c, first, <const real*>second, <real*>third, n)
    elif side == 0:
        where_backward_a(c, first, <real*>second, n)
    else:
        where_backward_b(c, first, <real*>second, n)


cdef void where_part(void* job_pointer, Py_ssize_t _number, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef WhereJob* job = <WhereJob*>job_pointer
    cdef Cursor at
    start_at(&at, &job.plan, first, last)
    while next_run(&at):
        if job.single:
            where_run(job.side, <const char*>at.run[0], <const float*>at.run[1], at.run[2], at.run[3], at.n)
        else:
            where_run(job.side, <const char*>at.run[0], <const double*>at.run[1], at.run[2], at.run[3], at.n)


@cython.final
@cython.no_gc
cdef class Where(Op):
    """a where the condition holds, b elsewhere."""

    cdef Tensor apply(self, ndarray condition, Tensor a, Tensor b):
        a, b = promote(a, b)
        self.context, self.a, self.b = condition, a.array, b.array
        check_promoted(self)
        self.y = empty_broadcast(self, (condition, self.a, self.b))
        self.input_shapes = ((<object>self.a).shape, (<object>self.b).shape)
        self.run_forward()
        return record(self, a, b)

    cdef int run_forward(self) except -1:
        return self.run_side(-1, (self.context, self.a, self.b, self.y), self.y)

    cdef int reads(self) noexcept:
        return CONTEXT

    cdef int save(self, Tensor a, Tensor b, Tensor y) except -1:
        if not is_taping():               # where it is read again forward
            self.context = (<ndarray>self.context).copy()   # backward's own: the condition may be written into
        return Op.save(self, a, b, y)

    cdef int allocate_gradients(self) except -1:
        if self.needs(0):
            self.da = empty_like(<ndarray>self.g)
        if self.needs(1):
            self.db = empty_like(<ndarray>self.g)
        return 0

    cdef int run_backward(self) except -1:
        if self.da is not None:
            self.run_side(0, (self.context, self.g, self.da), self.da)
        if self.db is not None:
            self.run_side(1, (self.context, self.g, self.db), self.db)
        return 0

    cdef int run_side(self, int side, tuple arrays, ndarray result) except -1:
        cdef WhereJob job
        make_plan(&job.plan, arrays, result)
        job.side, job.single = side, is_single(result)
        parallel_for(where_part, &job, job.plan.size, UNIT, ELEMENTS_PER_THREAD)
        return 0

    def rule(self, Tensor g not None):
        condition = wrap(self.read_context())
        return where(condition, g, 0.0), where(condition, 0.0, g)

    @staticmethod
    def samples(draw):
        for shapes in ([(3, 5), (3, 5), (3, 5)], [(3, 1), (5,), (2, 3, 5)], [(4,), (), (4,)], [(), (0, 3), (3,)]):
            condition = np.arange(np.prod(shapes[0], dtype=int)).reshape(shapes[0]) % 2 == 0
            yield Sample(lambda a, b, c=condition: where(wrap(np.asarray(c)), a, b),
                         [draw(*shapes[1]), draw(*shapes[2])], lambda a, b, c=condition: np.where(c, a, b),
                         zero_gradient=(0, 3) in shapes)


def where(condition, input, other):
    """input where the condition holds, other elsewhere, broadcast.

    Args:
        condition: a bool tensor.
        input, other: a and b, tensors or numbers.

    Returns:
        A tensor of the broadcast shape and the promoted dtype of a and b.

    Raises:
        TypeError: if the condition is not bool.
        ValueError: if the shapes do not broadcast.

    Formula: y = a if c else b

    >>> import microtensor as mt
    >>> x = mt.tensor([1.0, -2.0])
    >>> mt.where(x > 0, x, 0.0)
    tensor([1., 0.])
    """
    cdef Tensor x, y
    cdef Tensor given = as_tensor(condition, "condition")
    take_in(given, "where")
    cdef ndarray c = given.array                # once: a number may be an object that runs code
    if c.dtype.kind != "b":
        raise TypeError(f"where needs a bool condition, got {c.dtype}: compare it with something first")
    if not isinstance(input, Tensor) and not isinstance(other, Tensor):
        input = as_tensor(np.asanyarray(input, np.float32 if isinstance(input, float) else None), "input")
    x, y = operands("where", input, other)
    if not is_float(x.array) and not is_float(y.array):
        dtype = result_type(x, y)
        return wrap(np.asarray(np.where(lent(c), x.array.astype(dtype), y.array.astype(dtype))))
    cdef Where op = Where.__new__(Where)
    return op.apply(c, x, y)


operators.add = _add
operators.sub = _sub
operators.mul = _mul
operators.div = _div
operators.pow = _pow
