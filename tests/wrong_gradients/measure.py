"""How good the hints are on the second corpus: what each slip's are worth, and counts by half."""

import traceback
import warnings
from collections import Counter
from functools import partial
from multiprocessing import get_context

from microtensor.gradcheck import check_function
from microtensor.learn.corpus import PAIRS
from microtensor.ops.sample import Draw
from wrong_gradients.mutants import some_mutants
from wrong_gradients.peers import available, refuses

KINDS = ("right", "helpful", "none", "misleading", "missed", "lost", "raised")


def outcome(edits, slip, seed):
    """(what the hints are worth, their keys): "right", "helpful", "none", "misleading", "missed", or "lost" where there
    is no report; "raised" where the slip itself raises for some gradient.
    """
    forward, backward, inputs, names = slip.make(Draw(seed))
    try:
        report = check_function(forward, backward, inputs, names=names, seed=seed, raise_exception=False, edits=edits)
    except Exception as error:
        own = any(frame.filename.startswith("<slip ") for frame in traceback.extract_tb(error.__traceback__))
        return "raised" if own else "lost", [type(error).__name__]
    keys = [hint.key for hint in report.hints]
    if report:
        return "missed", keys
    if any("failed" in note for note in report.notes):
        return "lost", keys
    worths = [slip.worth(hint) for hint in report.hints]
    return "misleading" if "misleading" in worths else worths[0] if worths else "none", keys


def outcomes(slips, seeds, function):
    """For each slip a list of what a function says of it for each seed, computed by two processes."""
    with get_context("fork").Pool(2) as pool:
        return pool.starmap(_outcomes, [(function, slip.name, seeds) for slip in slips], chunksize=4)


def _outcomes(function, name, seeds):
    warnings.simplefilter("ignore")
    slip = next(slip for pair in PAIRS for slip in pair.slips if slip.name == name)
    return [function(slip, seed) for seed in range(seeds)]


def outcomes_of_mutants(is_measured, count, edits=True):
    """What the hints are worth for so many mutants of each pair of a half, as of ``outcome``."""
    numbers = [number for number, pair in enumerate(PAIRS) if pair.is_measured == is_measured]
    with get_context("fork").Pool(2) as pool:
        found = pool.starmap(_outcomes_of_mutants, [(number, count, edits) for number in numbers], chunksize=1)
    return [cases for of_pair in found for cases in of_pair]


def _outcomes_of_mutants(number, count, edits):
    warnings.simplefilter("ignore")
    return [[outcome(edits, slip, 0)] for slip in some_mutants(PAIRS[number], count)]


def slips(is_measured=None):
    """All slips, or those of one half."""
    return [slip for pair in PAIRS if is_measured in (None, pair.is_measured) for slip in pair.slips]


def counts(found):
    """How often each outcome was met, in percent."""
    total = Counter(kind for cases in found for kind, _ in cases)
    return {kind: 100 * total[kind] / max(total.total(), 1) for kind in KINDS}


def outcomes_of_slips(seeds):
    """By name of each slip, what its hints are worth for each seed, as of ``outcome``."""
    return dict(zip([slip.name for slip in slips()], outcomes(slips(), seeds, partial(outcome, True)), strict=True))


def table(found, seeds, peers):
    """Lines of a table: by family who catches how many slips, and what the hints are worth in each half, in percent."""
    head = ["family", "slips", "caught by microtensor", *(f"by {name}" for name in peers),
            *(f"{half}: {kind}" for half in ("developed", "measured") for kind in ("right", "helpful", "misleading"))]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    every = slips()
    caught = {name: dict(zip(found, outcomes(every, seeds, partial(is_caught, name)), strict=True))
              for name, accepts in peers.items() if accepts is not None}
    families = list(dict.fromkeys(pair.family for pair in PAIRS))
    for family in [*families, None]:
        chosen = [slip for slip in every if family in (None, slip.pair.family)]
        row = [family or "**all**", str(len(chosen)),
               f"{100 - counts([found[slip.name] for slip in chosen])['missed']:.1f}"]
        for name in peers:
            if name in caught:
                cases = [case for slip in chosen for case in caught[name][slip.name]]
                row.append(f"{100 * sum(cases) / len(cases):.1f}")
            else:
                row.append("not installed")
        for is_measured in (False, True):
            half = [found[slip.name] for slip in chosen if slip.pair.is_measured == is_measured]
            row += [f"{counts(half)[kind]:.1f}" if half else "-" for kind in ("right", "helpful", "misleading")]
        lines.append("| " + " | ".join(row) + " |")
    return lines


def table_of_mutants(found, count):
    """Lines of a table: what the hints are worth for so many mutants of each pair, and for these and the slips that
    were found, in percent.
    """
    lines = ["| half | number | " + " | ".join(KINDS) + " |", "|---|---" + "|---" * len(KINDS) + "|"]
    for half, is_measured in (("developed", False), ("measured", True)):
        edited = outcomes_of_mutants(is_measured, count)
        both = edited + [found[slip.name] for slip in slips(is_measured)]
        for what, cases in (("single edits", edited), ("single edits and slips", both)):
            shares = [f"{share:.1f}" for share in counts(cases).values()]
            lines.append(f"| {half}, {what} | {len(cases)} | " + " | ".join(shares) + " |")
    return lines


def is_caught(name, slip, seed):
    """Whether a peer, named so that another process finds it, refuses a slip."""
    return refuses(available()[name], slip.make, seed)
