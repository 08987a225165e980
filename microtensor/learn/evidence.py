"""What is to be seen of a wrong gradient beside the right one, in words, without a word of what the cause may be.

A hunt shows where a gradient is wrong; how it is wrong it shows only to those who ask for a hint, or have repaired it.
"""

import re
import warnings
from fractions import Fraction

import numpy as np

SMALL = 1e-3            # of the largest element: of smaller ones no ratio is taken
SAME = 1e-6             # ratios are the same if they differ by less, relative to the largest
FEW = 3                 # ratios are named one by one
LARGEST = 60            # denominator of a ratio that is shown as a fraction


def where_wrong(report):
    """Which gradients are wrong and at how many elements, in words; nothing that says how."""
    bad = [f"d{found.name} {found.shape}: {found.wrong} of {found.checked} wrong" if found.checked
           else f"d{found.name} {found.shape}: {found.verdict}" for found in report.inputs if not found]
    good = [f"d{found.name}" for found in report.inputs if found]
    if not bad:
        return "the numbers of one call are right, but backward does something else wrong"
    return "; ".join([*bad, *([f"{joined(good)} ok"] if good else [])])


def evidence(report, inputs, output):
    """What the numbers of a Report say of each wrong gradient, in lines; no cause is named.

    Args:
        report: the Report.
        inputs: of the function that was checked, by name.
        output: of that function.
    """
    arrays = {**inputs, "the output": output}
    lines = [line for found in report.inputs if not found for line in of_gradient(found, arrays)]
    return lines + [re.split("[:;] ", fault.text)[0] for fault in report.faults]        # behind that comes the cause


def of_gradient(found, arrays):
    """What one wrong gradient is beside the right one, in lines.

    Args:
        found: the InputReport.
        arrays: the inputs and the output, by name.
    """
    name, a, n = f"d{found.name}", np.asarray(found.gradient), found.difference
    if a.shape != found.shape:
        return [f"{name} has shape {a.shape}, should have {found.shape}"]
    wrong = np.abs(a - n) > found.tolerances[0]
    where = places_of(wrong)
    lines = [f"{name}: {found.wrong} of {found.checked} elements are wrong{where and f', all of them {where}'}; "
             f"d{found.place} is {found.analytic:.6g}, should be {found.numeric:.6g}"]
    ratios = ratios_of(found)
    if ratios is not None:
        lines.append(f"{name}: yours / right is {ratios_in_words(ratios)}")
    if np.any(wrong) and np.all(np.isfinite(a - n)) and (ratios is None or not is_same(ratios)):
        lines += [f"{name}: {line}" for line in (*errors_in_words(a - n, found.name, arrays), *moves_in_words(a, n))]
    return lines


def errors_in_words(error, name, arrays):
    """Along which axes an error is the same, or the same multiple of the input or of the output."""
    for axis in range(error.ndim):
        if error.shape[axis] < FEW:
            continue
        x, y = arrays[name], arrays["the output"]
        parts = {"": np.ones(x.shape), f" over {name}": x,
                 f" over {name} less its mean there": x - x.mean(axis, keepdims=True)}
        if y.shape == x.shape:
            parts[" over the output"] = y
        for what, part in parts.items():
            if is_same(divided(error, part), axis):
                yield f"yours - right{what} is the same all along axis {axis}"
                break


def moves_in_words(a, n):
    """Whether the right numbers are there, at other places."""
    near = SAME * np.max(np.abs(n))
    for axis, size in enumerate(n.shape):
        along = [np.moveaxis(z, axis, 0) for z in (a, n)]
        for step in range(1, 1 + min(2, (size - 1) // 2)):
            for (ours, theirs), sign in ((along, "-"), (along[::-1], "+")):
                if np.all(np.abs(ours[step:] - theirs[:-step]) <= near):
                    return [f"yours at i of axis {axis} is what is right at i {sign} {step}"]
    if n.size > FEW and np.all(np.abs(np.sort(a, None) - np.sort(n, None)) <= near):
        return ["yours are the right numbers in another order"]
    return []


def places_of(wrong):
    """Such as "at 0 and 2 of axis 0", if there are none elsewhere; "" if they are all over."""
    for axis, size in enumerate(wrong.shape):
        lines = np.flatnonzero(wrong.any(tuple(other for other in range(wrong.ndim) if other != axis)))
        if 0 < len(lines) <= max(1, size // 2) and size > 1:
            return f"at {joined(list(map(str, lines)))} of axis {axis}"
    return ""


def divided(a, b):
    """One array over another; nan where that is small."""
    large = np.abs(b) > SMALL * np.nanmax(np.abs(b), initial=0)
    return np.divide(a, b, where=large, out=np.full(b.shape, np.nan))


def is_same(ratios, axis=None):
    """Whether numbers differ by no more than rounding, on each line along an axis or all of them."""
    if np.all(np.isnan(ratios)):
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)         # a line of nan alone
        spread = np.nanmax(ratios, axis) - np.nanmin(ratios, axis)
    return bool(np.nanmax(spread) <= SAME * np.nanmax(np.abs(ratios)))


def ratios_of(found):
    """A wrong gradient over the right one, nan where that is small; None if their shapes differ, or it is 0."""
    if np.shape(found.gradient) != found.shape or not np.any(found.difference):
        return None
    return divided(np.asarray(found.gradient), found.difference)


def ratios_in_words(ratios):
    """What is to be seen of the ratios of two gradients."""
    known = ratios[np.isfinite(ratios)]
    if is_same(known):
        return f"{fraction(known[0])} at every element"
    near, order = SAME * np.max(np.abs(known)), np.sort(known)
    different = order[np.concatenate([[True], np.diff(order) > near])]
    if len(different) <= FEW < known.size:
        counts = [f"{fraction(value)} at {np.sum(np.abs(known - value) <= near)}" for value in different]
        return f"{joined(counts)} elements"
    span = f"from {known.min():.4g} to {known.max():.4g}"
    if len(different) <= known.size // FEW:
        span += f", {len(different)} numbers in all"
    for axis in range(ratios.ndim):
        if ratios.shape[axis] > 1 and is_same(ratios, axis):
            return f"the same all along axis {axis}, and another on the next line: {span}"
    return f"not one number, but {span}"


def fraction(number):
    """A number, as a fraction if it is one."""
    found = Fraction(float(number)).limit_denominator(LARGEST)
    if abs(float(found) - number) > 1e-7 * abs(number) + 1e-9:
        return f"{number:.6g}"
    return str(found) if found.denominator in (1, 2) else f"{found} = {number:.6g}"


def joined(items):
    """Such as "x, y and z"."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)
