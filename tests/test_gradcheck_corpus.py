"""The corpus of wrong gradients is caught and named, and correct variants pass; over four seeds with -m thorough."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))      # the corpus is a package beside this file

from wrong_gradients import CORPUS, RIGHT

filterwarnings = pytest.mark.filterwarnings("ignore::RuntimeWarning")     # NumPy's own, where a student divides by 0

SEEDS = 2           # of the ordinary run


def test_corpus_names_are_distinct():
    names = [entry.name for entry in CORPUS + RIGHT]
    assert len(set(names)) == len(names) and len(CORPUS) >= 57 and len(RIGHT) >= 30


@filterwarnings
@pytest.mark.parametrize("entry", CORPUS, ids=lambda entry: entry.name)
def test_wrong_gradient_is_caught_and_named(entry):
    for seed in range(SEEDS):
        report = entry.check(seed)
        assert not report, report
        assert report.hints and report.hints[0].key in entry.hints, report
        assert not any("failed" in note for note in report.notes), report


@filterwarnings
@pytest.mark.parametrize("entry", RIGHT, ids=lambda entry: entry.name)
def test_right_gradient_passes(entry):
    for seed in range(SEEDS):
        report = entry.check(seed)
        assert report, report


@pytest.mark.thorough
@filterwarnings
@pytest.mark.parametrize("seed", range(SEEDS, SEEDS + 2))
def test_corpus_is_caught_and_named(seed):
    """With the two seeds of the tests above over four; docs/gradcheck.md has a hundred, by its command."""
    caught = named = 0
    for entry in CORPUS:
        report = entry.check(seed)
        caught += not report
        named += bool(report.hints) and report.hints[0].key in entry.hints
    alarms = sum(not entry.check(seed) for entry in RIGHT)
    assert caught == named == len(CORPUS) and alarms == 0
