"""Hints: what probably is wrong with a gradient, told by which formula turns the right one into it.

a is the gradient from backward, n the numeric one, both for one upstream gradient g; x is the input, y the output. A
hint is given only if its formula leaves a residual within ten tolerances at every element, so that it cannot be a
coincidence of a few numbers; inputs whose sizes are distinct primes keep formulas apart that agree for squares.
"""

from itertools import combinations, permutations, product
from math import comb

import numpy as np

from microtensor.gradcheck.case import Hint
from microtensor.gradcheck.relations import (
    EPS,
    SPARE,
    axes_in_words,
    cancels,
    is_diagonal,
    is_one_multiple,
    of_axes,
    of_jacobian,
    of_other_inputs,
    of_other_upstreams,
    of_places,
    of_precision,
    of_scales,
    of_terms,
    subsets,
)


def hints(case):
    """All hints that explain a wrong gradient; a family that fails is noted in case.troubles and costs no other."""
    if not case.same_shape:
        families = (of_shape,)
    elif not np.any(case.wrong) or case.faults & {"linear", "rounded", "constant", "upstream", "repeat"}:
        families = (of_faults,)     # no formula holds for one upstream gradient alone
    elif case.is_tiny():
        # Too small to tell one order of the numbers from another; or one side, unless some elements are clearly right.
        families = (of_ratio, of_slices, of_precision, *([of_sides] if case.is_clear() else []))
    else:
        families = (of_faults, of_ratio, of_places, of_structure, of_slices, of_normalisation, of_derivative,
                    of_powers, of_masks, of_offsets, of_products, of_sums, of_axes, of_sides, of_terms,
                    of_scales, of_other_inputs, of_other_upstreams, of_jacobian, of_precision)
    found = []
    for family in families:
        try:
            found += family(case)
        except Exception as error:
            case.troubles.append(f"hints {family.__name__} failed with {type(error).__name__}: {error}; the verdict "
                                 "does not depend on them, please report this")
    return found


def common_hints(cases):
    """The hints for a first upstream gradient that hold for the others, too: one alone may fit by chance."""
    found = hints(cases[0])
    for case in cases[1:]:
        again = {(hint.key, hint.formula) for hint in hints(case)}
        found = [hint for hint in found if (hint.key, hint.formula) in again]
    return found


def likeliest(found):
    """The hints worth printing: those of the most special kind."""
    found = sorted(found, key=lambda hint: hint.rank)
    return [hint for hint in found if hint.rank <= found[0].rank]


# -- the shape is wrong --------------------------------------------------------------------------------------------


def of_shape(case):
    """Transposed, not summed over what was broadcast, not expanded over what was summed."""
    a, n, shape = case.a, case.n, case.x.shape
    if a.ndim == n.ndim and a.shape == shape[::-1] and case.equals(a.T, n) is not None:
        yield Hint("transposed", "it is transposed: a layout mistake, such as g'x for x'g", "a = n'", 0.0, 0)
        return
    for axes in subsets(n.ndim)[::-1]:
        total, sizes = (np.nansum(z, axes, keepdims=True) for z in (n, np.abs(n)))
        if np.nanmax(np.ptp(n, axes)) <= 1e-9 * np.nanmax(np.abs(n)):
            continue            # all the same there: as for a mean, whose gradient was divided, and is not repeated
        if np.squeeze(a).shape == np.squeeze(total).shape and total.size < n.size and \
                np.all(np.abs(a.reshape(total.shape) - total) <= 1e-8 * sizes):
            yield Hint("axis", "everything was summed into one number: a reduction lacks its axis" if a.size == 1 else
                       f"it is summed over {axes_in_words(axes, n.ndim)} of {case.name}, which must stay", "a = sum n",
                       0.0, 0)
            return
    extra = a.ndim - n.ndim
    axes = tuple(range(extra)) + tuple(extra + i for i, size in enumerate(shape) if size == 1 < a.shape[extra + i]) \
        if extra >= 0 else ()
    if axes and a.size > n.size == a.sum(axes).size and case.equals(a.sum(axes).reshape(shape), n) is not None:
        yield Hint("unreduced", f"it is not summed over {axes_in_words(axes, a.ndim + 1)}, along which {case.name} was "
                                "broadcast", "sum(a, axes) = n", 0.0, 0)
        return
    reduced = {np.squeeze(case.x.sum(axes)).shape for axes in subsets(n.ndim)}
    if a.shape == case.y.shape and a.size < n.size and np.squeeze(a).shape in reduced:
        yield Hint("unexpanded", "it has the output's shape: repeat it along the axis that was reduced, or keep that "
                                 "axis with keepdims", "shape(a) = shape(y)", 0.0, 1)
        return
    owner = next((name for name, array in case.arrays.items() if array.shape == a.shape and name != case.name), None)
    if owner is not None and owner in case.others and case.others[owner].shape == a.shape:
        is_its = np.allclose(a, case.others[owner], rtol=1e-6, atol=1e-9 * np.nanmax(np.abs(case.others[owner])))
        numbers = ", and so are its numbers" if is_its else ""
        yield Hint("exchanged" if is_its else "shape",
                   f"its shape must be {shape}; {a.shape} is that of {owner}{numbers}: gradients are returned in the "
                   "order of the inputs", f"a = n of {owner}", 0.0, 0 if is_its else 2)
        return
    yield Hint("shape", f"its shape must be {shape}, not {a.shape}", "", 0.0, 2)


