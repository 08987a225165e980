"""The steps of unbroadcast."""

import copy
from types import SimpleNamespace

import numpy as np

from microtensor.learn.steps import BETWEEN, Case, forward, gradient

EXPLAINED = ((5,), (3, 5)), ((3, 1), (3, 5))        # shapes of x, and what it is repeated to
COMPARED = (
    ((1, 5), (3, 5)), ((3, 1), (2, 3, 5)), ((2, 1, 5), (7, 2, 3, 5)), ((1, 1), (3, 5)), ((1, 3, 1), (2, 3, 5)),
    ((1,), (2, 3)), ((1, 5), (2, 1, 5)), ((), (3, 5)), ((), ()), ((3, 5), (3, 5)), ((1, 5), (1, 5)))
PAIRS = ((3, 5), (5,)), ((3, 1), (2, 1, 5)), ((3, 5), (3, 5)), ((), (3, 5)), ((1, 5), (3, 1)), ((1, 5), ())   # a, b


def check(answer, draw):
    for shape, wide in EXPLAINED:
        yield gradient(repetition(answer, wide), "repeat", "backward", [draw(*shape)], ("x",),
                       why=of_repetition(shape, wide), step_name="unbroadcast")
    yield forward(answer, "unbroadcast", add_up,
                  *(Case(draw(*wide), shape, why=of_repetition(shape, wide)) for shape, wide in COMPARED),
                  saves=False, step_name="unbroadcast")
    for name, reference in (("add", np.add), ("sub", np.subtract), ("div", np.divide)):
        pairs = [(draw(*a), draw.nonzero(*b)) for a, b in PAIRS]
        yield forward(answer, name, reference, *(Case(a, b, why=of_pair(a, b)) for a, b in pairs),
                      step_name=f"forward {name}")
        for a, b in pairs[:2] if name == "add" else pairs[1:2]:     # in the second a and b are both repeated
            yield gradient(answer, name, f"{name}_backward", [a, b], ("a", "b"), why=of_pair(a, b),
                           step_name=f"gradient {name}")
        yield gradient(answer, name, f"{name}_backward", pairs[0], ("a", "b"), between=pairs[3], why=BETWEEN,
                       step_name=f"gradient {name}")


def repetition(answer, wide):
    """An answer whose forward pass repeats x to a shape, and whose backward pass is the learner's unbroadcast."""
    repeating = copy.copy(answer)
    repeating.module = SimpleNamespace(repeat=lambda x: (np.broadcast_to(x, wide).copy(), x.shape),
                                       backward=lambda g, shape: answer["unbroadcast"](g, shape))
    return repeating


def add_up(g, shape):
    """The reference: each place of g is added to the element of x that was copied there."""
    dx = np.zeros(shape)
    element = np.broadcast_to(np.arange(dx.size).reshape(shape), g.shape)
    np.add.at(dx.reshape(-1), element, g)
    return dx


def of_repetition(shape, wide):
    return f"here shape = {shape}, and g has the shape {wide}"


def of_pair(a, b):
    return f"here a has the shape {a.shape}, and b {b.shape}"
