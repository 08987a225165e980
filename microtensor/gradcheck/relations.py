"""Hints that know no layer: how a wrong gradient is related to the right one, along axes, by places and by upstreams.

Each relation has fewer free numbers than the elements that it explains by at least four, so that it is no coincidence.
J is the Jacobian, dy_j/dx_i, and A what backward makes of it, where all their entries were compared.
"""

from itertools import combinations, permutations

import numpy as np

from microtensor.gradcheck.case import Hint, allowed

SPARE = 4           # numbers that a relation must explain beyond those that are fitted
EPS = 0.01          # what the eps of a normaliser, or its smoothing, may be beside the variance


def of_terms(case):
    """Along an axis the error is a multiple of 1, of x or of y: the terms that normalisers lose.

    A normaliser's output stays as it is if a number is added to all x along some axes, or if they are multiplied by
    one (but for eps): so sum(n) = 0, or sum(n x) = 0. Where neither is so, no such term is missing.
    """
    if not np.any(case.wrong) or not np.all(case.known):
        return
    error, shape = case.a - case.n, case.x.shape
    for axes in subsets(case.x.ndim):
        length = int(np.prod([shape[axis] for axis in axes]))
        lines = case.x.size // length
        ones, centred = np.ones(shape), case.x - case.x.mean(axes, keepdims=True)
        wider = [other for other in subsets(case.x.ndim) if set(other) >= set(axes)]
        is_shifted = any(cancels(case.n, other, 1e-7) for other in wider)
        is_scaled = any(cancels(case.n * case.x, other, EPS) for other in wider)
        is_stretched = any(cancels(case.n * (case.x - case.x.mean(other, keepdims=True)), other, EPS)
                           for other in wider)
        terms = [("mean", [ones])]
        terms += [("variance", [case.x])] if is_scaled else []
        terms += [("variance", [centred])] if is_stretched else []
        terms += [("projection", [case.y])] if case.y.shape == shape and (is_shifted or is_scaled) else []
        terms += [("statistics" if is_elementwise(case, axes) else "variance", [ones, case.x])] if is_stretched else []
        for key, vectors in terms:
            if lines * (length - len(vectors)) < SPARE or length < len(vectors) + 2:
                continue
            if not fits_along(case, error, vectors, axes) or any(
                    fits_along(case, z, vectors, axes) for z in (case.a, case.n)):
                continue
            if key == "variance" and is_one_multiple(error, case.x):        # that of a penalty
                continue
            what, lost = {
                "mean": ("the same all", "a term such as - mean(g) is lost or wrong" if case.g.size > 1 and
                         (is_shifted or is_scaled) else
                         "a term that does not vary along it, such as a sum over it, is missing, wrong or too much"),
                "variance": (f"a multiple of {case.name}, centred or not",
                             "a term such as - x-hat mean(g x-hat) is lost or wrong"),
                "projection": ("a multiple of the output", "a term such as - y sum(g y) is lost or wrong"),
                "statistics": (f"a number plus a multiple of {case.name}",
                               f"mean and variance are treated as constants: both depend on {case.name}"),
            }[key]
            yield Hint(key, f"the error is {what} along {axes_in_words(axes, len(shape))}: {lost}",
                       "a - n in the span", 0.0, 0.55 if len(vectors) > 1 else 0.3)
            return


def cancels(z, axes, share):
    """Whether the sum along some axes is but a share of the sum of sizes, on all lines together."""
    return np.sum(np.abs(z.sum(axes))) <= share * np.sum(np.abs(z))


def is_diagonal(jacobian):
    """Whether each output depends on the input at its own place alone."""
    if jacobian.shape[0] != jacobian.size // jacobian.shape[0]:
        return False
    outside = jacobian.reshape(len(jacobian), -1)[~np.eye(len(jacobian), dtype=bool)]
    return not np.any(np.abs(outside) > 1e-9 * np.max(np.abs(jacobian)))


def is_elementwise(case, axes):
    """Whether backward multiplies each element of g by a number, the same along some axes, as if nothing else were."""
    if case.y.shape != case.x.shape or len(case.outputs) > 1:
        return False
    if case.jacobian is None:
        return fits_along(case, case.a, [case.g], axes)
    ours = case.jacobian.reshape(case.y.size, -1)
    return not np.any(ours[~np.eye(case.y.size, dtype=bool)])


def is_one_multiple(error, x):
    """Whether error / x is the same wherever x is not small."""
    large = np.abs(x) > 0.1 * np.max(np.abs(x))
    ratio = error[large] / x[large]
    return np.ptp(ratio) <= 1e-6 * np.max(np.abs(ratio))


def subsets(ndim):
    """Axes along which a line may run: single ones, then several, then all."""
    return [axes for count in range(1, ndim + 1) for axes in combinations(range(ndim), count)]


def axes_in_words(axes, ndim):
    """Such as "axis 0", "axes 0 and 2", "all axes"."""
    if len(axes) == ndim and ndim > 1:
        return "all axes"
    return ("axis " if len(axes) == 1 else "axes ") + " and ".join(map(str, axes))


