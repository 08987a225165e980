"""The steps of mse."""

import numpy as np

from microtensor.learn.steps import Case, forward, gradient


def mse(p, t):
    return np.mean((p - t) ** 2)


def check(answer, draw):
    p, t = draw(7, 5), draw(7, 5)
    large = 1e6 + draw(7)
    yield forward(
        answer, "mse", mse,
        Case(p, t),
        Case(draw(7), draw(7), why="here p and t have one axis"),
        Case(draw(2, 3, 5), draw(2, 3, 5), why="here p and t have three axes: the mean is over all elements"),
        Case(draw(1), draw(1), why="here p and t have one element"),
        Case(p, p, why="here p and t are equal, so that y is 0"),
        Case(1e3 * p, -1e3 * t),
        Case(large, large + 1e-3 * draw(7),
             why="here p and t are near 1e6 and differ by 1e-3: p^2 and t^2 have the same 16 digits, and none are left "
                 "when these are subtracted, so subtract before you square"),
        step_name="forward mse",
    )
    # Errors of 1e-3, and a loss of 1e-6: a checker with an absolute tolerance of 1e-3 would accept zeros here.
    yield gradient(answer, "mse", "mse_backward", [1e-3 * p, 1e-3 * t], ("p", "t"), step_name="gradient mse")
    yield gradient(answer, "mse", "mse_backward", [draw(2, 3, 5), draw(2, 3, 5)], ("p", "t"), step_name="gradient mse")

    model = [draw(7, 3), draw(3), draw(7)]
    yield forward(
        answer, "regression", lambda x, w, t: mse(x @ w, t),
        Case(*model),
        Case(draw(1, 3), draw(3), draw(1), why="here the batch is one row"),
        Case(draw(7, 1), draw(1), draw(7), why="here there is one weight"),
        step_name="forward regression",
    )
    yield gradient(answer, "regression", "regression_backward", model, ("x", "w", "t"), step_name="gradient regression")
    yield gradient(answer, "regression", "regression_backward", [draw(2, 5), draw(5), draw(2)], ("x", "w", "t"),
                   step_name="gradient regression")
