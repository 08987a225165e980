"""Arithmetic, element by element: add, sub, mul, div, neg, pow, exp, log, sqrt, abs, maximum, minimum, clamp, where.

x, a, b are inputs, y the output, g = dL/dy, and dx, da, db the gradients; all of one shape inside the loops, since
the Walk has broadcast them and the engine sums da and db back to their inputs' shapes.
"""

cimport cython
cimport numpy as cnp
from numpy cimport ndarray

from microtensor.kernels cimport simd
from microtensor.core cimport (
    Engine, Tensor, empty_like, is_float, is_single, late, operand, record, wrap,
)
from microtensor.ops.elementwise cimport (
    FORWARD, INPUT, NOTHING, OUTPUT, Binary, Plan, Unary, Walk, empty_broadcast, next_run, promote, start_walk,
)
from microtensor.kernels.simd cimport real

import numpy as np

from microtensor.ops.elementwise import result_type
from microtensor.ops.sample import Sample, binary_samples, unary_samples

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


@cython.final
@cython.no_gc
cdef class Add(Binary):
    """a + b."""

    cdef void forward_loop(self, const void* a, const void* b, void* y, Py_ssize_t n) noexcept nogil:
        if self.single:
            add_forward(<const float*>a, <const float*>b, <float*>y, n)
        else:
            add_forward(<const double*>a, <const double*>b, <double*>y, n)

    cdef void keep(self, Tensor a, Tensor b, Tensor y):
        pass

    cdef int backward(self, ndarray g, Engine engine) except -1:
        engine.lend(self, 0, g)
        engine.lend(self, 1, g)
        return 0

    def rule(self, Tensor g):
        return g, g

    @staticmethod
    def samples(draw):
        yield from binary_samples(add, np.add, draw, draw)


cdef Tensor _add(Tensor a, Tensor b):
    if not is_float(a.array) and not is_float(b.array):
        return of_integers(np.add, a, b)
    cdef Add op = Add.__new__(Add)
    return op.apply(a, b)


def add(input, other):
    """a + b, broadcast.

    Args:
        input, other: a and b, tensors, or on one side an array or a number.

    Returns:
        A tensor of the broadcast shape and the promoted dtype.

    Raises:
        ValueError: if the shapes do not broadcast.
        TypeError: if neither is a tensor.

    Formula: y = a + b

    >>> import microtensor as mt
    >>> mt.add(mt.tensor([1.0, 2.0]), 3)
    tensor([4., 5.])
    """
    a, b = operands("add", input, other)
    return _add(a, b)


# -- neg ------------------------------------------------------------------------------------------------------
# d(-x)/dx = -1:   dx = -g                                             the forward loop on g