# -- the shape is right --------------------------------------------------------------------------------------------


def of_faults(case):
    """What the hygiene checks found."""
    if "upstream" in case.faults:
        ones = case.equals(case.a, _pull(case, [np.ones(g.shape) for g in case.upstream]))
        tail = " (yours is that for a g of ones)" if ones is not None else ""
        yield Hint("upstream", f"the upstream gradient is ignored{tail}: multiply by it", "a(g) = a(g')", 0.0, 0)
    if "dtype" in case.faults:
        yield Hint("precision", "it is an array of integers, which cuts off fractions: make it of floats", "", 0.0, -1)
    if "repeat" in case.faults:
        yield Hint("repeat", "a second backward gives another gradient: saved values are overwritten, an array of the "
                             "call before is added to, one of np.empty is not filled, or random numbers are drawn anew",
                   "a /= a again", 0.0, -0.5)
    if "constant" in case.faults:
        yield Hint("upstream", "a term of it is not multiplied by the upstream gradient: it is there even if that is 0",
                   "a(0) /= 0", 0.0, 0)
    if "rounded" in case.faults:
        yield Hint("precision", "it is rounded to few digits, as in half precision: compute it in float64", "", 0.0, 1)
    if "linear" in case.faults:
        yield Hint("nonlinear", "it is not linear in the upstream gradient: a mask or condition looks at g instead of "
                                "x", "a(g + 2g') /= a(g) + 2a(g')", 0.0, 1)
    if "unchanged" in case.faults:
        yield Hint("unchanged", "backward writes into an array that is not its own: make a new one", "", 0.0, 2)


def _pull(case, upstream):
    """The numeric gradient for another upstream gradient; nan where the Jacobian is not known."""
    if case.numeric_jacobian is None:
        return np.full(case.n.shape, np.nan)
    row = np.concatenate([g.ravel() for g in upstream])
    return (row @ case.numeric_jacobian).reshape(case.n.shape)


CHANCE = 100        # that wrong elements all lie on a line or two is no chance if it is less likely than 1 in so many
PATTERNS = 10       # one of fewer patterns of right and wrong elements fits some condition even twice

# Factors that have a name of their own.
CONSTANTS = {"ln 2": np.log(2), "pi": np.pi, "2 pi": 2 * np.pi, "the root of 2": np.sqrt(2), "the root of 2 pi":
             np.sqrt(2 * np.pi), "the root of pi": np.sqrt(np.pi), "pi/180": np.pi / 180, "1.702": 1.702, "e": np.e,
             "ln 10": np.log(10)}


