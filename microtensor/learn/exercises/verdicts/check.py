"""The steps of verdicts: the checker itself is asked, for the pairs of the task as it was given."""

import importlib.util
from functools import cache
from pathlib import Path

from microtensor.gradcheck import check_function
from microtensor.gradcheck.report import VERDICTS
from microtensor.learn.steps import Wrong, step


def check(answer, _draw):
    for letter in pairs():
        yield step(answer, f"pair {letter}", lambda letter=letter: _compare(answer, letter))


@cache
def pairs():
    """The task's own PAIRS, by letter: not those of the answer, which may be changed or left out."""
    spec = importlib.util.spec_from_file_location("verdicts", Path(__file__).with_name("exercise.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.PAIRS


@cache
def report(letter):
    forward, backward, x = pairs()[letter]
    return check_function(forward, backward, [x], names=["x"], raise_exception=False, edits=False)


def _compare(answer, letter):
    answers = answer["ANSWERS"]
    if not isinstance(answers, dict):
        raise Wrong(f"ANSWERS is of type {type(answers).__name__}, and should be a dictionary, as in the task")
    if letter not in answers:
        raise Wrong(f"ANSWERS has no entry {letter!r}")
    said = answers[letter]
    if not isinstance(said, str):
        raise Wrong(f"the entry {letter!r} of ANSWERS is of type {type(said).__name__}, and should be a string")
    said = said.strip().upper()
    if not said:
        raise NotImplementedError
    if said not in VERDICTS:
        raise Wrong(f"{said[:20]!r} is no verdict: there are {', '.join(reversed(VERDICTS))}")
    right = report(letter)
    if said != right.verdict:
        raise Wrong(f"you say {said}, the checker says {right.verdict}", *str(right).split("\n"))
    return right.verdict
