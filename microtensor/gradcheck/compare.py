"""One input at a time: its analytic and its numeric gradient, element by element, and the verdict.

Each element has a state: "" (they agree), "wrong", "kink", "jump", "noisy", "nonfinite", "weak" (they agree, but too
little could be seen) or "beside" (they agree, and as too little could be seen there, a little beside it as well).
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from microtensor.gradcheck.case import Hint
from microtensor.gradcheck.difference import (
    Ladder,
    coarse_noise,
    find_kink,
    hidden,
    one_sided,
    open_interval,
    stays_bent,
    wide_interval,
)
from microtensor.gradcheck.report import InputReport
from microtensor.gradcheck.run import GUARD, UNIT

LAST_DIGITS = 1e-5      # how far gradients may be off, in float64, where a solver stops early
IMPRECISE = 3e-3        # and where outputs are rounded coarsely: to six decimals the differences were off by 1.6e-3
FAR = 64.0              # how far an input whose gradient is zero is moved, in units of its size
FEW = 8                 # so many kinks of an input are looked at closely
CURVE = range(14)       # h = 2^-4, ..., 2^-30: the differences of the worst element, for the picture


def check_input(run, k):
    """The InputReport of point k."""
    name, point, ours = run.subject.names[k], run.subject.points[k], run.analytic[k]
    found = InputReport(name, point.shape)
    if point.size == 0:
        found.verdict = "VACUOUS" if all(x.size == 0 for x in run.subject.points) else "PASS"
        found.text.append("has no elements")
        return found
    if ours.shape[1:] != point.shape:
        return wrong_shape(run, k, found)
    if not np.all(np.isfinite(ours)):
        bad = np.argwhere(~np.isfinite(ours[0]))
        found.verdict, found.checked, found.wrong = "NONFINITE", point.size, max(1, len(bad))
        found.index = tuple(map(int, bad[0])) if len(bad) else ()
        found.analytic, found.numeric, found.excess = float(ours[0][found.index]) if len(bad) else np.nan, 0.0, np.inf
        found.relative = np.inf
        found.text.append("backward gives a gradient that is not finite, where the function itself is")
        return found
    return compare(run, k, found, run.choose_places(point))


def wrong_shape(run, k, found):
    """The InputReport of a gradient whose shape is not its input's."""
    ours, point = run.analytic[k], run.subject.points[k]
    places = run.choose_places(point)
    numeric, error = run.differences([run.ladder((k, place)) for place in places])
    found.verdict, found.checked, found.wrong, found.excess = "FAIL", point.size, point.size, np.inf
    found.relative, found.text = np.inf, [f"its gradient has shape {ours.shape[1:]}"]
    found.difference = np.full(point.shape, np.nan)
    found.differences, found.tolerances = np.full((2, 2, *point.shape), np.nan)
    for j, place in enumerate(places):
        found.difference[place] = numeric[0, j]
        found.differences[(slice(None), *place)] = numeric[:2, j]
        found.tolerances[(slice(None), *place)] = 8 * error[:2, j] + 1e-12 * np.max(np.abs(numeric[:2]), axis=1)
    found.gradient = ours[0]
    found.index, found.size = places[0], float(run.size_of(numeric)[0, 0])
    found.analytic, found.numeric, found.error = np.nan, float(numeric[0, 0]), float(error[0, 0])
    return found


