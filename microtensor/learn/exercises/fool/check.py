"""The steps of fool: the checkers of the task are asked, and then microtensor's."""

import importlib.util
from functools import cache
from pathlib import Path

import numpy as np

from microtensor.gradcheck import check_function
from microtensor.gradcheck.compare import place_of
from microtensor.learn.steps import Wrong, in_words, output_of, raised_at, step

LAYERS = {"ones": "softmax", "one_element": "mean_square", "square": "row_mean", "positive": "leaky_relu",
          "once": "tanh"}       # by checker
DRAWS = 10              # at which a checker must accept


def check(answer, draw):
    for checker in LAYERS:
        yield step(answer, f"fool {checker}", lambda checker=checker: _fooled(answer, checker, draw))


@cache
def task():
    """The module of the task: layers and checkers are these, not those of the answer, which may be changed."""
    spec = importlib.util.spec_from_file_location("fool", Path(__file__).with_name("exercise.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def furthest_off(dx, right):
    """In words, on a line, where a gradient is furthest off; nothing if it has another shape."""
    if dx.shape != right.shape:
        return []
    place = tuple(map(int, np.unravel_index(np.argmax(np.abs(dx - right)), dx.shape)))
    return [f"{place_of('dx', place)} = {dx[place]:.6g} is furthest off: {right[place]:.6g} is right there"]


def _fooled(answer, checker, draw):
    name, layer = f"fool_{checker}", getattr(task(), LAYERS[checker])
    dx = right = None

    def backward(g, saved):
        nonlocal dx, right
        right = getattr(task(), f"{LAYERS[checker]}_backward")(g.copy(), saved.copy())
        dx = output_of(answer[name](g, saved), name, saves=False)
        return dx

    for number in range(1, DRAWS + 1):
        try:
            accepted = getattr(task(), checker)(layer, backward, draw.stream)
        except (IndexError, ValueError) as error:
            if place := raised_at(error, answer.path):       # in the answer, and not in the checker
                raise Wrong(in_words(error), *place) from None
            raise Wrong(f"{checker} cannot compare it: {error}") from None
        if not accepted:
            raise Wrong(f"{checker} rejects it, at draw {number} of {DRAWS}", *furthest_off(dx, right))
    report = check_function(layer, backward, [draw(5, 3)], names=["x"], seed=answer.seed, raise_exception=False,
                            edits=False)
    if report:
        raise Wrong("microtensor's checker accepts it, too: it is right, at least at these inputs")
    if checker != "once" and all(report.inputs):
        raise Wrong(f"the numbers are right: {checker} is to be fooled by wrong ones",
                    *(fault.text for fault in report.faults), input="x", hint=report.faults[0].check)
    return f"accepted by {checker}, rejected by microtensor" + (f": {report.hints[0]}" if report.hints else "")
