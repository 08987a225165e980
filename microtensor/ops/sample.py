"""Samples: what an op is verified on, told by the op itself."""

from dataclasses import dataclass

import numpy as np


@dataclass
class Sample:
    """One call of an op, for every check that the registry runs.

    Attributes:
        function: takes the inputs as tensors, in order, and returns one tensor (the op's output).
        inputs: float64 arrays, away from the op's kinks; a gradient is checked for each.
        twin: the same function on NumPy arrays.
        kinks: where the derivative jumps, in words, for the report; the inputs stay away from there.
        linear: y = x for numbers that float32 holds exactly; differences are taken with steps it holds too.
        zero_gradient: the gradient is identically zero, and that is right; any other sample must have one.
    """

    function: object
    inputs: list
    twin: object
    kinks: str = ""
    linear: bool = False
    zero_gradient: bool = False


class Draw:
    """Random float64 inputs of a seeded stream: ``draw(3, 5)`` is standard normal of shape (3, 5)."""

    def __init__(self, seed):
        self.stream = np.random.default_rng(seed)

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


def unary_samples(function, twin, make, kinks=""):
    """The samples of an op of one input: a matrix, a 0-d and an empty input, drawn by make(*shape)."""
    return [Sample(function, [make(*shape)], twin, kinks) for shape in ((3, 5), (), (0, 3))]


def binary_samples(function, twin, make_a, make_b):
    """The samples of an op of two inputs: equal shapes, and shapes that broadcast."""
    shapes = (((3, 5), (3, 5)), ((3, 5), (5,)), ((2, 1, 5), (3, 1)), ((), (4,)), ((0, 5), (5,)))
    return [Sample(function, [make_a(*a), make_b(*b)], twin, zero_gradient=0 in a) for a, b in shapes]