def compare(run, k, found, places):
    """Compare the elements at some places of point k, and fill in the InputReport."""
    point = run.subject.points[k]
    ladders = [run.ladder((k, place)) for place in places]
    numeric, error = run.differences(ladders)
    refused = [ladder.refused for ladder in ladders if ladder.refused is not None]
    if refused:
        if not np.all(np.isfinite(numeric)):
            raise refused[0]
        found.text.append(f"func raised {type(refused[0]).__name__} where an element was moved far, so smaller steps "
                          "were taken")
    at = tuple(np.array(places).T) if point.ndim else ()
    ours = run.analytic[k][(slice(None), *at)].reshape(numeric.shape)
    size = run.size_of(numeric)
    if len(places) < point.size:            # a few elements: the size is that of all
        size = np.fmax(size, np.sqrt(np.mean(run.analytic[k].reshape(len(run.probes), -1) ** 2, axis=1))[:, None])
    if run.derived:
        alpha = run.alpha[k][(slice(None), *at)].reshape(numeric.shape)
        tolerance = 8 * error + 16 * alpha + run.rounding(numeric, k)
    else:
        tolerance = run.atol + run.rtol * np.abs(numeric)
    distance = np.abs(ours - numeric)
    excess = np.where(distance == 0, 0, distance / tolerance)
    excess = np.where(np.isnan(excess) | ~np.isfinite(numeric), np.inf, excess)
    state = np.where(np.any(excess > 1, axis=0), "wrong", "").astype("U9")      # room for "nonfinite"
    scale = np.fmax(np.fmax(np.abs(numeric), size), np.finfo(float).tiny)
    resolution = tolerance / scale
    # Nothing but zeros, within what can be seen, on both sides.
    zero = bool(np.all(np.abs(numeric) <= tolerance) and np.all(np.abs(run.analytic[k]) <= np.max(tolerance)))
    if run.derived:
        # Also where they agree: across a jump the difference is so uncertain that anything would, and at a kink the
        # mean of both slopes does, though of a tie of three not all may have half.
        bent = np.array([stays_bent(ladder, size[:, 0]) for ladder in ladders])
        for j in np.flatnonzero(np.any((excess > 1) | (resolution > GUARD), axis=0) | bent):
            state[j] = second_look(run, k, found, ladders[j], places[j], ours[:, j], alpha[:, j], excess[:, j],
                                   size[:, 0], state[j])
        if np.sum(state == "kink") > FEW:
            found.text.append(f"and {np.sum(state == 'kink') - FEW} more elements at kinks, which any value between "
                              "their slopes fits; beside these nothing was compared")
        if not zero:
            if not (run.rough or run.grain):
                look_beside(run, k, places, state, (tolerance - 16 * alpha) / scale, size)
            # Backward itself is that uncertain here: that it is not elsewhere says nothing of this point.
            state[np.any(resolution > GUARD, axis=0) & (state == "")] = "weak"
    off = np.where(np.isfinite(distance), distance, np.inf) / np.fmax(scale, 1e-3 * np.max(scale))
    judge(run, found, state, resolution, zero, off, np.max(np.where(excess > 1, off, 0), axis=0, initial=0))

    row = 2 if run.full and run.centre.size == 1 else 0     # of a single number the gradient itself is shown
    if not found and not np.any(excess[row] > 1) and np.any(excess > 1):
        row = int(np.argmax(np.max(excess, axis=1)))
        found.text.append(f"seen for output {row - 2} alone" if row > 1 else "seen for the second upstream gradient")
    worst = worst_of(state, excess[row])
    found.index, found.checked = places[worst], len(places)
    found.wrong = int(np.sum(~np.isin(state, ("", "beside", "weak", "kink"))))
    found.analytic, found.numeric = float(ours[row, worst]), float(numeric[row, worst])
    found.error, found.tolerance = float(error[row, worst]), float(tolerance[row, worst])
    found.size, found.visible = float(size[row, 0]), float(np.max(tolerance[row]))
    found.excess = float(excess[row, worst])
    if state[worst] in ("", "beside", "kink"):
        found.excess = min(found.excess, 1.0)
    # A gradient of zeros has no size: its error is shown beside the others'.
    least = max(float(np.max(np.abs(d[:2]), initial=0)) for d in run.analytic) if zero else 0.0
    found.relative = float(distance[row, worst] / max(scale[row, worst], least)) if distance[row, worst] else 0.0
    if run.eps is None:
        ladder = ladders[worst]
        found.step = ladder.chosen()[row]
        levels = sorted(ladder.levels) if run.fast_mode else CURVE
        found.curve = [(ladder.h(level), float(ladder.level(level)[0][row])) for level in levels]
    keep_arrays(found, point, places, ours, numeric, tolerance)
    found.jacobian = numeric[2:] if run.full and len(places) == point.size else None
    return found


def worst_of(state, excess):
    """The element to show: a wrong one before one at a kink before any other."""
    rank = {"": 0, "beside": 0, "kink": 1, "weak": 2}
    weight = np.array([rank.get(s, 3) for s in state])
    return int(np.lexsort((excess, weight))[-1])