def fits_along(case, error, vectors, axes):
    """Whether along the axes an array is a sum of multiples of some arrays, each line with multiples of its own."""
    rest = [axis for axis in range(case.x.ndim) if axis not in axes]
    order = [*rest, *axes]
    lines = int(np.prod([case.x.shape[axis] for axis in rest], dtype=int))
    as_lines = lambda z: np.transpose(z, order).reshape(lines, -1)      # noqa: E731
    rows, room = as_lines(error), as_lines(allowed(case.tolerances, np.max(np.abs(case.n))))
    for row, limit, *columns in zip(rows, room, *[as_lines(v) for v in vectors], strict=True):
        basis = np.array(columns).T
        fitted, *_ = np.linalg.lstsq(basis, row, rcond=None)
        if not np.all(np.abs(basis @ fitted - row) <= limit):
            return False
    return True


def of_axes(case):
    """A sum of g over other axes than the right one, which is a sum of g."""
    g = case.g
    if len(case.outputs) > 1 or not 1 < g.ndim <= 5:
        return
    sums = {axes: g.sum(axes) for axes in [(), *subsets(g.ndim)]}
    right = next((axes for axes, total in sums.items() if total.size == case.n.size
                  and case.equals(case.n, total.reshape(case.n.shape)) is not None), None)
    if right is None:
        return
    for axes, total in sums.items():
        for what, number in (("the sum", 1), ("the mean", g.size / max(total.size, 1))):
            for shape in {total.shape, g.sum(axes, keepdims=True).shape[-case.x.ndim:]}:
                try:
                    wide = np.broadcast_to(total.reshape(shape) / number, case.n.shape)
                except ValueError:
                    continue
                if axes != right and axes and case.equals(case.a, wide) is not None:
                    yield Hint("axis", f"it is {what} of g over {axes_in_words(axes, g.ndim)}; right is "
                                       + (f"the sum over {axes_in_words(right, g.ndim)}" if right else "g itself"),
                               f"a = {what} over {axes}", 0.0, 0.2)
                    return


def of_scales(case):
    """One factor for each row, column or channel."""
    if case.x.ndim < 2 or not np.all(case.known) or case.ratio() is not None:
        return
    size = np.max(np.abs(case.n))
    for axes in subsets(case.x.ndim)[:-1]:
        rest = tuple(axis for axis in range(case.x.ndim) if axis not in axes)
        lines = int(np.prod([case.x.shape[axis] for axis in axes]))
        reach = np.max(np.abs(case.n), rest, keepdims=True)     # of each line, whose upstream gradient may be small
        large = (np.abs(case.n) > 1e-3 * reach) & (reach > 1e-6 * size)
        used = np.sum(large.any(rest))              # what is 0 tells of no factor
        if np.sum(large) - used < SPARE or case.x.size // lines < 2:
            continue
        n = np.where(large, case.n, 0)
        ratio = np.sum(case.a * n, rest, keepdims=True) / np.fmax(np.sum(n * n, rest, keepdims=True), 1e-300)
        if np.all((ratio == 0) | (np.abs(ratio - 1) * reach < 1e-7 * size)):
            return              # these are masked
        if np.ptp(ratio) <= 1e-7 * np.max(np.abs(ratio)) or case.equals(case.a, ratio * case.n, ratio) is None:
            continue
        if np.linalg.matrix_rank(case.n.reshape(len(case.n), -1), 1e-9 * np.max(np.abs(case.n))) < 2:
            return              # n is an outer product: then nearly anything is
        values = np.round(ratio.ravel()[:3], 6)
        yield Hint("column", f"one factor for each place of {axes_in_words(axes, case.x.ndim)} is wrong ("
                   f"{', '.join(map(str, values))}{', ...' if ratio.size > 3 else ''}): one that depends on it alone, "
                   "such as a scale, a count or a norm", f"a = r n, r = {values}, ...", 0.0, 0.9)
        return


def of_other_inputs(case):
    """The gradient of another input."""
    for name, n in case.others.items():
        if n.shape == case.a.shape and n.size > 1 and case.equals(case.a, n) is not None and case.ratio() is None:
            yield Hint("exchanged", f"it is the gradient of {name}: two gradients are exchanged", f"a = n of {name}",
                       0.0, 0)
            return


