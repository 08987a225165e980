"""The steps of verdicts: the checker itself is asked, for the pairs of the task as it was given."""

from functools import cache

from microtensor.gradcheck import check_function
from microtensor.gradcheck.report import VERDICTS
from microtensor.learn.reading import as_given, filled_in
from microtensor.learn.steps import Wrong, step


def check(answer, _draw):
    for letter in pairs():
        yield step(answer, f"pair {letter}", lambda letter=letter: _compare(answer, letter))


@cache
def pairs():
    """The task's own PAIRS, by letter: not those of the answer, which may be changed or left out."""
    return as_given("verdicts").PAIRS


@cache
def report(letter):
    forward, backward, x = pairs()[letter]
    return check_function(forward, backward, [x], names=["x"], raise_exception=False, edits=False)


def _compare(answer, letter):
    said = filled_in(answer, letter)
    if not isinstance(said, str):
        raise Wrong(f"the entry {letter!r} of ANSWERS is of type {type(said).__name__}, and should be a string")
    said = said.strip().upper()
    if said not in VERDICTS:
        raise Wrong(f"{said[:20]!r} is no verdict: there are {', '.join(reversed(VERDICTS))}")
    right = report(letter)
    if said != right.verdict:
        raise Wrong(f"you say {said}, the checker says {right.verdict}", *str(right).split("\n"))
    return right.verdict