def judge(run, found, state, resolution, zero, off, beyond):
    """Set the verdict from the elements' states.

    Args:
        off: the relative distances, for each upstream gradient and element.
        beyond: for each element the largest that is beyond its tolerance.
    """
    names = {"nonfinite": "NONFINITE", "wrong": "FAIL", "jump": "DISCONTINUOUS", "noisy": "NOISY"}
    texts = {
        "nonfinite": "the function is not finite on one side of an element, however near",
        "jump": "the function jumps at an element: it has no gradient there",
        "noisy": "the function is not smooth enough to be differentiated: is something rounded to float32 inside?",
    }
    if run.derived and not zero and is_imprecise(run, state, beyond):
        judge_precision(run, found, state, resolution, off)
        return
    for key, verdict in names.items():
        if np.any(state == key):
            found.verdict = verdict
            found.text += [texts[key]] if key in texts else []
            return
    if not run.derived:
        return
    if np.any(state == "beside"):
        found.text.append(f"at {np.sum(state == 'beside')} elements little can be seen at the point itself, so they "
                          "were compared a little beside it as well")
    if found.name in run.zero_gradient:
        found.verdict = "PASS" if zero else "FAIL"
        found.text.append("zero, as declared" if zero else "declared to be zero, but it is not")
    elif zero and not np.any(state == "kink"):
        judge_zero(run, found)
    elif np.any(state == "weak"):
        share = np.max(resolution[:, state == "weak"])
        found.verdict = "WEAK"
        found.text.append(f"agrees, but errors up to {share:.0e} of the gradient could not be seen, "
                          f"and {GUARD:.0e} is asked for: inputs of ordinary size or smoother ones would show more")
    elif np.any(state == "kink"):
        found.verdict = "KINK"


def is_imprecise(run, state, beyond):
    """Whether all that is wrong or weak is a matter of how exactly something is computed."""
    doubtful = np.isin(state, ("wrong", "noisy", "jump", "weak"))
    wrong = state == "wrong"
    if np.any(state == "nonfinite") or not np.any(doubtful) or np.any(beyond[wrong] == 0):      # wrong beside the point
        return False
    if run.grain and np.max(beyond) <= IMPRECISE:
        return True
    # In many places, and to the last digits only: a solver that stops early.
    return np.sum(wrong) >= 2 and not np.any(doubtful & ~wrong) and np.mean(wrong) >= 0.25 and \
        np.max(beyond) <= LAST_DIGITS


def judge_precision(run, found, state, resolution, off):
    """PRECISION, or PASS if the precision that was asked for is no better."""
    off = float(np.max(off))
    seen = run.grain or off
    found.verdict = "PASS" if seen <= run.precision else "PRECISION"
    share = float(np.max(resolution, initial=0))
    what = f"the outputs are rounded at {run.grain:.0e} of their size, as " if run.grain else ""
    digits = -np.log10(max(off, 1e-16))
    text = (f"agrees to {digits:.0f} digits, and errors up to {share:.0e} of the gradient could not be seen: {what}by "
            "float32 inside, by decimals, by a solver that stops early")
    if found:
        state[...] = ""
        found.text.append(text)
    else:
        found.hints.append(Hint("precision", f"{text}; compute in float64, or say how exactly it is meant to be: "
                                f"precision={10 ** np.ceil(np.log10(seen)):.0e}", "|a - n| small", 0.0, 0))


def judge_zero(run, found):
    """A gradient of nothing but zeros: verified, as of a bias before BatchNorm, or of what was not tested at all."""
    k = run.subject.names.index(found.name)
    others = max((float(np.max(np.abs(d[:2]), initial=0)) for i, d in enumerate(run.analytic) if i != k), default=0.0)
    changed = changes_when_moved(run, k)
    if others > 0 and 0 < changed <= 1e-10:
        found.verdict = "PASS"
        found.text.append(f"zero, and rightly so: where {found.name} is moved by up to {FAR:g}, the outputs change by "
                          f"{changed:.0e} at most, their rounding")
        run.zero_gradient.add(found.name)
        return
    found.verdict = "VACUOUS"
    why = (f"the outputs change where {found.name} is moved further, but not here, as for units that are dead or "
           "masked: check it at other inputs" if changed else
           f"the outputs do not change by a bit wherever {found.name} is moved, as if it were not used, or was too "
           "small to be seen beside other inputs")
    found.text.append(f"the gradient is zero everywhere, so nothing was tested: {why}; if zero is right, name it in "
                      "zero_gradient")


def changes_when_moved(run, k):
    """How far the outputs change, over 1 + their size and the move's, where all of point k is moved, near and far."""
    point, before = run.subject.points[k], run.subject.points[k].copy()
    largest = 0.0
    try:
        for move in (1.0, 8.0, FAR):
            for _ in range(2):
                point[...] = before + move * run.random.uniform(-1, 1, before.shape) * np.fmax(1, np.abs(before))
                change = np.abs(run.subject.evaluate() - run.centre) / move / (1 + np.abs(run.centre))
                largest = max(largest, float(np.max(change, initial=0, where=np.isfinite(change))))
    except Exception:
        pass                    # outside of the function's domain
    finally:
        point[...] = before
    return largest