def of_ratio(case):
    """a = r n with one r everywhere."""
    r = case.ratio()
    if r is None or abs(r - 1) < 1e-5:
        return
    residual = case.equals(case.a, r * case.n, r)
    # 1e-6: what r is known to where the gradient is known to the guard
    is_near = lambda value: abs(r - value) <= 1e-6 * abs(value)      # noqa: E731
    formula = f"a = {r:.6g} n"
    if is_near(-1):
        yield Hint("sign", "the sign is wrong", "a = -n", residual, 0)
    elif abs(r) < 1e-9:
        yield Hint("zero", "backward gives 0: the path from the output to this input is cut off", "a = 0", residual, 0)
    else:
        found = [Hint(key, text, formula, residual, 0.3) for key, value, text in named_ratios(case) if is_near(value)]
        if found:
            first = found[0]
            other = next((hint for hint in found[1:] if hint.key != first.key), None)
            more = f"; or {other.text}" if other else ""
            yield Hint(first.key, f"ratio {r:.6g} everywhere: {first.text}{more}", formula, residual, first.rank,
                       others=(other.key,) if other else ())
        elif case.n.size > 1:
            yield Hint("factor", f"ratio {r:.6g} everywhere: a constant factor is wrong", formula, residual, 3)


def named_ratios(case):
    """(key, value, text) of every factor that has a name, the likelier first."""
    yield "two", 2, "a path is counted twice, or a 1/2 forgotten"
    yield "two", 0.5, "a factor 2 is missing, or one of two equal paths"
    scale = _constant(case.y / case.x, case.y != 0) if case.y.shape == case.x.shape else None
    if scale is not None and abs(scale) not in (0, 1, 2, 0.5):
        for value in (scale, 1 / scale):
            yield "scale", value, f"the factor {scale:.6g} that forward multiplies with, such as dropout's 1/(1-p)"
    sizes = case.sizes()
    for size, what in sizes.items():
        yield "size", size, f"{what}: a division by it, as for a mean, is missing"
        yield "size", 1 / size, f"1 over {what}: divided by it once too often, or a mean instead of a sum"
    for size, what in sizes.items():
        if size > 2:
            yield "ddof", size / (size - 1), f"N/(N-1), N = {what}: the biased and the unbiased variance are mixed up"
            yield "ddof", (size - 1) / size, f"(N-1)/N, N = {what}: the biased and the unbiased variance are mixed up"
    for size, what in sizes.items():
        yield "size", size**2, f"the square of {what}"
        yield "size", 1 / size**2, f"1 over the square of {what}"
    for size, what in sizes.items():
        yield "constant", np.sqrt(size), f"the root of {size}, {what}"
        yield "constant", 1 / np.sqrt(size), f"1 over the root of {size}, {what}"
    for number, what in case.products():
        yield "size", number, f"{what}: a division by it, as for a mean, is missing"
        yield "size", 1 / number, f"1 over {what}: divided by it once too often, or a mean instead of a sum"
        yield "size", number**2, f"the square of {what}"
        yield "size", 1 / number**2, f"1 over the square of {what}"
    for (p, first), (q, second) in permutations(sizes.items(), 2):
        yield "size", p * q, f"{p} {q}: {first}, and {second}"
        yield "size", 1 / (p * q), f"1/({p} {q}): {first}, and {second}"
        yield "size", p / q, f"{p}/{q}: {first}, over {second}"
    for name, value in CONSTANTS.items():
        yield "constant", value, name
        yield "constant", 1 / value, f"1 over {name}"
    for number in (1.5, 3, 4, 5, 6, 8, 10, 100):
        yield "factor", number, f"{number}: a constant factor is wrong"
        yield "factor", 1 / number, f"1/{number}: a constant factor is wrong"
    for tenths in (2, 3, 4, 6, 7, 8, 9):
        yield "factor", tenths / 10, f"{tenths / 10}: a constant factor is wrong"
        yield "factor", 10 / tenths, f"1/{tenths / 10}: a constant factor is wrong"
    for count in range(3, 13):
        yield "factor", count / (count - 1), f"{count}/{count - 1}: a constant factor is wrong"
        yield "ddof", count / (count - 1), f"N/(N-1) of a sum over N = {count}"
        yield "factor", (count - 1) / count, f"{count - 1}/{count}: a constant factor is wrong"
        yield "ddof", (count - 1) / count, f"(N-1)/N of a sum over N = {count}"