cdef void neg_forward(const real* x, real* y, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        y[i] = -x[i]


@cython.final
@cython.no_gc
cdef class Neg(Unary):
    """-x."""

    cdef void forward_loop(self, const void* x, void* y, Py_ssize_t n) noexcept nogil:
        if self.single:
            neg_forward(<const float*>x, <float*>y, n)
        else:
            neg_forward(<const double*>x, <double*>y, n)

    cdef void backward_loop(self, const void* kept, const void* g, void* dx, Py_ssize_t n) noexcept nogil:
        if self.single:
            neg_forward(<const float*>g, <float*>dx, n)
        else:
            neg_forward(<const double*>g, <double*>dx, n)

    def rule(self, Tensor g):
        return (-g,)

    @staticmethod
    def samples(draw):
        yield from unary_samples(neg, np.negative, draw)


cdef Tensor _neg(Tensor x):
    if not is_float(x.array):
        return wrap(np.asarray(np.negative(x.array)))
    cdef Neg op = Neg.__new__(Neg)
    return op.apply(x, NOTHING)


def neg(Tensor input not None):
    """-x.

    Args:
        input: x, any shape and dtype; integers stay integers.

    Returns:
        A tensor of x's shape.

    Formula: y = -x

    >>> import microtensor as mt
    >>> mt.neg(mt.tensor([1.0, -2.0]))
    tensor([-1.,  2.])
    """
    return _neg(input)


# -- sub ------------------------------------------------------------------------------------------------------
# d(a - b)/da = 1,  d(a - b)/db = -1:   da = g,  db = -g              db is neg's loop on g

cdef void sub_forward(const real* a, const real* b, real* y, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        y[i] = a[i] - b[i]


@cython.final
@cython.no_gc
cdef class Sub(Binary):
    """a - b."""

    cdef void forward_loop(self, const void* a, const void* b, void* y, Py_ssize_t n) noexcept nogil:
        if self.single:
            sub_forward(<const float*>a, <const float*>b, <float*>y, n)
        else:
            sub_forward(<const double*>a, <const double*>b, <double*>y, n)

    cdef void keep(self, Tensor a, Tensor b, Tensor y):
        pass

    cdef int backward(self, ndarray g, Engine engine) except -1:
        cdef ndarray db
        cdef Py_ssize_t n = cnp.PyArray_SIZE(g)
        engine.lend(self, 0, g)
        if self.needs(1):
            db = empty_like(g)
            if self.single:
                neg_forward(<const float*>cnp.PyArray_DATA(g), <float*>cnp.PyArray_DATA(db), n)
            else:
                neg_forward(<const double*>cnp.PyArray_DATA(g), <double*>cnp.PyArray_DATA(db), n)
            engine.give(self, 1, db)
        return 0

    def rule(self, Tensor g):
        return g, -g

    @staticmethod
    def samples(draw):
        yield from binary_samples(sub, np.subtract, draw, draw)


cdef Tensor _sub(Tensor a, Tensor b):
    if not is_float(a.array) and not is_float(b.array):
        return of_integers(np.subtract, a, b)
    cdef Sub op = Sub.__new__(Sub)
    return op.apply(a, b)


def sub(input, other):
    """a - b, broadcast.

    Args:
        input, other: a and b, tensors, or on one side an array or a number.

    Returns:
        A tensor of the broadcast shape and the promoted dtype.

    Raises:
        ValueError: if the shapes do not broadcast.
        TypeError: if neither is a tensor.

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


cdef void mul_backward_a(const real* b, const real* g, real* da, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        da[i] = g[i] * b[i]


cdef void mul_backward_b(const real* a, const real* g, real* db, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        db[i] = g[i] * a[i]


@cython.final
@cython.no_gc
cdef class Mul(Binary):
    """a * b."""

    cdef void forward_loop(self, const void* a, const void* b, void* y, Py_ssize_t n) noexcept nogil:
        if self.single:
            mul_forward(<const float*>a, <const float*>b, <float*>y, n)
        else:
            mul_forward(<const double*>a, <const double*>b, <double*>y, n)

    cdef void keep(self, Tensor a, Tensor b, Tensor y):
        self.save(a if self.needs(1) else None, b if self.needs(0) else None, None)

    cdef void backward_loop_a(self, const void* a, const void* b, const void* y, const void* g, void* da,
                              Py_ssize_t n) noexcept nogil:
        if self.single:
            mul_backward_a(<const float*>b, <const float*>g, <float*>da, n)
        else:
            mul_backward_a(<const double*>b, <const double*>g, <double*>da, n)

    cdef void backward_loop_b(self, const void* a, const void* b, const void* y, const void* g, void* db,
                              Py_ssize_t n) noexcept nogil:
        if self.single:
            mul_backward_b(<const float*>a, <const float*>g, <float*>db, n)
        else:
            mul_backward_b(<const double*>a, <const double*>g, <double*>db, n)

    def rule(self, Tensor g):
        return (g * self.input(1) if self.needs(0) else None, g * self.input(0) if self.needs(1) else None)

    @staticmethod
    def samples(draw):
        yield from binary_samples(mul, np.multiply, draw, draw)


cdef Tensor _mul(Tensor a, Tensor b):
    if not is_float(a.array) and not is_float(b.array):
        return of_integers(np.multiply, a, b)
    cdef Mul op = Mul.__new__(Mul)
    return op.apply(a, b)


def mul(input, other):
    """a * b, broadcast.

    Args:
        input, other: a and b, tensors, or on one side an array or a number.

    Returns:
        A tensor of the broadcast shape and the promoted dtype.

    Raises:
        ValueError: if the shapes do not broadcast.
        TypeError: if neither is a tensor.

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
    return mul(input, input)


# -- div ------------------------------------------------------------------------------------------------------
# d(a/b)/da = 1/b
# d(a/b)/db = -a/b^2                                                    (quotient rule)
# da = g / b,  db = -g (a / b) / b                                      b^2 alone may overflow

cdef void div_forward(const real* a, const real* b, real* y, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        y[i] = a[i] / b[i]


cdef void div_backward_a(const real* b, const real* g, real* da, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        da[i] = g[i] / b[i]


cdef void div_backward_b(const real* a, const real* b, const real* g, real* db, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        db[i] = -g[i] * (a[i] / b[i] / b[i])


@cython.final
@cython.no_gc
cdef class Div(Binary):
    """a / b."""

    cdef void forward_loop(self, const void* a, const void* b, void* y, Py_ssize_t n) noexcept nogil:
        if self.single:
            div_forward(<const float*>a, <const float*>b, <float*>y, n)
        else:
            div_forward(<const double*>a, <const double*>b, <double*>y, n)

    cdef void keep(self, Tensor a, Tensor b, Tensor y):
        self.save(a if self.needs(1) else None, b, None)

    cdef void backward_loop_a(self, const void* a, const void* b, const void* y, const void* g, void* da,
                              Py_ssize_t n) noexcept nogil:
        if self.single:
            div_backward_a(<const float*>b, <const float*>g, <float*>da, n)
        else:
            div_backward_a(<const double*>b, <const double*>g, <double*>da, n)

    cdef void backward_loop_b(self, const void* a, const void* b, const void* y, const void* g, void* db,
                              Py_ssize_t n) noexcept nogil:
        if self.single:
            div_backward_b(<const float*>a, <const float*>b, <const float*>g, <float*>db, n)
        else:
            div_backward_b(<const double*>a, <const double*>b, <const double*>g, <double*>db, n)

    def rule(self, Tensor g):
        b = self.input(1)
        return (g / b, -g * (self.input(0) / b / b) if self.needs(1) else None)

    @staticmethod
    def samples(draw):
        yield from binary_samples(div, np.divide, draw, draw.positive)


cdef Tensor _div(Tensor a, Tensor b):
    cdef Div op = Div.__new__(Div)
    return op.apply(a, b)


def div(input, other):
    """a / b, broadcast; float32 for integers.

    Args:
        input, other: a and b, tensors, or on one side an array or a number.

    Returns:
        A tensor of the broadcast shape and the promoted dtype.

    Raises:
        ValueError: if the shapes do not broadcast.
        TypeError: if neither is a tensor.

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

cdef inline bint all_squares(const real* b, Py_ssize_t n) noexcept nogil:
    """Whether every exponent is 2, the commonest: without pow, the loop is vectorised."""
    cdef Py_ssize_t i, others = 0
    for i in range(n):
        others += b[i] != 2
    return others == 0


cdef void pow_forward(const real* a, const real* b, real* y, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    if all_squares(b, n):
        for i in range(n):
            y[i] = a[i] * a[i]
    else:
        for i in range(n):
            y[i] = a[i] * a[i] if b[i] == 2 else simd.power(a[i], b[i])


cdef void pow_backward_a(const real* a, const real* b, const real* g, real* da, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    if all_squares(b, n):
        for i in range(n):
            da[i] = g[i] * (a[i] + a[i])
    else:
        for i in range(n):
            da[i] = 0 if b[i] == 0 else g[i] * b[i] * (a[i] if b[i] == 2 else simd.power(a[i], b[i] - <real>1))


cdef void pow_backward_b(const real* a, const real* b, const real* y, const real* g, real* db,
                         Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        db[i] = 0 if a[i] == 0 and b[i] >= 0 else g[i] * y[i] * simd.log(a[i])


@cython.final
@cython.no_gc
cdef class Pow(Binary):
    """a ** b."""

    cdef void forward_loop(self, const void* a, const void* b, void* y, Py_ssize_t n) noexcept nogil:
        if self.single:
            pow_forward(<const float*>a, <const float*>b, <float*>y, n)
        else:
            pow_forward(<const double*>a, <const double*>b, <double*>y, n)

    cdef void keep(self, Tensor a, Tensor b, Tensor y):
        self.save(a, b, y if self.needs(1) else None)

    cdef void backward_loop_a(self, const void* a, const void* b, const void* y, const void* g, void* da,
                              Py_ssize_t n) noexcept nogil:
        if self.single:
            pow_backward_a(<const float*>a, <const float*>b, <const float*>g, <float*>da, n)
        else:
            pow_backward_a(<const double*>a, <const double*>b, <const double*>g, <double*>da, n)

    cdef void backward_loop_b(self, const void* a, const void* b, const void* y, const void* g, void* db,
                              Py_ssize_t n) noexcept nogil:
        if self.single:
            pow_backward_b(<const float*>a, <const float*>b, <const float*>y, <const float*>g, <float*>db, n)
        else:
            pow_backward_b(<const double*>a, <const double*>b, <const double*>y, <const double*>g, <double*>db, n)

    def rule(self, Tensor g):
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
        yield from binary_samples(pow, np.power, draw.positive, draw)
        yield Sample(lambda a: pow(a, 3.0), [draw(3, 5)], lambda a: a ** 3)
        yield Sample(lambda a: pow(a, 2), [draw(3, 5)], np.square)


cdef Tensor _pow(Tensor a, Tensor b):
    if not is_float(a.array) and not is_float(b.array):
        return of_integers(np.power, a, b)
    cdef Pow op = Pow.__new__(Pow)
    return op.apply(a, b)


def pow(input, exponent):
    """a ** b, broadcast.

    Args:
        input, exponent: a and b, tensors, or on one side an array or a number.

    Returns:
        A tensor of the broadcast shape and the promoted dtype.

    Raises:
        ValueError: if the shapes do not broadcast.
        TypeError: if neither is a tensor.

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

cdef void exp_forward(const real* x, real* y, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        y[i] = simd.exp(x[i])


cdef void exp_backward(const real* y, const real* g, real* dx, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        dx[i] = g[i] * y[i]


@cython.final
@cython.no_gc
cdef class Exp(Unary):
    """e^x."""

    cdef void forward_loop(self, const void* x, void* y, Py_ssize_t n) noexcept nogil:
        if self.single:
            exp_forward(<const float*>x, <float*>y, n)
        else:
            exp_forward(<const double*>x, <double*>y, n)

    cdef void backward_loop(self, const void* kept, const void* g, void* dx, Py_ssize_t n) noexcept nogil:
        if self.single:
            exp_backward(<const float*>kept, <const float*>g, <float*>dx, n)
        else:
            exp_backward(<const double*>kept, <const double*>g, <double*>dx, n)

    def rule(self, Tensor g):
        return (g * self.output(),)

    @staticmethod
    def samples(draw):
        yield from unary_samples(exp, np.exp, draw)


def exp(Tensor input not None):
    """e to the power of each element.

    Args:
        input: x, any shape; integers and bools are converted to float32.

    Returns:
        A tensor of x's shape.

    Formula: y = e^x

    >>> import microtensor as mt
    >>> mt.exp(mt.tensor([0.0, 1.0]))
    tensor([1.    , 2.7183])
    """
    cdef Exp op = Exp.__new__(Exp)
    return op.apply(input, OUTPUT)


# -- log ------------------------------------------------------------------------------------------------------
# (ln x)' = 1/x
# dx = g / x

cdef void log_forward(const real* x, real* y, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        y[i] = simd.log(x[i])


cdef void log_backward(const real* x, const real* g, real* dx, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        dx[i] = g[i] / x[i]


@cython.final
@cython.no_gc
cdef class Log(Unary):
    """The natural logarithm."""

    cdef void forward_loop(self, const void* x, void* y, Py_ssize_t n) noexcept nogil:
        if self.single:
            log_forward(<const float*>x, <float*>y, n)
        else:
            log_forward(<const double*>x, <double*>y, n)

    cdef void backward_loop(self, const void* kept, const void* g, void* dx, Py_ssize_t n) noexcept nogil:
        if self.single:
            log_backward(<const float*>kept, <const float*>g, <float*>dx, n)
        else:
            log_backward(<const double*>kept, <const double*>g, <double*>dx, n)

    def rule(self, Tensor g):
        return (g / self.input(0),)

    @staticmethod
    def samples(draw):
        yield from unary_samples(log, np.log, draw.positive)


def log(Tensor input not None):
    """The natural logarithm of each element: -inf at 0, nan below.

    Args:
        input: x, any shape; integers and bools are converted to float32.

    Returns:
        A tensor of x's shape.

    Formula: y = ln x

    >>> import microtensor as mt
    >>> mt.log(mt.tensor([1.0, 2.0]))
    tensor([0.    , 0.6931])
    """
    cdef Log op = Log.__new__(Log)
    return op.apply(input, INPUT)


# -- sqrt -----------------------------------------------------------------------------------------------------
# y^2 = x,  2 y y' = 1,  y' = 1 / (2 y)                                  (implicit differentiation)
# dx = g / (2 y)                                                        inf at x = 0

cdef void sqrt_forward(const real* x, real* y, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        y[i] = simd.sqrt(x[i])


cdef void sqrt_backward(const real* y, const real* g, real* dx, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        dx[i] = g[i] / (y[i] + y[i])


@cython.final
@cython.no_gc
cdef class Sqrt(Unary):
    """The square root."""

    cdef void forward_loop(self, const void* x, void* y, Py_ssize_t n) noexcept nogil:
        if self.single:
            sqrt_forward(<const float*>x, <float*>y, n)
        else:
            sqrt_forward(<const double*>x, <double*>y, n)

    cdef void backward_loop(self, const void* kept, const void* g, void* dx, Py_ssize_t n) noexcept nogil:
        if self.single:
            sqrt_backward(<const float*>kept, <const float*>g, <float*>dx, n)
        else:
            sqrt_backward(<const double*>kept, <const double*>g, <double*>dx, n)

    def rule(self, Tensor g):
        return (g / (2 * self.output()),)

    @staticmethod
    def samples(draw):
        yield from unary_samples(sqrt, np.sqrt, draw.positive)


def sqrt(Tensor input not None):
    """The square root of each element: nan below 0.

    Args:
        input: x, any shape; integers and bools are converted to float32.

    Returns:
        A tensor of x's shape.

    Formula: y = x^(1/2)

    >>> import microtensor as mt
    >>> mt.sqrt(mt.tensor([1.0, 4.0]))
    tensor([1., 2.])
    """
    cdef Sqrt op = Sqrt.__new__(Sqrt)
    return op.apply(input, OUTPUT)


# -- abs ------------------------------------------------------------------------------------------------------
# |x|' = sign x; at the kink x = 0 the subgradient 0 is taken (PyTorch's choice)
# dx = g sign x

cdef void abs_forward(const real* x, real* y, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        y[i] = simd.fabs(x[i])


cdef void abs_backward(const real* x, const real* g, real* dx, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        dx[i] = g[i] if x[i] > 0 else -g[i] if x[i] < 0 else g[i] * x[i]


@cython.final
@cython.no_gc
cdef class Abs(Unary):
    """The absolute value."""

    cdef void forward_loop(self, const void* x, void* y, Py_ssize_t n) noexcept nogil:
        if self.single:
            abs_forward(<const float*>x, <float*>y, n)
        else:
            abs_forward(<const double*>x, <double*>y, n)

    cdef void backward_loop(self, const void* kept, const void* g, void* dx, Py_ssize_t n) noexcept nogil:
        if self.single:
            abs_backward(<const float*>kept, <const float*>g, <float*>dx, n)
        else:
            abs_backward(<const double*>kept, <const double*>g, <double*>dx, n)

    def rule(self, Tensor g):
        return (g * sign(self.input(0)),)

    @staticmethod
    def samples(draw):
        yield from unary_samples(abs, np.abs, draw.nonzero, kinks="0")


def abs(Tensor input not None):
    """The absolute value of each element; its gradient at 0 is 0.

    Args:
        input: x, any shape and dtype; integers stay integers.

    Returns:
        A tensor of x's shape.

    Formula: y = |x|

    >>> import microtensor as mt
    >>> mt.abs(mt.tensor([1.0, -2.0]))
    tensor([1., 2.])
    """
    if not is_float(input.array):
        return wrap(np.asarray(np.abs(input.array)))
    cdef Abs op = Abs.__new__(Abs)
    return op.apply(input, INPUT)


def sign(Tensor input not None):
    """-1, 0 or 1 for each element; has no gradient.

    Args:
        input: x, any shape; integers and bools are converted to float32.

    Returns:
        A tensor of x's shape.

    Formula: y = x / |x|, and 0 at 0

    >>> import microtensor as mt
    >>> mt.sign(mt.tensor([3.0, 0.0, -2.0]))
    tensor([ 1.,  0., -1.])
    """
    return wrap(np.asarray(np.sign(input.array)))


# -- maximum --------------------------------------------------------------------------------------------------
# y = a where a > b, b where b > a: the gradient goes to the larger one
# at the kink a = b each gets half (PyTorch's choice): g w,  w = 1, 1/2 or 0

cdef void maximum_forward(const real* a, const real* b, real* y, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        y[i] = b[i] if b[i] > a[i] else a[i]
        y[i] = b[i] if b[i] != b[i] else y[i]


cdef void maximum_backward_a(const real* a, const real* b, const real* g, real* da, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        da[i] = g[i] if a[i] > b[i] else g[i] * <real>0.5 if a[i] == b[i] else 0


cdef void maximum_backward_b(const real* a, const real* b, const real* g, real* db, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        db[i] = g[i] if b[i] > a[i] else g[i] * <real>0.5 if a[i] == b[i] else 0


@cython.final
@cython.no_gc
cdef class Maximum(Binary):
    """The larger of a and b; nan if either is nan."""

    cdef void forward_loop(self, const void* a, const void* b, void* y, Py_ssize_t n) noexcept nogil:
        if self.single:
            maximum_forward(<const float*>a, <const float*>b, <float*>y, n)
        else:
            maximum_forward(<const double*>a, <const double*>b, <double*>y, n)

    cdef void backward_loop_a(self, const void* a, const void* b, const void* y, const void* g, void* da,
                              Py_ssize_t n) noexcept nogil:
        if self.single:
            maximum_backward_a(<const float*>a, <const float*>b, <const float*>g, <float*>da, n)
        else:
            maximum_backward_a(<const double*>a, <const double*>b, <const double*>g, <double*>da, n)

    cdef void backward_loop_b(self, const void* a, const void* b, const void* y, const void* g, void* db,
                              Py_ssize_t n) noexcept nogil:
        if self.single:
            maximum_backward_b(<const float*>a, <const float*>b, <const float*>g, <float*>db, n)
        else:
            maximum_backward_b(<const double*>a, <const double*>b, <const double*>g, <double*>db, n)

    def rule(self, Tensor g):
        a, b = self.input(0).detach(), self.input(1).detach()
        weight = (a > b).to(g.dtype) + (a == b).to(g.dtype) / 2
        return g * weight, g * (1 - weight)

    @staticmethod
    def samples(draw):
        yield Sample(maximum, [draw(3, 5), draw(3, 5)], np.maximum)
        yield Sample(maximum, [draw(3, 5), draw(5)], np.maximum)
        yield Sample(maximum, [draw(2, 1, 5), draw(3, 1)], np.maximum)
        yield Sample(maximum, [np.asarray(0.1), np.array([-1.0, 0.5, 2.0, -0.3])], np.maximum, kinks="where a = b")


cdef Tensor _maximum(Tensor a, Tensor b):
    if not is_float(a.array) and not is_float(b.array):
        return of_integers(np.maximum, a, b)
    cdef Maximum op = Maximum.__new__(Maximum)
    return op.apply(a, b)


def maximum(input, other):
    """The larger of a and b, broadcast; nan if either is nan. A tie gives half the gradient to each.

    Args:
        input, other: a and b, tensors, or on one side an array or a number.

    Returns:
        A tensor of the broadcast shape and the promoted dtype.

    Raises:
        ValueError: if the shapes do not broadcast.
        TypeError: if neither is a tensor.

    Formula: y = max(a, b)

    >>> import microtensor as mt
    >>> mt.maximum(mt.tensor([1.0, 2.0]), 1.5)
    tensor([1.5, 2. ])
    """
    a, b = operands("maximum", input, other)
    return _maximum(a, b)


def minimum(input, other):
    """The smaller of a and b, broadcast; nan if either is nan. A tie gives half the gradient to each.

    Args:
        input, other: a and b, tensors, or on one side an array or a number.

    Returns:
        A tensor of the broadcast shape and the promoted dtype.

    Raises:
        ValueError: if the shapes do not broadcast.
        TypeError: if neither is a tensor.

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

cdef void clamp_forward(const real* x, real* y, Py_ssize_t n, real low, real high) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        y[i] = low if x[i] < low else x[i]
        y[i] = high if y[i] > high else y[i]


cdef void clamp_backward(const real* x, const real* g, real* dx, Py_ssize_t n, real low, real high) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        dx[i] = g[i] if low <= x[i] and x[i] <= high else 0


@cython.final
@cython.no_gc
cdef class Clamp(Unary):
    """x limited to [low, high]."""

    cdef double low, high

    cdef void forward_loop(self, const void* x, void* y, Py_ssize_t n) noexcept nogil:
        if self.single:
            clamp_forward(<const float*>x, <float*>y, n, <float>self.low, <float>self.high)
        else:
            clamp_forward(<const double*>x, <double*>y, n, self.low, self.high)

    cdef void backward_loop(self, const void* kept, const void* g, void* dx, Py_ssize_t n) noexcept nogil:
        if self.single:
            clamp_backward(<const float*>kept, <const float*>g, <float*>dx, n, <float>self.low, <float>self.high)
        else:
            clamp_backward(<const double*>kept, <const double*>g, <double*>dx, n, self.low, self.high)

    def rule(self, Tensor g):
        x = self.input(0).detach()
        return (g * ((x >= self.low) & (x <= self.high)).to(g.dtype),)

    @staticmethod
    def samples(draw):
        yield Sample(lambda x: clamp(x, -0.5, 0.7), [draw.away_from(-0.5, 0.7, shape=(3, 5))],
                     lambda x: np.clip(x, -0.5, 0.7), kinks="min, max")
        yield Sample(lambda x: clamp(x, min=0.2), [np.asarray(0.9)], lambda x: np.maximum(x, 0.2), kinks="min")
        yield Sample(lambda x: clamp(x, max=0.2), [draw(0, 3)], lambda x: np.minimum(x, 0.2), kinks="max")


def clamp(Tensor input not None, min=None, max=None):
    """x limited to [min, max]; the gradient passes where x is within, bounds included.

    Args:
        input: x, any shape.
        min, max: numbers; one may be left out.

    Returns:
        A tensor of x's shape and dtype.

    Raises:
        ValueError: if neither bound is given.
        TypeError: if a bound is a tensor.

    Formula: y = min(max(x, low), high)

    >>> import microtensor as mt
    >>> mt.clamp(mt.tensor([-2.0, 0.5, 2.0]), -1, 1)
    tensor([-1. ,  0.5,  1. ])
    """
    if min is None and max is None:
        raise ValueError("clamp needs min, max or both")
    for name, bound in (("min", min), ("max", max)):
        if isinstance(bound, Tensor):
            raise TypeError(f"clamp takes numbers, but {name} is a Tensor: use maximum and minimum")
        if bound is not None and bound != bound:
            raise ValueError(f"clamp: {name} is nan")
    if not is_float(input.array) and not isinstance(min, float) and not isinstance(max, float):
        return wrap(np.asarray(np.clip(input.array, min, max)))
    cdef Clamp op = Clamp.__new__(Clamp)
    op.low = float("-inf") if min is None else min
    op.high = float("inf") if max is None else max
    return op.apply(input, INPUT)


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


cdef void where_run(int side, const char* c, const real* first, const void* second, const void* third,
                    Py_ssize_t n) noexcept nogil:
    if side == FORWARD:
        where_forward(c, first, <const real*>second, <real*>third, n)
    elif side == 0:
        where_backward_a(c, first, <real*>second, n)
    else:
        where_backward_b(c, first, <real*>second, n)


@cython.final
@cython.no_gc
cdef class Where(Binary):
    """a where the condition holds, b elsewhere."""

    cdef Tensor select(self, Tensor condition, Tensor a, Tensor b):
        a, b = promote(a, b)
        self.single = is_single(a.array)
        cdef ndarray y_array = empty_broadcast(self, (condition.array, a.array, b.array))
        self.run(FORWARD, (condition.array, a.array, b.array, y_array), y_array)
        cdef Tensor y = record(self, y_array, a, b)
        if y.op is not None:
            self.input_shapes = (a.shape, b.shape)
            self.save(None, None, None)
            self.context = condition.array.copy()
        return y

    cdef int backward(self, ndarray g, Engine engine) except -1:
        cdef ndarray dx
        for side in range(2):
            if self.needs(side):
                dx = empty_like(g)
                self.run(side, (self.context, g, dx), g)
                engine.give(self, side, dx)
        return 0

    cdef void run_part(self, int side, const Plan* plan, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
        cdef Walk walk
        start_walk(&walk, plan, first, last)
        while next_run(&walk):
            if self.single:
                where_run(side, <const char*>walk.run[0], <const float*>walk.run[1], walk.run[2], walk.run[3], walk.n)
            else:
                where_run(side, <const char*>walk.run[0], <const double*>walk.run[1], walk.run[2], walk.run[3], walk.n)

    def rule(self, Tensor g):
        condition = wrap(self.context)
        return where(condition, g, 0.0), where(condition, 0.0, g)

    @staticmethod
    def samples(draw):
        for shapes in ([(3, 5), (3, 5), (3, 5)], [(3, 1), (5,), (2, 3, 5)], [(4,), (), (4,)], [(), (0, 3), (3,)]):
            condition = np.arange(np.prod(shapes[0], dtype=int)).reshape(shapes[0]) % 2 == 0
            yield Sample(lambda a, b, c=condition: where(wrap(np.asarray(c)), a, b),
                         [draw(*shapes[1]), draw(*shapes[2])], lambda a, b, c=condition: np.where(c, a, b),
                         zero_gradient=(0, 3) in shapes)


def where(Tensor condition not None, input, other):
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
    if condition.array.dtype.kind != "b":
        raise TypeError(f"where needs a bool condition, got {condition.dtype}: compare it with something first")
    cdef Tensor x, y
    if not isinstance(input, Tensor) and not isinstance(other, Tensor):
        either_float = isinstance(input, float) or isinstance(other, float)
        input = wrap(np.asarray(input, np.float32 if either_float else None))
    x, y = operands("where", input, other)
    if not is_float(x.array) and not is_float(y.array):
        dtype = result_type(x, y)
        return wrap(np.asarray(np.where(condition.array, x.array.astype(dtype), y.array.astype(dtype))))
    cdef Where op = Where.__new__(Where)
    return op.select(condition, x, y)


late.add = _add
late.sub = _sub
late.mul = _mul
late.div = _div
late.pow = _pow