def keep_arrays(found, point, places, ours, numeric, tolerance):
    """What pictures and the diagnosis need: the gradients for the first upstream gradient, and for two."""
    found.differences, found.tolerances = np.full((2, 2, *point.shape), np.nan)
    found.gradient, found.difference = np.full(point.shape, np.nan), np.full(point.shape, np.nan)
    for j, place in enumerate(places):
        found.gradient[place], found.difference[place] = ours[0, j], numeric[0, j]
        found.tolerances[(slice(None), *place)] = tolerance[:2, j]
        found.differences[(slice(None), *place)] = numeric[:2, j]


def second_look(run, k, found, ladder, place, ours, alpha, excess, size, state):
    """Why an element disagrees, or jumps under a rounding: its state."""
    if not np.all(np.isfinite(ladder.best()[0])):
        return "nonfinite"
    if state == "wrong":
        if run.rough:
            return "weak"
        value, error = ladder.best()
        distance = np.where(excess <= 1, 0, np.abs(ours - value))
        unseen = hidden(ladder)
        if np.all(distance <= unseen):
            return "" if np.all(unseen <= GUARD * size) else "weak"
        noise, known = coarse_noise(ladder), ladder.level(8)[2]
        if np.all(distance <= 8 * 2.4 * np.where(noise > 4 * known, noise, 0) / np.min(ladder.chosen())):
            return "noisy"
        low_value, low_error = ladder.lowest(GUARD * size)
        differs = np.abs(low_value - value) > 8 * (low_error + error)
        if np.all((excess <= 1) | (differs & (np.abs(ours - low_value) <= 8 * low_error + 16 * alpha))):
            return ""
    kind = find_kink(ladder, size, run.finest)
    if state == "wrong" and not np.any(kind == "kink") and \
            np.all((excess <= 1) | fits_smallest_steps(run, ladder, value, ours)):
        return "weak"
    if np.any(kind == "jump"):
        return "jump"
    if np.any(kind == "kink"):
        run.bent.add((k, place))
        low, high, outside = distance_outside(run, ladder, ours, size)
        at = place_of(found.name, place)
        width = high - low
        if run.full and np.any(width[2:]):
            width[:2] = 0           # of one output alone: its own slopes
        p = int(np.argmax(outside)) if np.any(outside) else int(np.argmax(width))
        if np.any(outside):
            found.text.append(f"kink at {at}: its gradient{for_probe(run, p)} may be anything from {low[p]:.6g} to "
                              f"{high[p]:.6g}, and {ours[p]:.6g} is not")
            return "wrong"
        if sum(1 for kink in run.kinks if kink.input == k) < FEW:
            if any(beside(run, k, place, shift, size) == "wrong" for shift in (2.0**-9, -(2.0**-9))):
                found.text.append(f"kink at {at}, but beside it the gradient is wrong too")
                return "wrong"
            found.text.append(f"kink at {at}: any value between {low[p]:.6g} and {high[p]:.6g} is a gradient"
                              f"{for_probe(run, p)}; beside it both agree")
        left, right, noise = one_sided(ladder)
        visible = 100 * noise + 1e-6 * np.fmax(np.abs(left), np.abs(right))
        run.kinks.append(Kink(k, place, np.abs(right - left) > visible, bool(np.all(excess <= 1))))
        return "kink"
    return state


def fits_smallest_steps(run, ladder, value, ours):
    """Where (P,) a gradient agrees with the smallest steps alone: the function changes faster than others can see."""
    _, deep, _, unsure = ladder.deepest(run.finest)
    unseen = unsure + 0.1 * np.abs(deep)
    return np.any(np.abs(deep - value) > unseen) & (np.abs(ours - deep) <= unseen)


def distance_outside(run, ladder, ours, size):
    """What a kink allows along a ladder's line, from and to (P,), and how far a gradient (P,) lies outside of it."""
    def outside(low, high, uncertainty):
        room = 100 * uncertainty + 1e-5 * (high - low) + 1e-7 * size
        return low, high, np.fmax(0, np.fmax(low - room - ours, ours - high - room))

    narrow = outside(*open_interval(ladder))
    return outside(*wide_interval(ladder, run.random)) if np.any(narrow[2]) else narrow


def place_of(name, place):
    """An element in words, as in W[1, 4]."""
    return f"{name}[{', '.join(map(str, place))}]" if place else name


def for_probe(run, p):
    """Which upstream gradient a number belongs to, in words; nothing for the first, which is the one that is shown."""
    return "" if p == 0 or run.centre.size == 1 else f" for output {p - 2} alone" if p > 1 else " for another upstream"


