"""Every kernel over random shapes, layouts, dtypes and numbers of threads, against NumPy in float64.

Inputs end, or begin, where memory may not be touched: a kernel that reads or writes one element too far dies there, in
every build. How far a result may be from the oracle's is computed along with it (see Rounded), not chosen. What the
oracle of an elementwise op computes, the op's samples state (microtensor/ops/sample.py); the others' are here.
"""

import ctypes
import mmap
import os
import subprocess
import sys
from functools import reduce
from operator import mul
from types import SimpleNamespace

import numpy as np
import pytest
from microtensor._cpu import supported_levels

import microtensor as mt
from microtensor import _isa_path
from microtensor.kernels import gemm
from microtensor.ops import base, sample
from microtensor.ops.registry import registered_ops, statements_of
from microtensor.ops.sample import Stated

# -- memory with a fence ---------------------------------------------------------------------------------------

LIBC = ctypes.CDLL(None) if os.name == "posix" else None        # without mprotect the sweep goes on unfenced
# mmap's default is memory to be shared with other processes, page by page as it is touched: that takes twice as long.
PRIVATE = {} if LIBC is None else {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_POPULATE", 0)}


def fenced_memory(size, at_end):
    """So many bytes, each 0xFF (which makes nan), that end where a forbidden page begins, or begin where one ends."""
    middle = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
    pages = mmap.mmap(-1, middle + 2 * mmap.PAGESIZE, **PRIVATE)
    if LIBC is not None:
        start = ctypes.addressof(ctypes.c_char.from_buffer(pages))
        for page in (start, start + mmap.PAGESIZE + middle):
            assert LIBC.mprotect(ctypes.c_void_p(page), ctypes.c_size_t(mmap.PAGESIZE), 0) == 0
    inner = np.frombuffer(pages, np.uint8, middle, mmap.PAGESIZE)
    memory = inner[middle - size :] if at_end else inner[:size]
    memory[...] = 0xFF
    return memory


def fenced(x, rng, contiguous=None):
    """x between fences: contiguous, or any order of dimensions, any direction, gaps, repeated or unaligned elements."""
    if contiguous is None:
        contiguous = rng.random() < 0.4
    order, steps, signs, odd = np.arange(x.ndim), np.ones(x.ndim, int), np.ones(x.ndim, int), 0
    if not contiguous:
        order = rng.permutation(x.ndim)
        steps, signs = rng.choice([1, 1, 2, 3], x.ndim), rng.choice([1, 1, -1], x.ndim)
        odd = int(rng.random() < 0.1)
    strides, run = [0] * x.ndim, x.itemsize
    for d in order[::-1]:
        if not contiguous and x.shape[d] > 1 and (x == x.take([0], d)).all():
            continue                                                            # one element, again and again
        strides[d] = int(signs[d]) * run * int(steps[d])
        run *= int(steps[d]) * max(x.shape[d], 1)
    reach = [(n - 1) * stride for n, stride in zip(x.shape, strides, strict=True)] if x.size else []
    first = -sum(step for step in reach if step < 0)
    size = first + sum(step for step in reach if step > 0) + x.itemsize if x.size else 0
    memory = fenced_memory(size + odd, at_end=rng.random() < 0.7)
    view = np.ndarray(x.shape, x.dtype, memory[:size] if rng.random() < 0.5 else memory[odd:], first, strides)
    owner = view if 0 not in strides else np.lib.stride_tricks.as_strided(
        view, [1 if step == 0 else n for n, step in zip(x.shape, strides, strict=True)], strides)
    owner[...] = x[tuple(slice(n) for n in owner.shape)]
    return view


# -- how far floating point may be off ---------------------------------------------------------------------------


class Rounded:
    """Numbers in float64, and a bound, in units of eps, on how far from them a computation of this form may be.

    Running error analysis (Higham, Accuracy and Stability of Numerical Algorithms, 2002, 3.3): every operation adds
    its own rounding and passes its operands' errors on, times its derivatives. One unit of eps per rounding is two
    roundings to nearest: the kernel's, and the oracle's where it has the same dtype. Constants count as rounded, but
    those that the dtype holds; a product with an exact power of two, or its reciprocal, is not rounded.
    """

    __array_ufunc__ = None

    def __init__(self, value, dtype, error=0.0):
        self.value, self.dtype = np.asarray(value, np.float64), dtype
        self.error = np.broadcast_to(error, self.value.shape)

    def new(self, value, error):
        return Rounded(value, self.dtype, error)

    def lift(self, other):
        if isinstance(other, Rounded):
            return other
        other = np.asarray(other, np.float64)
        return self.new(other, np.where(other.astype(self.dtype) == other, 0, np.abs(other)))

    def keeps_digits(self):
        """Where a product with these is exact: they are, and are 0 or powers of two."""
        return (self.error == 0) & np.isin(np.frexp(self.value)[0], (-0.5, 0, 0.5))

    def __add__(self, other):
        other = self.lift(other)
        value = self.value + other.value
        return self.new(value, self.error + other.error + np.abs(value))

    def __mul__(self, other):
        other = self.lift(other)
        value = self.value * other.value
        error = self.error * np.abs(other.value) + other.error * np.abs(self.value)
        error = error + self.error * other.error * np.finfo(self.dtype).eps         # all there is where both are 0
        return self.new(value, error + np.where(self.keeps_digits() | other.keeps_digits(), 0, np.abs(value)))

    def __truediv__(self, other):
        other = self.lift(other)
        return self * other.map(np.reciprocal, lambda x: x**-2, ulps=np.where(other.keeps_digits(), 0, 1))

    def __neg__(self):
        return self.new(-self.value, self.error)

    def __sub__(self, other):
        return self + -self.lift(other)

    def __rsub__(self, other):
        return -self + other

    def __rtruediv__(self, other):
        return self.lift(other) / self

    def __pow__(self, power):
        return reduce(mul, [self] * power)

    __radd__, __rmul__ = __add__, __mul__

    def __lt__(self, other):
        return self.value < self.lift(other).value

    def __gt__(self, other):
        return self.value > self.lift(other).value

    def map(self, function, slope, ulps=1):
        """A function that is computed to so many ulp."""
        value = function(self.value)
        return self.new(value, self.error * np.abs(slope(self.value)) + ulps * np.abs(value))

    def exp(self):
        return self.map(np.exp, np.exp, 3)

    def log(self):
        return self.map(np.log, np.reciprocal, 3)

    def sqrt(self):
        return self.map(np.sqrt, lambda x: 0.5 / np.sqrt(x))

    def tanh(self):
        return self.map(np.tanh, lambda x: 1 / np.cosh(x) ** 2, 4)

    def sigmoid(self):
        return self.map(lambda x: 1 / (1 + np.exp(-x)), lambda x: 0.25 / np.cosh(x / 2) ** 2, 4)

    def normal_cdf(self):
        """Within 5 ulp; the oracle rounds erfc's argument, in double, which counts x^2 times."""
        oracle = self.value**2 * np.finfo(np.float64).eps / np.finfo(self.dtype).eps
        return self.map(sample.NUMPY.normal_cdf, lambda x: np.exp(-x * x / 2) / np.sqrt(2 * np.pi), 5 + oracle)

    def expm1(self):
        return self.map(np.expm1, np.exp, 3)

    def softplus(self):
        return self.map(lambda x: np.logaddexp(0, x), lambda x: 1 / (1 + np.exp(-x)), 4)

    def log1p(self):
        return self.map(np.log1p, lambda x: 1 / (1 + x), 4)

    def power(self, other):
        """Within 3 ulp, and of e^(other ln self) if that is less; errors of the exponent are passed on."""
        other = self.lift(other)
        value, ln = self.value**other.value, np.log(self.value)
        error = np.minimum(3, 2 + 3 * np.abs(other.value * ln)) + np.abs(ln) * other.error
        return self.new(value, error * np.abs(value))

    def abs(self):
        return self.new(np.abs(self.value), self.error)

    def where(self, condition, other):
        other = self.lift(other)
        return self.new(np.where(condition, self.value, other.value), np.where(condition, self.error, other.error))

    def move(self, function):
        """The same numbers in other places."""
        return self.new(function(self.value), function(self.error))

    def sum(self, axes=None, keepdims=False, block=1):
        """Sums are taken in double, of blocks of so many terms in the kernel's own dtype."""
        value = self.value.sum(axes, keepdims=keepdims)
        terms = self.value.size // max(value.size, 1) * np.finfo(np.float64).eps / np.finfo(self.dtype).eps
        error = (self.error + (terms + (block - 1) / 2) * np.abs(self.value)).sum(axes, keepdims=keepdims)
        return self.new(value, error + np.abs(value))

    def sum_to(self, shape):
        """Over what was broadcast from a shape."""
        added = self.value.ndim - len(shape)
        axes = [d for d in range(self.value.ndim) if d < added or shape[d - added] == 1 != self.value.shape[d]]
        return self if not axes else self.sum(tuple(axes), keepdims=True).reshape(shape)

    def __matmul__(self, other):
        """k products and k - 1 sums in the kernel's own dtype, in whatever order."""
        a, b = np.abs(self.value), np.abs(other.value)
        error = (self.value.shape[-1] + 1) * (a @ b)
        if self.error.any() or other.error.any():           # of exact numbers, zeros: two products more for nothing
            error += self.error @ b + a @ other.error
        return self.new(self.value @ other.value, error)

    def reshape(self, shape):
        return self.move(lambda x: x.reshape(shape))

    def transposed(self):
        return self.move(lambda x: x.swapaxes(-1, -2))

    def check(self, actual):
        """Raise unless an array of the kernel's dtype holds these numbers."""
        assert (actual.shape, actual.dtype) == (self.value.shape, self.dtype)
        limits = np.finfo(self.dtype)
        off = np.abs(actual - self.value)
        wrong = ~(off <= 1.01 * limits.eps * self.error + limits.smallest_normal)     # 1.01: what is of second order
        if wrong.any():
            at = tuple(int(i) for i in np.argwhere(wrong)[0])
            raise AssertionError(
                f"{wrong.sum()} of {wrong.size} elements of shape {actual.shape} are wrong; the first at {at}: "
                f"{actual[at]!r} instead of {self.value[at]!r}, allowed {limits.eps * self.error[at]:.2g}"
            )


def where_rounded(condition, a, b):
    """One of two, of which both may be plain numbers."""
    if not isinstance(a, Rounded) and not isinstance(b, Rounded):
        return np.where(condition, a, b)
    return a.where(condition, b) if isinstance(a, Rounded) else b.where(~condition, a)


# Stands for microtensor.ops.sample.NUMPY.
FUNCTIONS = SimpleNamespace(
    abs=Rounded.abs, exp=Rounded.exp, expm1=Rounded.expm1, log=Rounded.log, log1p=Rounded.log1p,
    normal_cdf=Rounded.normal_cdf, power=Rounded.power, sigmoid=Rounded.sigmoid, sign=lambda x: np.sign(x.value),
    softplus=Rounded.softplus, sqrt=Rounded.sqrt, tanh=Rounded.tanh, where=where_rounded)


# -- random cases ------------------------------------------------------------------------------------------------

# Vectors hold 2 to 16 elements, loops unroll them and gather 128 to 1024 elements at a time, tiles are 4 to 48 wide,
# blocks of matrices 128 to 512 deep; beyond 8192 elements the GIL is released, beyond 32768 threads start.
EDGES = (4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 144, 192, 256, 384, 512, 1024, 2048)
SIZES = sorted({1, 2, 3, 5, 7, 11, 13, 31, 61, 97, 131, 193, 251, 509} | {e + i for e in EDGES for i in (-1, 0, 1)})
LONG = [e * k + i for e in (8192, 32768) for k in (1, 2, 3) for i in (-1, 0, 1)] + [9973, 65521, 99991]


class Draw(sample.Draw):
    """Random shapes and numbers of one dtype. Samples draw with it as well, and then kinks are not avoided."""

    def __init__(self, rng, dtype, largest):
        self.rng, self.dtype, self.largest = rng, dtype, largest

    @property
    def stream(self):
        return self.rng

    def choose(self, *options):
        return options[self.rng.integers(len(options))]

    def sizes(self, count, largest=None):
        """Sizes with a product of at most largest, some 0; one of them is often next to an edge."""
        largest = largest or self.largest
        if count and largest > 2 * LONG[0] and self.rng.random() < 0.1:
            sizes = [self.choose(*LONG)] + [1] * (count - 1)
        else:
            sizes, left = [], largest
            for _ in range(count):
                sizes.append(int(self.rng.choice([n for n in SIZES if n <= left])))
                left //= sizes[-1]
        if count and self.rng.random() < 0.05:
            sizes[0] = 0
        return tuple(int(n) for n in self.rng.permutation(sizes))

    def shape(self, least=0, most=4):
        return self.sizes(int(self.rng.integers(least, most + 1)))

    def normal(self, shape):
        x = self.rng.standard_normal(shape).astype(self.dtype)
        if x.ndim and x.size and self.rng.random() < 0.15:           # constant along a dimension: fenced repeats it
            axis = int(self.rng.integers(x.ndim))
            x = np.repeat(x.take([0], axis), x.shape[axis], axis)
        return x

    def __call__(self, *shape):
        return self.normal(shape)

    def nonzero(self, *shape):
        return self.normal(shape)

    def positive(self, *shape):
        return np.asarray(super().positive(*shape), self.dtype)

    def probability(self, *shape):
        return np.asarray(super().probability(*shape), self.dtype)

    def broadcastable(self, shape):
        """A shape that broadcasts to this one."""
        part = [1 if self.rng.random() < 0.3 else n for n in shape]
        return tuple(part[int(self.rng.integers(len(part) + 1)) :] if self.rng.random() < 0.3 else part)

    def fence(self, x, contiguous=None):
        return mt.from_numpy(fenced(np.asarray(x), self.rng, contiguous))


def elementwise(draw, function, stated):
    """A case of a function, whose oracle is what is stated of it."""
    shapes = [draw.shape()] * len(stated.domain)
    if len(shapes) == 2 and stated.broadcast and draw.rng.random() < 0.6:
        shapes[draw.rng.integers(2)] = draw.broadcastable(shapes[0])
        if draw.rng.random() < 0.3:
            shapes = [draw.broadcastable(shape) for shape in shapes]

    def oracle(*inputs):
        *inputs, g = inputs
        numbers = {name: g.new(float(number), np.abs(float(number))) if isinstance(number, str) else number
                   for name, number in stated.numbers.items()}
        y = stated.value(*inputs, FUNCTIONS, **numbers)
        slopes = stated.derivative(*inputs, y, FUNCTIONS, **numbers)
        slopes = slopes if isinstance(slopes, tuple) else (slopes,)
        return y, *((g * slope).sum_to(x.value.shape) for slope, x in zip(slopes, inputs, strict=True))

    return function, [make(*shape) for make, shape in zip(stated.domain, shapes, strict=True)], oracle


def stated_by(op, name):
    """The cases of what an op's samples state under a name."""

    def case(draw):
        rng, draw.rng = draw.rng, np.random.default_rng(0)          # the samples' own inputs are not what is wanted
        found = statements_of(op, draw)[name]
        draw.rng = rng
        return elementwise(draw, found.function, found.stated)

    return case


def composite(loss, value, derivative):
    """The cases of an elementwise loss that is made of ops, of which value and derivative are stated here."""

    def case(draw):
        stated = Stated(value, derivative, (draw, draw), broadcast=False)
        return elementwise(draw, lambda a, b: loss(a, b, reduction="none"), stated)

    return case


def matrix_sizes(draw):
    """m, k, n with up to 30 times as many multiplications as a matrix may have elements."""
    sizes = draw.sizes(3, 30 * draw.largest)
    while max(sizes[0] * sizes[1], sizes[1] * sizes[2], sizes[0] * sizes[2]) > draw.largest:
        sizes = draw.sizes(3, 30 * draw.largest)
    return sizes


def added_to(start, terms):
    """What a product of so many terms is added to: the sum may begin with it, so that every rounding is of its size."""
    return start.new(start.value, start.error + terms * np.abs(start.value))


def matmul(draw):
    m, k, n = matrix_sizes(draw)
    a, b = (m, k), (k, n)
    if draw.rng.random() < 0.3:
        m, k, n = (min(size, 50) for size in (m, k, n))
        a, b = draw.choose(
            ((3, 2, m, k), (2, k, n)), ((3, 1, m, k), (3, 2, k, n)), ((2, m, k), (k, n)), ((m, k), (2, k, n)),
            ((0, m, k), (k, n)),
        )

    def oracle(a, b, g):
        da, db = g @ b.transposed(), a.transposed() @ g
        return a @ b, da.sum_to(a.value.shape), db.sum_to(b.value.shape)

    return mt.matmul, [draw.normal(a), draw.normal(b)], oracle


def linear(draw):
    rows, inputs, outputs = matrix_sizes(draw)
    leading = draw.choose((rows,), (1, rows, 1))

    def oracle(x, w, b, g):
        x, g = x.reshape((rows, inputs)), g.reshape((rows, outputs))
        y, dx = x @ w.transposed() + added_to(b, inputs), g @ w
        return y.reshape((*leading, outputs)), dx.reshape((*leading, inputs)), g.transposed() @ x, g.sum(0)

    def without_bias(x, w, g):
        return oracle(x, w, x.new(np.zeros(outputs), 0), g)[:3]

    arrays = [draw.normal((*leading, inputs)), draw.normal((outputs, inputs)), draw.normal(outputs)]
    return draw.choose((mt.linear, arrays, oracle), (mt.linear, arrays[:2], without_bias))


def reduction(function, oracle, one_dim=False, empty=True):
    """oracle(x, g, axes), g with the reduced dimensions kept, gives y with them kept, and dx."""

    def case(draw):
        shape = draw.shape(least=int(one_dim))
        while not empty and 0 in shape:
            shape = draw.shape(least=int(one_dim))
        ndim, keepdim = len(shape), bool(draw.rng.random() < 0.5)
        axes = tuple(int(d) for d in draw.rng.permutation(ndim)[: 1 if one_dim else draw.rng.integers(ndim + 1)])
        dim = axes[0] if one_dim else axes
        axes = axes or tuple(range(ndim))                          # no dimension named: all are meant
        kept = tuple(1 if d in axes else n for d, n in enumerate(shape))
        rest = kept if keepdim else tuple(n for d, n in enumerate(shape) if d not in axes)

        def reshaped(x, g):
            y, dx = oracle(x, g.reshape(kept), axes)
            return y.reshape(rest), dx

        return (lambda x: function(x, dim, keepdim)), [draw.normal(shape)], reshaped

    return case


def spread(g, x):
    return g.move(lambda v: np.broadcast_to(v, x.value.shape))


def count(x, axes):
    return int(np.prod([x.value.shape[d] for d in axes]))


def variance(x, g, axes):
    n = count(x, axes)
    centred = x - x.sum(axes, True) / n
    return (centred * centred).sum(axes, True) / (n - 0.5), g * 2 * centred / (n - 0.5)


def largest(x, g, axes):
    """The largest elements share the gradient."""
    y = x.move(lambda v: v.max(axes, keepdims=True))
    ties = x.value == y.value
    return y, g * (ties / ties.sum(axes, keepdims=True))


def first_largest(x, g, axes):
    y = x.move(lambda v: v.max(axes, keepdims=True))
    places = np.arange(x.value.shape[axes[0]]).reshape([-1 if d == axes[0] else 1 for d in range(x.value.ndim)])
    return y, spread(g, x) * (places == x.value.argmax(axes[0], keepdims=True))


def softmax_of(x, axes):
    """e^(x - m), their sum, and m."""
    m = x.new(x.value.max(axes, keepdims=True), 0)
    e = (x - m).exp()
    return e, e.sum(axes, True), m


def logsumexp(x, g, axes):
    e, total, m = softmax_of(x, axes)
    return m + total.log(), g * e / total


def along(function, oracle):
    """oracle(x, g, axes) gives y and dx, both of x's shape."""

    def case(draw):
        shape = draw.shape(least=1)
        dim = int(draw.rng.integers(len(shape)))
        if shape[dim] == 0:
            return (lambda x: function(x, dim)), [draw.normal(shape)], lambda x, g: (x, g)
        return (lambda x: function(x, dim)), [draw.normal(shape)], lambda x, g: oracle(x, g, (dim,))

    return case


def softmax(x, g, axes):
    e, total, _ = softmax_of(x, axes)
    y = e / total
    return y, y * (g - (g * y).sum(axes, True))


def log_softmax(x, g, axes):
    e, total, m = softmax_of(x, axes)
    return x - m - total.log(), g - e / total * g.sum(axes, True)


def batch_norm(draw):
    shape = draw.sizes(int(draw.rng.integers(2, 4)))
    while np.prod(shape[:1] + shape[2:]) < 2:
        shape = draw.sizes(int(draw.rng.integers(2, 4)))
    axes, row = (0, 2)[: len(shape) - 1], (1, shape[1], 1)[: len(shape)]

    def oracle(x, w, b, g):
        n, w, b = count(x, axes), w.reshape(row), b.reshape(row)
        centred = x - x.sum(axes, True, block=4) / n
        r = 1 / ((centred * centred).sum(axes, True, block=4) / n + 1e-5).sqrt()
        h = centred * r
        db, dw = g.sum(axes, True, block=4), (g * h).sum(axes, True, block=4)
        dx = w * r * (g - db / n - h * (dw / n))
        return w * h + b, dx, dw.reshape((shape[1],)), db.reshape((shape[1],))

    arrays = [draw.normal(shape), draw.normal(shape[1]), draw.normal(shape[1])]
    return (lambda x, w, b: mt.batch_norm(x, None, None, w, b, training=True)), arrays, oracle


def layer_norm(draw):
    shape = draw.shape(least=1)
    dims = int(draw.rng.integers(1, len(shape) + 1))
    while 0 in shape[-dims:]:
        shape = draw.sizes(len(shape))
    row, axes = shape[-dims:], tuple(range(len(shape)))[-dims:]

    def oracle(x, w, b, g):
        n = count(x, axes)
        centred = x - x.sum(axes, True) / n
        r = 1 / ((centred * centred).sum(axes, True) / n + 1e-5).sqrt()
        h, u = centred * r, g * w
        dx = r * (u - u.sum(axes, True) / n - h * ((u * h).sum(axes, True) / n))
        return h * w + b, dx, (g * h).sum_to(row), g.sum_to(row)

    arrays = [draw.normal(shape), draw.normal(row), draw.normal(row)]
    return (lambda x, w, b: mt.layer_norm(x, row, w, b)), arrays, oracle


def dropout(draw):
    """The mask is what the op itself makes of ones; that it drops the right share is tested elsewhere."""
    p, shape = draw.choose(0.0, 0.3, 0.5, 1.0), draw.shape()

    def dropped(x):
        return mt.dropout(x, p, generator=mt.Generator(7))

    mask = dropped(mt.from_numpy(np.ones(shape))).numpy()
    return dropped, [draw.normal(shape)], lambda x, g: (x * mask, g * mask)


def labels(draw):
    """The scores' shape (N, C, ...), and fenced class indices, of which some are to be ignored."""
    shape = draw.sizes(int(draw.rng.integers(2, 5)))
    while shape[1] < 2:
        shape = draw.sizes(int(draw.rng.integers(2, 5)))
    target = np.asarray(draw.rng.integers(0, shape[1], shape[:1] + shape[2:]))
    target[draw.rng.random(target.shape) < 0.1] = -100
    return shape, target, np.moveaxis(np.arange(shape[1]) == target[..., None], -1, 1)


def cross_entropy(draw):
    shape, target, one_hot = labels(draw)
    smoothing, reduction = draw.choose(0.0, 0.1), draw.choose("sum", "none")
    weight = draw.positive(shape[1]) if draw.rng.random() < 0.5 else None
    fenced_target, fenced_weight = draw.fence(target), None if weight is None else draw.fence(weight)

    def oracle(x, g):
        e, total, m = softmax_of(x, (1,))
        q = x.new(one_hot, 0) * (1 - smoothing) + smoothing / shape[1]
        if weight is not None:
            q = q * weight.astype(np.float64).reshape([-1 if d == 1 else 1 for d in range(len(shape))])
        q = q * (target != -100)[:, None]
        y = (q * (total.log() + m - x)).sum((1,))
        g = g.reshape((shape[0], 1, *shape[2:])) if reduction == "none" else g
        return y if reduction == "none" else y.sum(), g * (e / total * q.sum((1,), True) - q)

    def function(x):
        return mt.cross_entropy(x, fenced_target, fenced_weight, reduction=reduction, label_smoothing=smoothing)

    return function, [draw.normal(shape)], oracle


def nll_loss(draw):
    shape, target, one_hot = labels(draw)
    reduction, fenced_target = draw.choose("sum", "none"), draw.fence(target)

    def oracle(x, g):
        y = -(x * one_hot).sum((1,))
        g = g.reshape((shape[0], 1, *shape[2:])) if reduction == "none" else g
        return y if reduction == "none" else y.sum(), -(g * one_hot)

    return (lambda x: mt.nll_loss(x, fenced_target, reduction=reduction)), [draw.normal(shape)], oracle


def where(draw):
    shape = draw.shape()
    condition = np.asarray(draw.rng.random(draw.broadcastable(shape)) < 0.5)
    fenced_condition = draw.fence(condition)
    arrays = [draw.normal(draw.broadcastable(shape)) for _ in range(2)]

    def oracle(a, b, g):
        y = (a + 0 * b).where(condition, b + 0 * a)
        return y, (g * condition).sum_to(a.value.shape), (g * ~condition).sum_to(b.value.shape)

    return (lambda a, b: mt.where(fenced_condition, a, b)), arrays, oracle


REGISTERED = registered_ops()

ELEMENTWISE = {
    **{name: stated_by(op, name) for op in REGISTERED.values() for name in statements_of(op, sample.Draw(0))},
    "Dropout": dropout,
    "Where": where,
    "l1_loss": composite(mt.l1_loss, lambda a, b, f: f.abs(a - b), lambda a, b, y, f: (f.sign(a - b), f.sign(b - a))),
    "mse_loss": composite(mt.mse_loss, lambda a, b, f: (a - b) * (a - b),
                          lambda a, b, y, f: ((a - b) + (a - b), (b - a) + (b - a))),
}

REDUCING = {
    "Sum": reduction(mt.sum, lambda x, g, axes: (x.sum(axes, True), spread(g, x))),
    "Mean": reduction(mt.mean, lambda x, g, axes: (
        x.sum(axes, True) / count(x, axes), spread(g, x) / count(x, axes)), empty=False),
    "Var": reduction(lambda x, dim, keepdim: mt.var(x, dim, 0.5, keepdim), variance, empty=False),
    "AMax": reduction(mt.amax, largest, empty=False),
    "Max": reduction(lambda x, dim, keepdim: mt.max(x, dim, keepdim)[0], first_largest, one_dim=True, empty=False),
    "LogSumExp": reduction(mt.logsumexp, logsumexp, one_dim=True, empty=False),
    "Softmax": along(mt.softmax, softmax),
    "LogSoftmax": along(mt.log_softmax, log_softmax),
    "BatchNorm": batch_norm,
    "LayerNorm": layer_norm,
    "CrossEntropy": cross_entropy,
    "nll_loss": nll_loss,
    "Linear": linear,
    "MatMul": matmul,
}

COMPOSITES = {"l1_loss", "mse_loss", "nll_loss"}          # no ops of their own, but once they were

MOVING = {"Reshape", "Permute", "Expand", "Index", "Scatter", "Cat", "Clone", "To"}   # NumPy's work, without kernels

OPS = {**ELEMENTWISE, **REDUCING}


def draw_case(name, seed, number, largest):
    """The number-th case of an op: the draw, which goes on with layouts, a function, its inputs, its oracle."""
    rng = np.random.default_rng([seed, sum(name.encode()), number])
    draw = Draw(rng, rng.choice([np.float32, np.float64]), int(largest))
    return draw, *OPS[name](draw)


def run(function, draw, arrays, repeats=1):
    """y and the inputs' gradients, for a random upstream gradient g; g comes last."""
    inputs = [draw.fence(x).requires_grad_() for x in arrays]
    g = draw.normal(function(*inputs).shape)
    upstream = draw.fence(g)
    results = []
    for _ in range(repeats):
        y = function(*inputs)
        results.append([y, *mt.grad(y, inputs, upstream)])
    return [[x.detach().numpy() for x in result] for result in results], g


def check(name, seed, number, largest):
    """One case within its bounds, twice the same bits."""
    draw, function, arrays, oracle = draw_case(name, seed, number, largest)
    (first, second), g = run(function, draw, arrays, repeats=2)
    expected = oracle(*(Rounded(x, draw.dtype) for x in (*arrays, g)))
    for result, again, exact in zip(first, second, expected, strict=True):
        exact.check(result)
        np.testing.assert_array_equal(result, again)


@pytest.fixture
def threads():
    """Sets the number of threads; it is as before after the test."""
    before = mt.get_num_threads()
    yield mt.set_num_threads
    mt.set_num_threads(before)


# -- the tests -----------------------------------------------------------------------------------------------------


def complaint(name):
    """What to do about an op whose rounding nothing bounds."""
    if issubclass(REGISTERED[name], (base.Unary, base.Binary)):
        return (f"{name} states no value and derivative, by which its rounding is bounded: yield from unary_samples or "
                "binary_samples (microtensor/ops/sample.py) in its `samples`, with both as text")
    return (f"{name} has no oracle to bound its rounding: write one, and add it to REDUCING in this file, or to MOVING "
            "if the op has no kernel")


def test_sweep_knows_every_op():
    assert [complaint(name) for name in REGISTERED if name not in OPS and name not in MOVING] == []
    named = {name for name in (*REDUCING, *MOVING, "Dropout", "Where") if name not in COMPOSITES}
    assert named <= set(REGISTERED), "these are here, and are no ops"


def test_an_op_without_a_bound_is_told_what_to_add(monkeypatch):
    monkeypatch.delitem(OPS, "Tanh")
    with pytest.raises(AssertionError, match="Tanh states no value and derivative"):
        test_sweep_knows_every_op()
    monkeypatch.setitem(OPS, "Tanh", None)
    monkeypatch.delitem(OPS, "Sum")
    with pytest.raises(AssertionError, match="Sum has no oracle"):
        test_sweep_knows_every_op()


@pytest.mark.parametrize(
    ("cases", "largest"),
    [
        pytest.param(range(12), 3e4, id="short"),
        pytest.param(range(18), 3e5, id="wide", marks=pytest.mark.slow),        # six on each number of threads
        pytest.param(range(18, 150), 3e5, id="wider", marks=pytest.mark.thorough),
    ],
)
@pytest.mark.parametrize("name", OPS)
def test_op_against_its_oracle(name, cases, largest, seed, threads):
    for number in cases:
        threads(1 + number % 3)
        print(f"case {number}")                                     # shown if it fails, or at once with -s
        check(name, seed, number, largest)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise_bits_do_not_depend_on_threads(name, seed, threads):
    """With arrays long enough to be shared out, and not in equal parts."""
    for number in range(1000, 1003):
        results = []
        for count in (1, 2, 3):
            threads(count)
            draw, function, arrays, _ = draw_case(name, seed, number, 4e5)
            results.append(run(function, draw, arrays)[0][0])
        for one, *others in zip(*results, strict=True):
            if one.shape == results[0][0].shape:            # not the gradient of what was broadcast: that is a sum
                for other in others:
                    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("cases", "largest"),
    [
        pytest.param(range(150), 4e5, id="short"),
        pytest.param(range(150), 4e6, id="wide", marks=pytest.mark.slow),
        pytest.param(range(150, 1200), 4e6, id="wider", marks=pytest.mark.thorough),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_product_between_fences(cases, largest, dtype, seed, threads):
    """A, B and what is added to lie between fences: one more row, column or vector that is read or written is fatal."""
    for number in cases:
        threads(1 + number % 3)
        rng = np.random.default_rng([seed, 1, number])
        draw = Draw(rng, dtype, int(largest) // 30)
        m, k, n = matrix_sizes(draw)
        a, b, start = draw.normal((m, k)), draw.normal((k, n)), draw.normal((m, n))
        out = fenced(start, rng, contiguous=True) if rng.random() < 0.5 else None
        exact = Rounded(a, dtype) @ Rounded(b, dtype)
        print(f"case {number}: {(m, k)} @ {(k, n)}, {'new' if out is None else 'added'}")
        actual = gemm.product(aligned(a, rng), aligned(b, rng), out)
        (exact if out is None else exact + added_to(Rounded(start, dtype), k)).check(actual)


def aligned(x, rng):
    """x between fences with strides of whole elements, as the product wants them."""
    view = fenced(x, rng)
    return view if view.flags.aligned else fenced(x, rng, contiguous=True)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_update_between_fences(dtype, nesterov, seed):
    """Two steps of SGD and a clipped norm write into parameters and gradients, and nowhere else."""
    lr, mu, decay, limit = 0.1, 0.9, 0.01, 0.5
    for number in range(30):
        rng = np.random.default_rng([seed, 2, number])
        draw = Draw(rng, dtype, 40_000)
        arrays = [rng.standard_normal(draw.shape(least=1)).astype(dtype) for _ in range(3)]
        parameters = [mt.nn.Parameter(draw.fence(x, contiguous=True)) for x in arrays]
        optimizer = mt.optim.SGD(parameters, lr=lr, momentum=mu, weight_decay=decay, nesterov=nesterov)
        expected = [Rounded(x, dtype) for x in arrays]
        velocities = [None] * len(arrays)
        for _ in range(2):
            gradients = [rng.standard_normal(x.shape).astype(dtype) for x in arrays]
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = draw.fence(gradient, contiguous=True)
            mt.nn.utils.clip_grad_norm_(parameters, limit)
            optimizer.step()
            exact = [Rounded(g, dtype) for g in gradients]
            norm = sum(((g * g).sum() for g in exact), Rounded(0.0, dtype)) + 1e-300
            scale = limit / (norm.sqrt() + 1e-6)
            scale = scale if scale.value < 1 else Rounded(1.0, dtype)
            for i, g in enumerate(exact):
                step = g * scale + decay * expected[i]
                velocities[i] = step if velocities[i] is None else mu * velocities[i] + step
                expected[i] = expected[i] - lr * (step + mu * velocities[i] if nesterov else velocities[i])
        for parameter, exact in zip(parameters, expected, strict=True):
            exact.check(parameter.detach().numpy())


@pytest.mark.skipif(LIBC is None, reason="no mprotect here")
@pytest.mark.parametrize(("at_end", "place"), [(True, "array[-1:].ctypes.data + 4"), (False, "array.ctypes.data - 1")])
def test_fence_kills(at_end, place, tmp_path):
    """The sweep's own check: an element too far is fatal, the last one is not."""
    script = f"""
import ctypes, runpy
sweep = runpy.run_path({__file__!r})
array = sweep["fenced_memory"](24, {at_end}).view("f4")
assert array.sum() != 0
print("alive", flush=True)
ctypes.string_at({place}, 1)
print("still alive")
"""
    # Started elsewhere, as Python would import the checkout's microtensor, built or not, rather than the installed one.
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert process.stdout == "alive\n" and process.returncode != 0, process.stderr


# -- every instruction set -----------------------------------------------------------------------------------------

LEVEL_CASES = 6


def save_results(path, seed):
    """A few cases of every op: their outputs and gradients at this process's level, and the upstream gradients."""
    results = {}
    for name in OPS:
        for number in range(LEVEL_CASES):
            draw, function, arrays, _ = draw_case(name, seed, number, 2e4)
            (outputs,), g = run(function, draw, arrays)
            results |= {f"{name} {number} {i}": x for i, x in enumerate((g, *outputs))}
    np.savez(path, **results)


def test_levels_give_the_same_to_rounding(tmp_path, seed):
    """Each level's results differ from the baseline's by no more than both may differ from the oracle's."""
    levels = [level for level in _isa_path.built_levels() if level in supported_levels()]
    if len(levels) < 2:
        pytest.skip(f"this build holds the levels {levels}: there is nothing to compare")
    results = {}
    for level in levels:
        script = "import runpy, sys; runpy.run_path(sys.argv[1])['save_results'](sys.argv[2], int(sys.argv[3]))"
        path = tmp_path / f"{level}.npz"
        process = subprocess.run(
            [sys.executable, "-c", script, __file__, str(path), str(seed)],
            cwd=tmp_path, capture_output=True, text=True,
            env={**os.environ, "MICROTENSOR_ISA": level, "MICROTENSOR_NUM_THREADS": "2"},
        )
        assert process.returncode == 0, process.stderr
        results[level] = np.load(path)
    baseline, *others = levels
    for name in OPS:
        for number in range(LEVEL_CASES):
            draw, _, arrays, oracle = draw_case(name, seed, number, 2e4)
            g = results[baseline][f"{name} {number} 0"]
            expected = oracle(*(Rounded(x, draw.dtype) for x in (*arrays, g)))
            for i, exact in enumerate(expected, start=1):
                first = results[baseline][f"{name} {number} {i}"]
                exact.check(first)
                around = Rounded(first, draw.dtype, 2 * exact.error)
                for level in others:
                    np.testing.assert_array_equal(results[level][f"{name} {number} 0"], g)
                    print(f"{name}, case {number}, result {i}, {level} against {baseline}")
                    around.check(results[level][f"{name} {number} {i}"])
