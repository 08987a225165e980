"""The steps of mutant: what `python tests/mutation/run.py --exercise` measured on each mutant, in mutants.json."""

import json
from pathlib import Path

from microtensor.gradcheck.op import LIMITS
from microtensor.learn.reading import filled_in, place, words_of
from microtensor.learn.steps import Wrong, step

MUTANTS = json.loads(Path(__file__).with_name("mutants.json").read_text(encoding="utf-8"))
TESTS = {
    "test_op_gradient_at_kinks": "kinks",
    "test_op_gradient_of_one_input_alone": "alone",
    "test_op_lets_what_backward_does_not_read_be_written": "unread",
    "": "nothing",
}
WHY = {
    "a": "The loop is one text for float32 and float64, so single compares two numbers that are wrong alike. Rule and "
         "second compare the loops with the rule, which is right: they fail as well, and do not say whose fault it is.",
    "b": "Only the rule is edited. kernel and single run the loops alone; rule and second hold the rule against them.",
    "c": "Only the float32 branch is edited, and three of the figures are computed in float64. single is the only "
         "check of what runs in training.",
    "d": "The numbers of the rule are right, so rule agrees. But y is a constant in it now: derivatives of dx with "
         "respect to g are right, those with respect to x are 0, and second alone looks at derivatives of dx.",
    "e": "Only x = 0 is treated otherwise, and the inputs avoid it, since differences say little there: any slope from "
         "that of the left side to that of the right is defensible. What is documented takes a test of its own.",
    "f": "All gradients are right. But where b needs no gradient, a is kept for nothing, as memory and as a reason to "
         "refuse a write to it. No figure can see that.",
    "g": "kernel, rule and second are computed in float64, whose branch this is. single holds float32 against it, and "
         "does not know which of the two is right.",
    "h": "A gradient that nobody needs is computed; then Engine.deliver finds no edge and drops it. Only work is lost.",
}


def check(answer, _draw):
    for letter in MUTANTS:
        yield step(answer, f"mutant {letter}", lambda letter=letter: _compare(answer, letter))


def right_for(letter):
    """The checks that kill a mutant: the figures beyond their limits, or else a test, or "nothing"."""
    mutant = MUTANTS[letter]
    beyond = [column for column, limit in LIMITS.items() if not float(mutant["figures"][column]) <= limit]
    return beyond or [TESTS[mutant["killed_by"]]]


def place_of(letter):
    """Where the edited line stands in the package's source."""
    mutant = MUTANTS[letter]
    owner, _, name = mutant["function"].rpartition(".")
    return place(mutant["file"], *([f"class {owner}("] if owner else []), f" {name}(", mutant["original"][:60])


def _compare(answer, letter):
    said = list(dict.fromkeys(words_of(filled_in(answer, letter))))
    words = [*LIMITS, *TESTS.values()]
    unknown = [str(word) for word in said if word not in words]
    if unknown:
        raise Wrong(f"{' '.join(unknown)[:40]!r} is no check: there are {', '.join(words)}")
    right = right_for(letter)
    if set(said) != set(right):
        raise Wrong(f"you say {' '.join(said)}, the checks do not", f"read around {place_of(letter)}")
    figures = ", ".join(f"{column} {MUTANTS[letter]['figures'][column]}" for column in LIMITS)
    return f"{' '.join(right)}. {WHY[letter]} Measured: {figures}"
