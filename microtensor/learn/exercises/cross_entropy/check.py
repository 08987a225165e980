"""The steps of cross_entropy."""

import numpy as np

from microtensor.learn.steps import Case, forward, gradient

LARGE = "some scores are near 1000 here, and e^1000 is inf as a float: what may be subtracted from all scores of a row?"
UNLIKELY = "the class that is right has a probability of 0 as a float here: y must come from x - ln s, not from ln p"


def reference(x, t):
    shifted = x - x.max(1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return -np.mean(log_p[np.arange(len(t)), t])


def check(answer, draw):
    x, t = draw(7, 5), draw.integers(5, 7)
    classes = draw.stream.permutation(5)        # each class once
    apart = draw(3, 5) + np.array([[1000.0], [-1000.0], [0.0]])
    ahead = draw(5, 7)
    ahead[np.arange(5), classes] = 1000, 1000, 1000, 1000, 0.5          # of its own class, but for the last row
    equal = np.full((3, 5), 0.7)
    yield forward(
        answer, "cross_entropy", reference,
        Case(x, t),
        Case(draw(2, 7), np.array([6, 0]), why="here are more classes than rows"),
        Case(draw(1, 5), np.array([3]), why="here is one row"),
        Case(equal, classes[:3], why="here all scores are equal, so that y is ln C"),
        Case(np.array([[1000.0, 999.0, 998.0]]), np.array([1]), why=LARGE),
        Case(np.array([[1000.0, 0.0], [1000.0, -1000.0]]), np.array([1, 1]), why=UNLIKELY),
        Case(np.array([[-1000.0, -1001.0, -1000.0]]), np.array([1]),
             why="all scores are near -1000 here, and e^-1000 is 0 as a float: s must not be 0"),
        Case(apart, classes[:3],
             why="one row lies near 1000 here, another near -1000: the number that suits one row does not suit all"),
        Case(ahead, classes, why="the right class is far ahead here, in all rows but one"),
    )
    yield gradient(answer, "cross_entropy", "cross_entropy_backward", [x, t], ("x", "t"))
    yield gradient(answer, "cross_entropy", "cross_entropy_backward", [draw(2, 3), np.array([2, 2])], ("x", "t"),
                   why="both rows have the same class here")
    yield gradient(answer, "cross_entropy", "cross_entropy_backward", [draw(1, 5), np.array([3])], ("x", "t"),
                   why="here is one row")
    yield gradient(answer, "cross_entropy", "cross_entropy_backward", [apart, classes[:3]], ("x", "t"),
                   why="one row lies near 1000 here, another near -1000")
    yield gradient(answer, "cross_entropy", "cross_entropy_backward", [ahead, np.roll(classes, 1)], ("x", "t"),
                   why="a class that is not the right one is far ahead here, and p is 0 as a float at the right one")
