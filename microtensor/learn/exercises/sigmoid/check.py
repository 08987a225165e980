"""The steps of sigmoid."""

import numpy as np

from microtensor.learn.steps import Case, forward, gradient


def reference(x):
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


def check(answer, draw):
    x = draw(3, 5)
    yield forward(
        answer, "sigmoid", reference,
        Case(x),
        Case(np.array([0.0])),
        Case(np.array([1000.0, -1000.0, 30.0, -30.0]),
             why="e^1000 is inf as a float, and inf / inf is nan: which form of y needs only e^-|x|, at most 1?"),
    )
    yield gradient(answer, "sigmoid", "sigmoid_backward", [x], ("x",))
    yield gradient(answer, "sigmoid", "sigmoid_backward", [draw(2, 3, 7) * 3], ("x",))