def _constant(values, where):
    """The one value that an array has at some places, or None."""
    values = values[where & np.isfinite(values)]
    if values.size and np.ptp(values) <= 1e-12 * np.max(np.abs(values)):
        return float(values[0])
    return None


def of_structure(case):
    """Only the diagonal of the Jacobian is there."""
    ours, theirs = case.jacobian, case.numeric_jacobian
    if ours is None or theirs is None or case.y.shape != case.x.shape or case.y.size < 2:
        return
    ours, theirs = ours.reshape(theirs.shape), theirs
    outside = ~np.eye(len(theirs), theirs.shape[1], dtype=bool)
    if not np.any(ours[outside]) and np.max(np.abs(theirs[outside])) > 1e-6 * np.max(np.abs(theirs)):
        diagonal = np.max(np.abs((ours - theirs)[~outside])) <= 1e-7 * np.max(np.abs(theirs))
        if diagonal:
            yield Hint("diagonal", "only the diagonal of the Jacobian is there: each output depends on other inputs as "
                                   "well, as in softmax", "da_i/dg_j = 0 for i /= j", 0.0, 0)


def of_slices(case):
    """a is the gradient of only one slice of the outputs: = for +=."""
    if case.numeric_jacobian is None:
        return
    candidates = []
    for number, g in enumerate(case.upstream):
        if len(case.upstream) > 1:
            candidates.append((number, None, None, f"output {number}"))
        for axis, size in enumerate(g.shape):
            if size > 1:
                candidates += [(number, axis, j, f"slice {j} of axis {axis} of the output") for j in {0, size - 1}]
    for number, axis, j, what in candidates:
        upstream = [np.zeros(g.shape) for g in case.upstream]
        at = (slice(None),) * axis + (j,) if axis is not None else Ellipsis
        upstream[number][at] = case.upstream[number][at]
        part = _pull(case, upstream)
        residual = case.equals(case.a, part)
        # Other slices use what this one uses: else each element has but one use, and no sum was overwritten.
        used = np.any(np.abs(case.n - part)[case.known & (case.a != 0)] > 1e-9 * np.max(np.abs(case.n[case.known])))
        if residual is not None and used:
            yield Hint("overwritten", f"only {what} contributes: gradients of several uses must be added with +=, not "
                                      "=", "a = part of the sum", residual, 0)
            return
    # An index with repeats: at every wrong element one output's share instead of the sum.
    row = np.concatenate([g.ravel() for g in case.upstream])
    shares = row[:, None] * case.numeric_jacobian
    wrong = np.flatnonzero(case.wrong.ravel())
    if len(wrong) and all(np.min(np.abs(shares[:, i] - case.a.ravel()[i])) <= 1e-7 * np.max(np.abs(shares[:, i]))
                          and np.sum(shares[:, i] != 0) > 1 and case.a.ravel()[i] != 0 for i in wrong):
        yield Hint("overwritten", "where several outputs use one element, only one of them contributes: gradients must "
                                  "be added with += (np.add.at for an index with repeats), not =; or the paths to the "
                                  "others are missing", "a = one term of the sum", 0.0, 1, others=("path",))


