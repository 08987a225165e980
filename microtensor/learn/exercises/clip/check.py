"""The steps of clip."""

import numpy as np

from microtensor.gradcheck import check_clipping
from microtensor.learn.steps import Wrong, kind_of, step

DIGITS = 1e-5       # relative: clip_norm may add 1e-6 to the norm, which is 0.5 or more where that counts


def check(answer, draw):
    yield step(answer, "clip_norm", lambda: by_norm(answer))
    yield step(answer, "edges", lambda: edges(answer, draw))
    yield step(answer, "clip_value", lambda: by_value(answer, draw))


def clipped(answer, name, grads, limit):
    """What the learner's function returns, if it is a list of arrays like grads, which are unchanged."""
    given = [g.copy() for g in grads]
    passed = list(given)
    found = answer[name](passed, limit)
    if not isinstance(found, (list, tuple)):
        raise Wrong(f"{name} should return a list of arrays, and returns {kind_of(found)}")
    if len(found) != len(grads):
        raise Wrong(f"{name} returns {len(found)} arrays, should be {len(grads)}")
    found = [np.asarray(y) if isinstance(y, (float, np.floating)) else y for y in found]
    for k, (y, g) in enumerate(zip(found, grads, strict=True)):
        if not isinstance(y, np.ndarray) or y.dtype.kind != "f":
            raise Wrong(f"{name}: item {k} of the list should be an array of floats, and is {kind_of(y)}")
        if y.shape != g.shape:
            raise Wrong(f"{name}: array {k} has shape {y.shape}, should be {g.shape}")
    if len(passed) != len(given) or any(a is not b for a, b in zip(passed, given, strict=True)):
        raise Wrong(f"{name} changes the list grads: make a new list")
    if not all(map(np.array_equal, given, grads)):
        raise Wrong(f"{name} changes the arrays of grads in place: make new arrays")
    return found


def norm_of(grads):
    """The norm of all gradients together."""
    return float(np.sqrt(sum(np.sum(g * g) for g in grads)))


def by_norm(answer):
    """Compare clip_norm with its formula, for norms below and above max_norm."""
    norms = []                          # before and after, where the latter is wrong

    def clip(params, max_norm):
        arrays = [parameter.grad.numpy() for parameter in params]
        found = clipped(answer, "clip_norm", arrays, max_norm)
        before, after = norm_of(arrays), norm_of(found)
        if not abs(after - min(before, max_norm)) <= DIGITS * max_norm:
            norms.append((before, after, max_norm))
        for array, y in zip(arrays, found, strict=True):
            array[...] = y

    report = check_clipping(clip, raise_exception=False, seed=answer.seed)
    if report:
        return f"{sum(found.checked for found in report.inputs)} elements"
    bad = next(found for found in report.inputs if not found)
    _, *place = bad.index
    lines = [f"-> {hint}" for hint in bad.hints]
    if norms:
        before, after, max_norm = norms[0]
        lines.append(f"the norm of all gradients together was {before:.5g}, and is {after:.5g}: max_norm is {max_norm}")
    raise Wrong(f"clip_norm: array {report.inputs.index(bad)}{place or ''} = {bad.analytic:.10g}, should be "
                f"{bad.numeric:.10g}", *lines, input="grads", hint=bad.hints[0].key if bad.hints else "")


def edges(answer, draw):
    """clip_norm where the norm is 0, at max_norm itself, of one array, of a number, and of large ones."""
    large = [1000 * draw(3, 5), -1000 * draw(7)]
    cases = (
        ([np.zeros((3, 5)), np.zeros(7)], 1.5, 0.0, "all gradients are 0 here, and so is their norm"),
        ([np.array([3.0, 0.0]), np.array(-4.0)], 5.0, 1.0, "the norm is 5 here, which is max_norm"),
        ([np.array([0.3, -0.4])], 5.0, 1.0, "the norm is 0.5 here, and max_norm is 5"),
        ([np.array([0.3, -0.4])], 0.1, 0.2, "the norm is 0.5 here, and max_norm is 0.1"),
        ([np.array([[30.0, -40.0]])], 5.0, 0.1, "one array of norm 50, and max_norm is 5"),
        ([np.array(-30.0)], 3.0, 0.1, "one number, -30, and max_norm is 3"),
        ([np.array([0.0, 0.0]), np.array([6.0, 8.0])], 2.0, 0.2, "the first array is all 0 here"),
        (large, 2.0, 2.0 / norm_of(large), "the gradients are in the thousands here"),
    )
    for grads, max_norm, factor, why in cases:
        compare("clip_norm", clipped(answer, "clip_norm", grads, max_norm), [g * factor for g in grads], grads, why)
    return f"{len(cases)} checks"


def by_value(answer, draw):
    """Compare clip_value with its formula."""
    cases = (
        ([draw(3, 5), draw(7), draw()], 0.5, "limit is 0.5 here"),
        ([draw(2, 3, 5) * 4, draw(5) / 9], 2.0, "limit is 2 here"),
        ([np.array([1.0, -1.0, 0.0, 0.999, -1.001])], 1.0, "limit is 1 here"),
        ([draw(3, 5) * 1000, np.zeros(7)], 0.1, "limit is 0.1 here"),
        ([draw(3, 5)], 100.0, "no number is near the limit here"),
    )
    for grads, limit, why in cases:
        right = [np.minimum(np.maximum(g, -limit), limit) for g in grads]
        compare("clip_value", clipped(answer, "clip_value", grads, limit), right, grads, why, 1e-9)
    return f"{len(cases)} checks"


def compare(name, found, right, grads, why, relative=DIGITS):
    """Raise Wrong at the first number that is not right."""
    for k, (y, expected, g) in enumerate(zip(found, right, grads, strict=True)):
        off = ~(np.abs(y - expected) <= relative * np.abs(expected))
        if np.any(off):
            place = tuple(np.argwhere(off)[0].tolist())
            raise Wrong(f"{name}: array {k}{list(place) or ''} = {y[place]:.10g}, should be {expected[place]:.10g}; "
                        f"it was {g[place]:.10g}", why)
