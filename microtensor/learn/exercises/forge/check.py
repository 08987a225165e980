"""The steps of forge: the checker itself is asked for its first hint."""

import importlib.util
from functools import cache
from pathlib import Path

from microtensor.gradcheck import check_function
from microtensor.learn.steps import Wrong, step

NAMES = ("x", "gamma", "beta")
TARGETS = ("ddof", "mean", "column", "axis", "nonlinear", "repeat")


def check(answer, draw):
    inputs = [draw(7, 3), draw.nonzero(3), draw(3)]
    for key in TARGETS:
        yield step(answer, f"forge {key}", lambda key=key: _forged(answer, key, inputs))


@cache
def task():
    """The module of the task: the layer is this one, and not that of the answer, which may be changed or left out."""
    spec = importlib.util.spec_from_file_location("forge", Path(__file__).with_name("exercise.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _forged(answer, key, inputs):
    report = check_function(task().layer, answer[f"forge_{key}"], inputs, names=NAMES, seed=answer.seed,
                            raise_exception=False, edits=False)
    if report:
        raise Wrong("the checker finds nothing wrong")
    for found in report.inputs:
        keys = {hint.key for hint in found.hints} or ({""} if not found else set())
        if keys - {key}:
            first = min(keys - {key})
            raise Wrong(f"d{found.name} has the hint {first}" if first else f"d{found.name} is wrong, and has no hint",
                        *str(report).split("\n"), input=found.name, hint=first)
    return str(report.hints[0])