def of_normalisation(case):
    """The gradient of a normalisation over the batch, with one of its terms wrong.

    y = s (x - mu) + b for each column, s its slope, x-hat = (x - mu)/sigma:
        n = s (g - mean(g) - x-hat mean(g x-hat))
    """
    x, y, g, a, n = case.x, case.y, case.g, case.a, case.n
    if x.ndim != 2 or y.shape != x.shape or len(x) < 3:
        return
    mu, sigma = x.mean(0), x.std(0)
    s = np.sum((x - mu) * (y - y.mean(0)), 0) / np.sum((x - mu) ** 2, 0)
    if not np.all(np.abs(y - y.mean(0) - s * (x - mu)) <= 1e-9 * np.max(np.abs(y))):
        return
    x_hat = (x - mu) / sigma
    length = len(x)
    if case.equals(n, s * g, s) is not None:
        rest = a - s * g                    # alpha + beta x down each column
        beta = np.sum((x - mu) * rest, 0) / np.sum((x - mu) ** 2, 0)
        if np.max(np.abs(rest - rest.mean(0) - beta * (x - mu))) <= 1e-9 * np.max(np.abs(rest)):
            yield Hint("eval", "the statistics are constants here, as in evaluation, and need no terms for the mean "
                               "and the variance", "n = s g", 0.0, 0)
        return
    mean_term, variance_term = s * g.mean(0), s * x_hat * (g * x_hat).mean(0)
    # sigma in x-hat holds no eps, so the variance term is fitted: n = s g - mean_term - k variance_term, k about 1
    k = np.sum((s * g - mean_term - n) * variance_term, 0) / np.sum(variance_term**2, 0)
    if np.max(np.abs(s * g - mean_term - k * variance_term - n)) > 1e-6 * np.max(np.abs(n)):
        return
    variance_term, x_hat = k * variance_term, np.sqrt(k) * x_hat
    variants = {
        "statistics": (s * g, "mean and variance are treated as constants: both depend on x", "a = s g"),
        "mean": (n + mean_term, "the term of the mean is missing: - mean(g) over the batch", "a - n = s mean(g)"),
        "variance": (n + variance_term, "the term of the variance is missing: - x-hat mean(g x-hat)",
                     "a - n = s x-hat mean(g x-hat)"),
        "ddof": (n - variance_term / (length - 1), "the variance divides by N - 1 in backward and by N in forward",
                 "a - n = -x-hat sum(g x-hat) (1/(N-1) - 1/N)"),
        "ddof ": (n + variance_term / length, "the variance divides by N in backward and by N - 1 in forward",
                  "a - n = x-hat sum(g x-hat) (1/(N-1) - 1/N)"),
        "axis": (s * (g - g.mean() - x_hat * (g * x_hat).mean()),
                 "the means in backward are taken over everything: they lack axis=0",
                 "a = s (g - mean of all g - x-hat mean of all g x-hat)"),
    }
    for key, (predicted, text, formula) in variants.items():
        distance = float(np.max(np.abs(a - predicted)))
        if distance <= 1e-6 * np.max(np.abs(n)):
            yield Hint(key.strip(), text, formula, distance, 0 if key != "axis" else 0.5)
            return
    ratio = a / n
    spread = np.ptp(ratio, axis=0)
    if np.all(spread <= 1e-5 * np.abs(ratio).max(0)) and np.ptp(ratio) > 100 * np.max(spread) \
            and case.ratio() is None:
        yield Hint("column", "the ratio is constant down each column and differs between columns: a factor of each "
                             "column is wrong, such as gamma, or eps inside and outside of the root",
                   "a = n r_column", 0.0, 0.5)
        return
    error = a - n
    if np.max(np.ptp(error, axis=0)) <= 1e-6 * np.max(np.abs(error)):
        yield Hint("mean", "the error is constant down each column: the term of the mean", "a - n = t_column", 0.0, 1)


# What people write for the derivative of an elementwise function, by what z stands for.
DERIVATIVES = {
    "z(1 - z)": lambda z: z * (1 - z),
    "1 - z^2": lambda z: 1 - z * z,
    "(1 - z)^2": lambda z: (1 - z) ** 2,
    "1 - z": lambda z: 1 - z,
    "s(z)(1 - s(z))": lambda z: 1 / (1 + np.exp(-z)) * (1 - 1 / (1 + np.exp(-z))),
    "1 - tanh(z)^2": lambda z: 1 - np.tanh(z) ** 2,
    "exp(z)": np.exp,
    "z": lambda z: z,
    "2z": lambda z: 2 * z,
    "1/z": lambda z: 1 / z,
    "1/(2z)": lambda z: 1 / (2 * z),
    "1/z^2": lambda z: 1 / z**2,
    "z^2": lambda z: z**2,
    "z + 1": lambda z: z + 1,
    "1": np.ones_like,
}