def of_places(case):
    """The right numbers at other places."""
    a, n = case.a, case.n
    if n.size < 4 or not np.all(case.known) or np.ptp(n) == 0:
        return
    for order in permutations(range(n.ndim)):
        turned = np.transpose(n, order)
        if order != tuple(range(n.ndim)) and turned.shape == n.shape and case.equals(a, turned) is not None:
            yield Hint("transposed", f"its axes are exchanged: yours is the right one transposed to {order}",
                       f"a = n.transpose{order}", 0.0, 0)
            return
    for axis in range(n.ndim):
        if n.shape[axis] > 1 and case.equals(a, np.flip(n, axis)) is not None:
            yield Hint("flipped", f"right numbers in reversed order along axis {axis}", "a = flip(n)", 0.0, 0)
            return
        for step in (1, -1, 2, -2):
            if 2 * abs(step) >= n.shape[axis]:          # most of them are compared
                continue
            rolled = np.roll(n, step, axis)
            edge = [slice(None)] * n.ndim
            edge[axis] = slice(0, step) if step > 0 else slice(step, None)
            inside = np.ones(n.shape, bool)
            inside[tuple(edge)] = False
            if np.sum(inside) >= SPARE and case.equals(a, rolled, where=inside) is not None:
                yield Hint("shifted", f"right numbers, {abs(step)} place{'s' * (abs(step) > 1)} too far to the "
                           f"{'end' if step > 0 else 'start'} of axis {axis}: an index is off by {abs(step)}",
                           "a = shifted n", 0.0, 0)
                return
    # What lies evenly around a number has its own numbers again when it is mirrored there, by a sign that is wrong.
    is_mirrored = np.ptp(a + n) <= 1e-9 * np.max(np.abs(n))
    if np.all(np.abs(np.sort(a.ravel()) - np.sort(n.ravel())) <= 1e-9 * np.max(np.abs(n))) and not is_mirrored and \
            np.unique(np.round(n / np.max(np.abs(n)), 9)).size >= max(4, n.size // 2):
        yield Hint("permuted", "the right numbers in another order: such as a reshape for a transpose, or an index "
                               "that was not undone", "sorted a = sorted n", 0.0, 0.2)


def is_constant_along(a, axis):
    """Whether an array has the same numbers all along an axis, if it has that axis."""
    return axis < a.ndim and np.max(np.ptp(a, axis), initial=0) <= 1e-9 * np.max(np.abs(a), initial=0)


def of_other_upstreams(case):
    """The right formula for another upstream gradient."""
    if len(case.upstream) > 1 or case.numeric_jacobian is None or case.g.size < 4:
        return
    g = case.g
    others = {}
    if g.ndim == 2:
        others["g' read in the order of g"] = np.ascontiguousarray(g.T).reshape(g.shape)
        others["g read in the order of g'"] = g.reshape(g.shape[::-1]).T
    for axis in range(g.ndim):
        if g.shape[axis] < 2 or is_constant_along(case.a, axis):        # then all that differs along it is lost
            continue
        along = f"along axis {axis}"
        others[f"its sum {along}"] = np.broadcast_to(g.sum(axis, keepdims=True), g.shape)
        others[f"its mean {along}"] = np.broadcast_to(g.mean(axis, keepdims=True), g.shape)
        others[f"its first slice {along}"] = np.broadcast_to(np.take(g, [0], axis), g.shape)
        others[f"its last slice {along}"] = np.broadcast_to(np.take(g, [-1], axis), g.shape)
        others[f"itself reversed {along}"] = np.flip(g, axis)
        others[f"itself rolled by one {along}"] = np.roll(g, 1, axis)
        others[f"itself rolled by minus one {along}"] = np.roll(g, -1, axis)
    others["its sum over all"] = np.full(g.shape, g.sum())
    for what, other in others.items():
        row = other.ravel() @ case.numeric_jacobian
        if case.equals(case.a, row.reshape(case.n.shape), where=None) is not None and np.any(case.a):
            yield Hint("other upstream", f"it is the gradient for another upstream gradient: {what} in place of g",
                       "a = J' of another g", 0.0, 0.4)
            return


def of_jacobian(case):
    """A is J transposed, or J with some of its entries 0."""
    ours, theirs = case.jacobian, case.numeric_jacobian
    if ours is None or theirs is None or theirs.size < SPARE:
        return
    ours = ours.reshape(theirs.shape)
    scale = np.max(np.abs(theirs))
    near = lambda p, q: np.all(np.abs(p - q) <= 1e-8 * scale)       # noqa: E731
    if theirs.shape[0] == theirs.shape[1] > 1 and near(ours, theirs.T) and not near(theirs, theirs.T):
        yield Hint("jvp", "it is J g where J' g is asked for: an operator that is not symmetric is applied as in "
                          "forward, instead of its transpose", "A = J'", 0.0, 0.5)
        return
    wrong = np.abs(ours - theirs) > 1e-8 * scale
    if not np.any(wrong) or np.any(ours[wrong]) or np.sum(wrong) < 2:
        return
    right = (np.abs(theirs) > 1e-8 * scale) & ~wrong
    if np.sum(right) >= SPARE and len(theirs) > 1:
        yield Hint("path", f"right wherever it is not 0, but it is 0 for {np.sum(wrong)} of the "
                   f"{np.sum(right) + np.sum(wrong)} pairs of an output and an element that depend on each other: a "
                   "path is missing", "A = J or 0", 0.0, 1.1)


def of_precision(case):
    """Right to six digits or more: rounded, to float32 perhaps."""
    size = np.sqrt(np.mean(case.n[case.known] ** 2)) if np.any(case.known) else 0.0
    error = np.abs(case.a - case.n)[case.known]
    if size and case.n.size >= 4 and np.max(error) <= 3e-6 * size and np.mean(case.wrong) >= 0.5:
        yield Hint("precision", f"right to {-np.log10(np.max(error) / size):.0f} digits: something is computed in "
                                "float32, rounded, or solved to a tolerance", "|a - n| <= 3e-6 rms(n)", 0.0, 1.5)
