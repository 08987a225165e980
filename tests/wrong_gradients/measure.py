"""How good the hints are on the second corpus: what each slip's are worth, and counts by half."""

import warnings
from collections import Counter
from multiprocessing import get_context

from microtensor.gradcheck import check_function
from microtensor.ops.sample import Draw
from wrong_gradients import pairs as _pairs  # noqa: F401 -- fills PAIRS
from wrong_gradients.pair import PAIRS


def outcome(slip, seed):
    """(what the hints are worth, their keys): "right", "helpful", "none", "misleading", "missed" or "lost"."""
    forward, backward, inputs, names = slip.make(Draw(seed))
    try:
        report = check_function(forward, backward, inputs, names=names, seed=seed, raise_exception=False)
    except Exception as error:
        return "lost", [type(error).__name__]
    keys = [hint.key for hint in report.hints]
    if report:
        return "missed", keys
    if any("failed" in note for note in report.notes):
        return "lost", keys
    if set(keys) - slip.right - slip.helpful:
        return "misleading", keys
    return ("right" if keys[0] in slip.right else "helpful") if keys else "none", keys


def outcomes(slips, seeds):
    """For each slip its outcomes, computed by two processes."""
    with get_context("fork").Pool(2) as pool:
        return pool.starmap(_outcomes, [(slip.name, seeds) for slip in slips], chunksize=4)


def _outcomes(name, seeds):
    warnings.simplefilter("ignore")
    slip = next(slip for pair in PAIRS for slip in pair.slips if slip.name == name)
    return [outcome(slip, seed) for seed in range(seeds)]


def slips(is_measured):
    """All slips of one half."""
    return [slip for pair in PAIRS if pair.is_measured == is_measured for slip in pair.slips]


def counts(found):
    """How often each outcome was met, in percent."""
    total = Counter(kind for cases in found for kind, _ in cases)
    return {kind: 100 * total[kind] / total.total() for kind in
            ("right", "helpful", "none", "misleading", "missed", "lost")}