def beside(run, k, place, shift, size):
    """Compare one element where it is moved by a shift: "agree", "wrong", or "weak" if too little can be seen."""
    point = run.subject.points[k]
    start = float(point[place])
    at = (slice(None), *place)
    try:
        point[place] = start + shift * max(1.0, abs(start))
        centre = run.subject.evaluate()
        ladder = Ladder(run.subject, (k, place), run.probes, centre, run.noise)
        value, error = ladder.refine(0.001 * GUARD * size)
        ours = run.subject.pull_back(run.probes)[k][at]
        smallest = fits_smallest_steps(run, ladder, value, ours)
        point[place] *= 1 + 2 * UNIT
        alpha = np.abs(run.subject.pull_back(run.probes)[k][at] - ours)
    except Exception:
        return "weak"           # outside of the function's domain
    finally:
        point[place] = start
    tolerance = 8 * error + 16 * np.fmax(alpha, np.median(alpha)) + 64 * UNIT * np.max(np.abs(value))
    tolerance = np.fmax(tolerance, hidden(ladder))
    distance = np.abs(ours - value)
    if not np.all((distance <= 8 * tolerance) | smallest):      # not one, as noise and alpha were not measured here
        return "wrong"
    resolved = (distance <= tolerance) & (tolerance <= GUARD * np.fmax(np.abs(value), size))
    return "agree" if np.all(resolved) else "weak"


def look_beside(run, k, places, state, resolution, size):
    """Resolve elements that are too near to a kink for a sharp difference a little away from it."""
    for j in np.flatnonzero(np.any(resolution > GUARD, axis=0) & (state == "")):
        for shift in (2.0**-7, -(2.0**-7), 2.0**-5, -(2.0**-5), 2.0**-9, -(2.0**-9)):
            result = beside(run, k, places[j], shift, size[:, 0])
            if result != "weak":
                break
        state[j] = {"agree": "beside", "wrong": "wrong", "weak": "weak"}[result]


@dataclass(frozen=True, eq=False)
class Kink:
    """An element at a kink: which input's, its place, which of the outputs (m,) have two slopes there.

    It is even if the gradient is the mean of both slopes, as it is by itself at a place where |x| is 0.
    """

    input: int
    place: tuple
    bent: np.ndarray
    even: bool


def check_ties(run, inputs):
    """Where kinks bend one output, as at a tie of a maximum, the gradient must fit joint moves as well."""
    for group in groups(run.kinks):
        uneven = [kink for kink in group if not kink.even]
        directions = [dict.fromkeys(group, 1)] + ([dict.fromkeys(uneven, 1)] if 1 < len(uneven) < len(group) else [])
        few = group if len(group) <= FEW else uneven
        if len(few) <= FEW:
            directions += [{first: 1, second: sign} for first, second in combinations(few, 2) for sign in (1, -1)]
        for direction in directions:
            check_together(run, inputs, group, direction)
            if not all(inputs[kink.input] for kink in group):
                break


def groups(kinks):
    """Lists of two or more kinks that are connected by outputs that both of two bend."""
    found = []
    for kink in kinks:
        near = [group for group in found if any(np.any(other.bent & kink.bent) for other in group)]
        joined = [kink, *(other for group in near for other in group)]
        found = [*(group for group in found if group not in near), joined]
    return [sorted(group, key=kinks.index) for group in found if len(group) > 1]


def check_together(run, inputs, group, direction):
    """Fail the inputs of a group of kinks if the gradient does not fit along a direction, {kink: step}."""
    steps = [np.zeros(point.shape) for point in run.subject.points]
    for kink, step in direction.items():
        steps[kink.input][kink.place] = step
    ours = sum(d.reshape(len(run.probes), -1) @ u.ravel() for d, u in zip(run.analytic, steps, strict=True))
    low, high, outside = distance_outside(run, run.ladder(steps), ours, 10 * np.max(np.abs(ours)))
    if not np.any(outside):
        return
    p = int(np.argmax(outside))
    along = " and ".join(("-" if step < 0 else "") + place_of(run.subject.names[kink.input], kink.place)
                         for kink, step in list(direction.items())[:FEW])
    for k in {kink.input for kink in group}:
        inputs[k].verdict = "FAIL"
        inputs[k].wrong = sum(1 for kink in group if kink.input == k)
        inputs[k].text.append(f"where {along} move together, the slope{for_probe(run, p)} may be anything from "
                              f"{low[p]:.6g} to {high[p]:.6g}, and yours add up to {ours[p]:.6g}")
        inputs[k].hints.append(Hint(
            "ties", "the elements that are tied get more, or less, than one share together: let one of them have "
                    "all of the gradient, or divide it by their number", "sum over a tie of dx = g", 0.0, 0))
