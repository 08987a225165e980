"""Samples: what an op is verified on, told by the op itself, and what its derivation states."""

import math
from types import SimpleNamespace

import numpy as np

from microtensor.random import checked_seed

# The functions that a statement may use, on arrays. Two tests have them in arithmetic that knows its own rounding:
# tests/test_symbolic.py on numbers of 30 digits, tests/test_kernels_sweep.py on arrays.
NUMPY = SimpleNamespace(
    abs=np.abs, exp=np.exp, expm1=np.expm1, log=np.log, log1p=np.log1p, power=np.power, sign=np.sign, sqrt=np.sqrt,
    tanh=np.tanh, where=np.where, sigmoid=lambda x: 1 / (1 + np.exp(-x)), softplus=lambda x: np.logaddexp(0, x),
    normal_cdf=np.vectorize(lambda x: math.erfc(-x / math.sqrt(2)) / 2, otypes=[float]))


# No dataclasses, here and below: making them would take a tenth of what microtensor adds to an import of NumPy.
class Stated:
    """What the derivation of an elementwise op states: y and its derivative, in one text for every arithmetic.

    The text has the order of the kernel's own steps: sums, products, quotients, whole powers, ``<``, ``>``, and
    functions of f, which is NUMPY or stands for it. So it is the op's bound on rounding too, as each step adds the
    rounding of its result. tests/test_symbolic.py asks SymPy whether it is the docstring's formula and the derivative
    of that, and holds kernel and rule to the bound in float64; tests/test_kernels_sweep.py holds the kernel to it in
    all dtypes and layouts.

    Attributes:
        value: y, called with the inputs, f and the numbers.
        derivative: dy/dx, called with the inputs, y, f and the numbers; of an op of two inputs the pair dy/da, dy/db.
        domain: how each input is drawn, as make(*shape), from all of where the derivative is defined.
        numbers: the letters that the formula has besides the inputs; one that float64 cannot hold, as its digits.
        broadcast: whether the shapes of two inputs may differ.
    """

    def __init__(self, value, derivative, domain, numbers=None, broadcast=True):
        self.value, self.derivative, self.domain, self.broadcast = value, derivative, domain, broadcast
        self.numbers = numbers or {}

    def twin(self, *inputs):
        """The value on arrays."""
        return self.value(*inputs, NUMPY, **{name: float(number) for name, number in self.numbers.items()})


class Sample:
    """One call of an op, for every check that the registry runs.

    Attributes:
        function: takes the inputs as tensors, in order, and returns one tensor (the op's output).
        inputs: float64 arrays, away from the op's kinks; a gradient is checked for each.
        twin: the same function on NumPy arrays.
        kinks: where the derivative jumps, in words, for the report; the inputs stay away from there.
        linear: y = x for numbers that float32 holds exactly; differences are taken with steps it holds too.
        zero_gradient: the gradient is identically zero, and that is right; any other sample must have one.
        stated: what the derivation states of this function; None where another sample says it.
    """

    def __init__(self, function, inputs, twin, kinks="", linear=False, zero_gradient=False, stated=None):
        self.function, self.inputs, self.twin, self.kinks = function, inputs, twin, kinks
        self.linear, self.zero_gradient, self.stated = linear, zero_gradient, stated


class Draw:
    """Random float64 inputs of a seeded stream: ``draw(3, 5)`` is standard normal of shape (3, 5)."""

    def __init__(self, seed):
        self.stream = np.random.default_rng(checked_seed(seed))

    def __call__(self, *shape):
        """Standard normal."""
        return np.asarray(self.stream.standard_normal(shape))

    def nonzero(self, *shape):
        """Standard normal, no closer than 0.1 to 0, and somewhere positive."""
        x = self.away_from(0, shape=shape)
        return np.abs(x) if x.ndim == 0 else x

    def positive(self, *shape):
        """Uniform in [0.5, 2)."""
        return np.asarray(self.stream.uniform(0.5, 2.0, shape))

    def probability(self, *shape):
        """Uniform in [0.1, 0.9)."""
        return np.asarray(self.stream.uniform(0.1, 0.9, shape))

    def away_from(self, *points, shape, gap=0.1):
        """Standard normal, and no closer than gap to any of the points."""
        x = np.asarray(self.stream.standard_normal(shape))
        for point in points:
            x = np.where(np.abs(x - point) < gap, point + np.where(x < point, -2 * gap, 2 * gap), x)
        return x

    def distinct(self, *shape):
        """A shuffled grid of spacing 0.1: no two elements closer than that (for max, min and sorting)."""
        n = int(np.prod(shape, dtype=int))
        return np.asarray(0.1 * self.stream.permutation(n).reshape(shape) - 0.05 * n + 0.03)

    def integers(self, high, *shape):
        """Integers in [0, high), int64."""
        return np.asarray(self.stream.integers(0, high, shape))


def unary_samples(function, value, derivative, make, kinks="", **numbers):
    """The samples of an op of one input, drawn by make(*shape): a matrix, a 0-d and an empty input.

    value(x, f) and derivative(x, y, f) are what is Stated. The numbers are passed to both and, but for constants given
    as digits, to the function.
    """
    stated = Stated(value, derivative, (make,), numbers)
    function = with_options(function, numbers)
    return [Sample(function, [make(*shape)], stated.twin, kinks, stated=stated) for shape in ((3, 5), (), (0, 3))]


def binary_samples(function, value, derivative, make_a, make_b, broadcast=True):
    """The samples of an op of two inputs: equal shapes, and shapes that broadcast, if they may.

    value(a, b, f) and derivative(a, b, y, f), a pair, are what is Stated.
    """
    stated = Stated(value, derivative, (make_a, make_b), broadcast=broadcast)
    shapes = (((3, 5), (3, 5)), ((3, 5), (5,)), ((2, 1, 5), (3, 1)), ((), (4,)), ((0, 5), (5,)))
    if not broadcast:
        shapes = tuple((shape, shape) for shape in ((3, 5), (), (0, 3)))
    return [Sample(function, [make_a(*a), make_b(*b)], stated.twin, zero_gradient=a != b and 0 in a, stated=stated)
            for a, b in shapes]


def with_options(function, numbers):
    """The function with those of the numbers as options that are not digits of a constant."""
    options = {name: number for name, number in numbers.items() if not isinstance(number, str)}
    return (lambda *inputs: function(*inputs, **options)) if options else function