def of_derivative(case):
    """a = g f(z) for a known f: the derivative of another function, or of the right one at the wrong place."""
    x, y, g = case.x, case.y, case.g
    if y.shape != x.shape or x.size < 3 or case.equals(case.n, 0) is not None or len(case.outputs) > 1:
        return
    if case.numeric_jacobian is not None and not is_diagonal(case.numeric_jacobian):
        residual = case.equals(case.a, g)
        if residual is not None:
            yield Hint("path", "it is the upstream gradient itself, as if the output were the input: every other path "
                               "is missing", "a = g", residual, 0.6)
        return
    places = {"x": x, "y": y}
    right = [f.replace("z", z) for (f, function), (z, value) in product(DERIVATIVES.items(), places.items())
             if case.equals(case.n, g * function(value), g) is not None]
    for (f, function), (z, value) in product(DERIVATIVES.items(), places.items()):
        residual = case.equals(case.a, g * function(value), g)
        if residual is not None and (f != "1" or case.numeric_jacobian is not None):    # g may also be one of two paths
            instead = f": {' or '.join(dict.fromkeys(right))} fits the differences" if right else ""
            named = " and ".join(f"{name} the {what}" for name, what in (("x", "input"), ("y", "output"))
                                 if name in f.replace("z", z) + instead)
            being = f", {named.replace(' the', ' being the', 1)}" if named else ""
            yield Hint("derivative", f"yours is g times {f.replace('z', z)}{being}, which is another derivative"
                                     f"{instead}", f"a = g {f.replace('z', z)}", residual, 0.6)
            return


def of_powers(case):
    """a = n z^k for another array z."""
    if case.ratio() is not None:
        return
    arrays = {name: z for name, z in case.arrays.items() if z.dtype.kind == "f" and z.size > 1}
    arrays["the output"] = case.y
    for (name, z), k in product(arrays.items(), (1, -1, 2, -2)):
        try:
            factor = np.broadcast_to(z.astype(float) ** k, case.n.shape)
        except ValueError:
            continue
        if np.ptp(factor) == 0:
            continue
        residual = case.equals(case.a, case.n * factor, factor)
        if residual is not None:
            many = "too many" if k > 0 else "missing"
            power = name if abs(k) == 1 else f"{name} squared"
            yield Hint("power", f"a factor {power} is {many}", f"a = n {name}^{k}", residual, 0.7)
            return


def of_masks(case):
    """Wrong elements are 0 where they should not be, or not 0 where they should."""
    a, n, wrong = case.a, case.n, case.wrong
    blocked = wrong & (a == 0)
    passed = wrong & (np.abs(n) <= case.tolerances)
    if np.any(wrong & ~blocked & ~passed):
        ratio = _constant(a / n, case.known & (a != 0) & (np.abs(n) > 0))
        if not (np.any(blocked) and ratio is not None):
            return
    counts = [f"0 at {np.sum(blocked)} elements that should have a gradient"] if np.any(blocked) else []
    counts += [f"a gradient at {np.sum(passed)} elements that should have none"] if np.any(passed) else []
    if np.all(blocked == wrong) and not np.any(a):
        return                                       # all zero: the ratio's business
    whole = case.lines(wrong)
    if whole and np.array_equal(blocked, wrong):
        yield Hint("lines", f"0 all over {whole}, which should have a gradient: a loop ends too early, or a path is "
                            "missing there", "a = n or 0", 0.0, 0.8)
        return
    side = _side_of(case)
    where = f", those where {side}" if side else ""
    yield Hint("mask", f"the mask is wrong: {' and '.join(counts)}{where}", "a = n or 0", 0.0, 0.8)


