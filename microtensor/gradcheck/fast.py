"""Fast mode: random projections of a gradient instead of all its elements."""

import numpy as np

from microtensor.gradcheck.compare import compare
from microtensor.gradcheck.difference import hidden
from microtensor.gradcheck.run import GUARD, UNIT

DIRECTIONS = 3


def project(run, k, found):
    """Compare projections of the gradient of point k on random directions; on failure, name an element."""
    point = run.subject.points[k]
    ours = run.analytic[k].reshape(len(run.probes), -1)
    norm = np.sqrt(np.sum(ours**2, axis=1))
    worst_tolerance = np.zeros(len(run.probes))
    for _ in range(DIRECTIONS):
        u = run.random.standard_normal(point.size) / np.sqrt(point.size)
        distance, tolerance = along(run, k, u, ours)
        worst_tolerance = np.fmax(worst_tolerance, tolerance * np.sqrt(point.size))
        if not np.all(distance <= tolerance):
            bisect(run, k, found, u, ours)
            return
    if found.name in run.zero_gradient:
        return
    relative = float(np.max(worst_tolerance / np.fmax(norm, np.finfo(float).tiny)))
    missed = min(1.0, (0.8 * relative / 1e-3) ** DIRECTIONS)
    found.text.append(f"{DIRECTIONS} random projections agree as well: an error of 1e-3 of the gradient's norm or more "
                      f"is missed with probability {missed:.0e}, whichever elements it is in")
    if relative > 1e-3:
        found.verdict = "WEAK"


def along(run, k, u, ours):
    """|v - n| and its tolerance along a direction u of point k, each (P,)."""
    point = run.subject.points[k]
    directions = [None] * len(run.subject.points)
    directions[k] = u.reshape(point.shape)
    expected = ours @ u
    norm = np.sqrt(np.sum(ours**2, axis=1) * np.mean(u**2))
    ladder = run.ladder(directions)
    value, error = ladder.refine(0.01 * GUARD * np.fmax(np.abs(expected), norm))
    rounding = np.sqrt(np.sum((ours * np.abs(u)) ** 2, axis=1)) * 64 * UNIT
    tolerance = 8 * error + rounding + 64 * UNIT * np.abs(expected)
    return np.abs(expected - value), np.fmax(tolerance, hidden(ladder))


def bisect(run, k, found, u, ours):
    """Halve the support of a direction along which the gradient is wrong until one element is left."""
    support = np.arange(u.size)
    while support.size > 1:
        halves = np.array_split(support, 2)
        excess = []
        for half in halves:
            part = np.zeros(u.size)
            part[half] = u[half]
            distance, tolerance = along(run, k, part, ours)
            excess.append(float(np.max(distance / tolerance)))
        support = halves[int(np.argmax(excess))]
        if max(excess) <= 1:
            break
    if support.size == 1:
        shape = run.subject.points[k].shape
        compare(run, k, found, places_near(shape, tuple(int(j) for j in np.unravel_index(support[0], shape))))
    if found:
        found.verdict, found.wrong, found.excess = "FAIL", 1, np.inf
        found.text.append("random projections of the gradient disagree, though no single element does")


def places_near(shape, place):
    """An element, and for the diagnosis a few more of its row and column."""
    near = [place]
    for axis, size in enumerate(shape):
        for j in range(min(size, 5)):
            near.append((*place[:axis], j, *place[axis + 1 :]))
    return sorted(set(near))
