"""The steps of two_paths."""

import numpy as np

from microtensor.learn.steps import Case, forward, gradient

OFTEN = np.array([0, 2, 2, 1, 0, 2, 2])             # of five rows: the last two never, one of them four times
ONCE = np.array([3, 0, 4, 1])                       # each at most once, in another order
AS_MANY = np.array([2, 0, 1, 2, 0])                 # as many as there are rows


def silu(x):
    e = np.exp(-np.abs(x))
    return x * np.where(x >= 0, 1, e) / (1 + e)


def check(answer, draw):
    x = draw(3, 5)
    yield forward(
        answer, "silu", silu,
        Case(x), Case(draw(2, 3, 7) * 3), Case(x[:1]),
        Case(np.array([1000.0, -1000.0, 0.0, 30.0, -30.0]),
             why="e^1000 is inf as a float, and inf / inf is nan: which form of the sigmoid needs only e^-|x|?"),
        step_name="forward silu",
    )
    yield gradient(answer, "silu", "silu_backward", [draw(2, 3, 5) * 2], ("x",), step_name="gradient silu")

    a, b, w = draw(3, 5), draw(3, 5), draw(3, 5)
    yield forward(answer, "shared", lambda a, b, w: np.stack([w * a, w * b]), Case(a, b, w), Case(a[0], b[0], w[0]),
                  Case(a[:1], b[:1], w[:1]), step_name="forward shared")
    yield gradient(answer, "shared", "shared_backward", [a, b, w], ("a", "b", "w"), step_name="gradient shared")

    rows = draw(5, 3)
    yield forward(answer, "gather", lambda x, index: x[index], Case(rows, OFTEN), Case(rows, ONCE), Case(rows, AS_MANY),
                  Case(rows[:1], np.array([0, 0])), Case(draw(7, 2), draw.integers(7, 11)), step_name="forward gather")
    for index in (OFTEN, ONCE):
        yield gradient(answer, "gather", "gather_backward", [rows, index], ("x", "index"),
                       why=f"index is {index.tolist()} here, and x has {len(rows)} rows", step_name="gradient gather")