def _sides(case):
    """Parts of the input, in words."""
    x = case.x
    yield "x < 0", x < 0
    yield "x > 0", x > 0
    yield "x <= 0", x <= 0
    yield "x >= 0", x >= 0
    for name, z in case.arrays.items():
        if name != case.name and z.dtype.kind in "fiu" and z.shape == x.shape:
            yield f"{case.name} < {name}", x < z
            yield f"{case.name} > {name}", x > z
            values = np.unique(z)
            for value in values if len(values) <= 3 else ():
                yield f"{name} is {value:g}", z == value
    for axis in range(x.ndim):
        ties = x == x.max(axis, keepdims=True)
        yield f"{case.name} is the largest along axis {axis}", ties
    label = _labels(case)
    if label is not None:
        yield "the label is", label
        yield "the label is not", ~label


def _side_of(case, combined=False):
    """The part of the input, in words, where it is wrong and nowhere else, if that is no chance; else "".

    Of so many elements, so many may be wrong in C(size, wrong) ways, and a part fits one of them, here and elsewhere.
    """
    sides = list(_sides(case))
    if combined:
        sides = [(f"{first} and {second}", p & q) for (first, p), (second, q) in combinations(sides, 2)]
    if comb(case.x.size, int(np.sum(case.wrong))) < PATTERNS:
        return ""
    return next((text for text, mask in sides if np.array_equal(mask & case.known, case.wrong)), "")


def _labels(case):
    """A mask of the elements x[i, t[i]] for an integer array t, or None."""
    for t in case.arrays.values():
        if t.dtype.kind in "iu" and case.x.ndim == 2 and t.shape == case.x.shape[:1]:
            return t[:, None] == np.arange(case.x.shape[1])
    return None


def of_offsets(case):
    """a - n takes one value besides 0: an index slip; or is a multiple of the input: decay, or the term of a length.

    What does not depend on the length of x has a gradient n with sum(n x) = 0; what has a penalty on it has not.
    """
    error = np.where(case.wrong, case.a - case.n, 0)
    scale = np.sum(error * case.x) / np.sum(case.x**2)
    if case.x.size > 2 and abs(scale) > 0 and case.equals(case.a, case.n + scale * case.x) is not None and \
            not is_one_multiple(case.n, case.x):        # or else a is a multiple of n, which says more
        is_scaled = cancels(case.n * case.x, tuple(range(case.x.ndim)), EPS)
        said = "the term of its length, which was taken for a constant, is lost or wrong" if is_scaled else \
            "a penalty on its squares, as of weight decay, is wrong, missing, or not wanted"
        yield Hint("variance" if is_scaled else "decay", f"the error is {scale:.6g} times {case.name} itself: {said}",
                   f"a - n = c {case.name}", 0.0, 0.6)
        return
    if not np.any(~case.wrong & case.known):
        return
    offset = _constant(np.round(error / np.max(np.abs(error)), 6), case.wrong)
    where = "" if _labels(case) is None else ": such as a 1 subtracted at p[:, t] for p[range(N), t], or not at all"
    if offset is not None and np.sum(case.wrong) > 2:
        value = float(np.mean(error[case.wrong]))
        yield Hint("offset", f"off by {value:.6g} at {np.sum(case.wrong)} of {case.wrong.size} elements and right "
                             f"elsewhere{where}",
                   "a - n = c or 0", 0.0, 0.9)
        return
    label = _labels(case)
    if label is not None and np.array_equal(case.wrong, label & case.known):
        yield Hint("label", "wrong only at the labels: the one-hot term", "a = n where c /= t", 0.0, 1)


