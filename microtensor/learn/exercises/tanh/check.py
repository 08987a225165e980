"""The steps of tanh."""

import tracemalloc

import numpy as np

from microtensor.learn.steps import Case, Wrong, forward, gradient, output_of, step

SIZE = 10_000       # elements: 80 kB, beside which what Python itself allocates is small


def check(answer, draw):
    yield forward(
        answer, "tanh", np.tanh,
        Case(draw(3, 5)),
        Case(draw(2, 3, 7)),
        Case(np.array([0.0])),
        Case(np.array([[1000.0, -1000.0, 30.0, -30.0]]),
             why="e^1000 is inf as a float, and inf / inf is nan: multiply numerator and denominator by a power of e"),
        Case(np.array([1e-10, -1e-8]),
             why="two numbers that are nearly equal are subtracted, and few of their digits are left: np.expm1(x) is "
                 "e^x - 1 with all of them"),
    )
    yield gradient(answer, "tanh", "tanh_backward", [draw(7, 5)], ("x",))
    yield gradient(answer, "tanh", "tanh_backward", [draw(2, 3, 7) * 2], ("x",))
    yield step(answer, "memory", lambda: _memory(answer, draw))


def _memory(answer, draw):
    """How much forward keeps, as a multiple of y."""
    output_of(answer["tanh"](draw(7)), "tanh", saves=True)      # what is allocated once, on the first call, is there
    was_tracing = tracemalloc.is_tracing()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        kept = answer["tanh"](draw(SIZE))                       # nobody else holds this x
        share = (tracemalloc.get_traced_memory()[0] - before) / (8 * SIZE)
    finally:
        if not was_tracing:
            tracemalloc.stop()
    output_of(kept, "tanh", saves=True)
    if share > 1.1:
        raise Wrong(f"y and saved take {share:.1f} times the memory of y",
                    "the next layer keeps y in any case, and y alone is enough for backward: save y itself, and no "
                    "other array, nor a copy")
    return f"y and saved take {share:.1f} times the memory of y"
