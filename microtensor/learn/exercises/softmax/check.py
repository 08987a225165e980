"""The steps of softmax."""

import tracemalloc

import numpy as np

from microtensor.learn.steps import Case, Wrong, forward, gradient, output_of, step

OFFSETS = 1000 * np.array([[1, -1, 0], [-1, 0, 1]])[..., None]      # of the rows of an array of shape (2, 3, C)
LONG = 499          # scores, in a row whose Jacobian matrix takes 499 times its memory
MOST = 60           # times the memory of that row may be used: other ways take 4, and lists of Python floats some 10


def reference(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def check(answer, draw):
    ahead = draw(3, 5)
    ahead[1] = 0, 2000, 0, 1, 0
    ahead[2] = 0.7
    yield forward(
        answer, "softmax", reference,
        Case(draw(3, 5)),
        Case(3 * draw(2, 3, 7), why="here x has three axes: a row is what lies along the last one"),
        Case(draw(5), why="here x has one axis: it is one row"),
        Case(draw(1, 5), why="here x has one row"),
        Case(draw(7, 1), why="here each row has one score, so that its probability is 1"),
        Case(np.array([[1000.0, 999.0, 998.0, -1000.0]]),
             why="e^1000 is inf as a float, and inf / inf is nan: what may be added to all scores of a row, so that y "
                 "stays the same?"),
        Case(np.array([-1000.0, -1001.0, -1000.0]),
             why="e^-1000 is 0 as a float, and 0 / 0 is nan: what may be added to all scores of a row, so that y stays "
                 "the same?"),
        Case(ahead, why="in row 1 one score is 2000 and the others are near 0, in row 2 all scores are equal"),
        Case(draw(2, 3, 5) + OFFSETS,
             why="some rows lie near 1000, others near 0 or -1000: the number that suits one row does not suit all"),
    )
    yield gradient(answer, "softmax", "softmax_backward", [draw(3, 5)], ("x",))
    yield gradient(answer, "softmax", "softmax_backward", [2 * draw(2, 3, 7)], ("x",))
    yield gradient(answer, "softmax", "softmax_backward", [draw(5)], ("x",), why="here x has one axis: it is one row")
    yield gradient(answer, "softmax", "softmax_backward", [ahead], ("x",),
                   why="in row 1 one score is 2000 and the others are near 0, in row 2 all scores are equal")
    yield gradient(answer, "softmax", "softmax_backward", [draw(2, 3, 2) + OFFSETS], ("x",),
                   why="some rows lie near 1000, others near 0 or -1000")
    yield step(answer, "memory", lambda: _memory(answer, draw))


def _memory(answer, draw):
    """The memory that both passes take at their peak, as a multiple of x."""
    both_passes(answer, draw(7), draw(7))       # what is allocated once, on the first call, is there
    x, g = draw(LONG), draw(LONG)
    was_tracing = tracemalloc.is_tracing()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        both_passes(answer, x, g)
        share = (tracemalloc.get_traced_memory()[1] - before) / x.nbytes
    finally:
        if not was_tracing:
            tracemalloc.stop()
    if share > MOST:
        raise Wrong(f"for a row of {LONG} scores both passes take {share:.0f} times the memory of x",
                    f"a matrix of {LONG} x {LONG} numbers is made: sum over k on paper, and compute what is left")
    return f"at most {share:.0f} times the memory of x"


def both_passes(answer, x, g):
    found = answer["softmax"](x)
    output_of(found, "softmax", saves=True)
    answer["softmax_backward"](g, found[1])
