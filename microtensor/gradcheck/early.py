"""Agreement decided early: where a gradient is right, 2n evaluations in place of 8n.

One central difference with h = 2^-16 s for each of n elements is off by h^2 f'''/6 and by rounding, some 1e-10 of
ordinary numbers. That shows errors of 1e-8 of the gradient's size. Smaller ones show along two lines on which all
elements of a block move at once: there the ladder is climbed, and sees an error of 1e-9 in one of them.
Agreement decides here, disagreement never: elements that are not like those of a smooth function with a right gradient
have a ladder of their own; and if any is wrong, all have.
"""

import numpy as np

from microtensor.gradcheck.compare import compare, keep_arrays
from microtensor.gradcheck.difference import root_sum
from microtensor.gradcheck.report import InputReport

LEVEL = 6           # of the ladder: h = 2^-16
BLOCK = 64          # so many elements move at once: the more, the more curved the line is, and the nearer to a kink
LEAST = 8           # fewer are not halved again
LINES = 2
CLOSE = 1e-8        # how far one difference may be from the gradient, in units of its size
FINE = 1e-9         # the error of one element that must show along a line
BENT = 1e-3         # a bend of such a share of the gradient's size may be a kink, which has a verdict of its own


def agree_early(run, k):
    """The InputReport of point k if its gradient is right, or None where it takes a closer look."""
    point, name = run.subject.points[k], run.subject.names[k]
    if not run.derived or run.fast_mode or run.rough or run.grain or name in run.zero_gradient \
            or not point.size or run.analytic[k].shape[1:] != point.shape or not np.all(np.isfinite(run.analytic[k])):
        return None
    places = run.choose_places(point)
    at = tuple(np.array(places).T) if point.ndim else ()
    ours = run.analytic[k][(slice(None), *at)].reshape(len(run.probes), len(places))
    size = run.size_of(ours)[:, 0]
    hidden = 8 * 1.2 * root_sum(run.probes, run.noise) / 2.0**-16       # outputs that do not move hide as much
    if not np.all((size > 0) & (hidden <= CLOSE * size)):
        return None
    numeric, agreed = np.empty(ours.shape), np.zeros(len(places), bool)
    for start in range(0, len(places), BLOCK):
        block = range(start, min(start + BLOCK, len(places)))
        for j in block:
            slope, bend, _ = run.ladder((k, places[j])).level(LEVEL)
            numeric[:, j] = slope
            agreed[j] = np.all((np.abs(slope - ours[:, j]) <= CLOSE * size) & (np.abs(bend) <= BENT * size))
        alike = [j for j in block if agreed[j]]
        if 2 * len(alike) < len(block):
            return None
        agreed[alike] = agree_along_lines(run, k, [places[j] for j in alike], ours[:, alike], size)
    worst = int(np.argmax(np.where(agreed, np.abs(ours[0] - numeric[0]), -1)))
    kinks = len(run.kinks)
    found = compare(run, k, InputReport(name, point.shape),
                    [place for j, place in enumerate(places) if j == worst or not agreed[j]])
    if not found:
        del run.kinks[kinks:]           # they are found again
        return None
    found.checked, found.size, found.visible = len(places), float(size[0]), max(found.visible, FINE * float(size[0]))
    numeric[:2] = np.where(agreed, numeric[:2], found.differences[(slice(None), *at)].reshape(2, -1))
    tolerance = np.where(agreed, CLOSE * size[:2, None], found.tolerances[(slice(None), *at)].reshape(2, -1))
    keep_arrays(found, point, places, ours, numeric, tolerance)
    return found


def agree_along_lines(run, k, places, ours, size):
    """Which elements, at some places, agree where they all move at once, or else where half of them do."""
    count = len(places)
    if all(agrees_along_a_line(run, k, places, ours, size) for _ in range(LINES)):
        return np.ones(count, bool)
    if count <= LEAST:
        return np.zeros(count, bool)
    half = count // 2
    return np.concatenate([agree_along_lines(run, k, places[:half], ours[:, :half], size),
                           agree_along_lines(run, k, places[half:], ours[:, half:], size)])


def agrees_along_a_line(run, k, places, ours, size):
    """Whether no element of point k is wrong by FINE, as far as a line shows on which those at some places move."""
    point = run.subject.points[k]
    directions = [None] * len(run.subject.points)
    directions[k] = np.zeros(point.shape)
    steps = run.random.choice([-1, 1], len(places)) * run.random.uniform(0.75, 1, len(places))
    for j, place in enumerate(places):
        steps[j] *= max(1, abs(point[place]))
        directions[k][place] = steps[j]
    # An error of FINE in one element moves the slope by 3/4 of it or more, of which the difference may hide 1/2.
    value, error = run.ladder(directions).refine(FINE / 16 * size)
    return bool(np.all((8 * error <= FINE / 2 * size) & (np.abs(ours @ steps - value) <= FINE / 4 * size)))