def of_products(case):
    """a is a product of g and one other input, with a factor transposed or in the wrong order."""
    g = case.g
    if g.ndim < 2 or case.x.ndim < 2:
        return
    for name, z in case.arrays.items():
        if z.dtype.kind != "f" or z.ndim < 2:
            continue
        versions = {name: z, f"{name}'": z.swapaxes(-1, -2), f"{name}.T": z.T}
        upstreams = {"g": g, "g'": g.swapaxes(-1, -2), "g.T": g.T}
        found, is_product = None, False
        for (left, p), (right, q) in [*product(upstreams.items(), versions.items()),
                                      *product(versions.items(), upstreams.items())]:
            try:
                predicted = p @ q
            except ValueError:
                continue
            if predicted.shape == case.a.shape:
                is_product = is_product or case.equals(case.n, predicted) is not None
                residual = case.equals(case.a, predicted)
                found = found or (None if residual is None else (left, right, residual))
        if found and is_product:            # the right one is a product of the same two
            left, right, residual = found
            yield Hint("product", f"it is {left} {right}: a factor is transposed wrongly, or not at all"
                       + (" (.T reverses all axes: use swapaxes(-1, -2))" if case.x.ndim > 2 else ""),
                       f"a = {left} {right}", residual, 0.4)
            return


def of_sums(case):
    """A vector's gradient is another sum over the batch than it should be."""
    g = case.g
    if case.x.ndim != 1 or g.ndim != 2 or g.shape[1] != len(case.x):
        return
    terms = {"sum(g)": g.sum(0), "mean(g)": g.mean(0)}
    for name, z in [*case.arrays.items(), ("y", case.y)]:
        if z.shape == g.shape and z.dtype.kind == "f":
            terms[f"sum(g {name})"] = (g * z).sum(0)
            terms[f"mean(g {name})"] = (g * z).mean(0)
    for text, predicted in terms.items():
        residual = case.equals(case.a, predicted)
        if residual is not None:
            yield Hint("sum", f"it is {text} over the batch, which is not the derivative in {case.name}", f"a = {text}",
                       residual, 0.6)
            return
    residual = case.equals(case.a, np.full(case.a.shape, np.sum(case.n)))
    if residual is not None:
        yield Hint("axis", "all elements are the sum of the right ones: a reduction lacks its axis", "a = sum n",
                   residual, 0.6)


def of_sides(case):
    """Wrong on one side only, or by one factor on each."""
    x, wrong = case.x, case.wrong
    if wrong.all() and x.size > 3:
        ratio = np.round(case.a / case.n, 8)
        negative, positive = _constant(ratio, x < 0), _constant(ratio, x > 0)
        if negative is not None and positive is not None and abs(negative - positive) > 1e-6:
            swapped = ": they are swapped" if abs(negative * positive - 1) < 1e-6 else ""
            yield Hint("sides", f"ratio {negative:.6g} where x < 0 and {positive:.6g} where x > 0{swapped}",
                       "a = n r(sign x)", 0.0, 0.7)
        return
    if wrong.all() or np.sum(wrong) < 1 or x.size < 4 or case.ratio() is not None:
        return
    side = _side_of(case)
    with np.errstate(all="ignore"):
        ratio = _constant(np.round(case.a / case.n, 8), wrong)
    if side:
        there = "" if ratio is None else ", by the sign" if ratio == -1 else f", with ratio {ratio:.6g}"
        yield Hint("side", f"wrong only where {side}{there}", "a = n elsewhere", 0.0, 0.85 if there else 2)
    elif ratio == -1 and min(np.sum(wrong), np.sum(case.known & ~wrong & (case.a != 0))) >= SPARE:
        yield Hint("sign", f"the sign is wrong at {np.sum(wrong)} of {wrong.size} elements, and right elsewhere: a "
                           "condition, or a factor of 1 and -1, is wrong or missing", "a = n or -n", 0.0, 0.85)
    for axis, size in enumerate(x.shape):
        others = tuple(j for j in range(x.ndim) if j != axis)
        lines = np.flatnonzero(wrong.any(others) if others else wrong)
        chance = comb(size, len(lines)) * (len(lines) / size) ** np.sum(wrong)
        if len(lines) <= min(2, size / 2) and (
                np.sum(wrong) == 1 or chance < 1 / CHANCE or case.lines(wrong)):
            numbers = ", ".join(map(str, lines))
            yield Hint("lines", f"wrong only at {numbers} of axis {axis}", "a = n elsewhere", 0.0, 2.5)
            return
    both = _side_of(case, combined=True)
    if both:
        yield Hint("side", f"wrong only where {both}", "a = n elsewhere", 0.0, 2.2)
