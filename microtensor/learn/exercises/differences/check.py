"""The steps of differences."""

from numbers import Real

import numpy as np

from microtensor.learn.steps import Wrong, output_of, step

EPS = np.finfo(float).eps
BEST = np.cbrt(1.5 * EPS)       # where h^2 / 6 + eps / (2 h) is least
AT_MOST = 10                    # times the least error may STEP have: from 4.6e-7 to 3.8e-5


def check(answer, draw):
    yield step(answer, "linear f", lambda: _linear(answer, draw))
    yield step(answer, "order", lambda: _order(answer, draw))
    yield step(answer, "any f", lambda: _any(answer, draw))
    yield step(answer, "STEP", lambda: _step(answer))


# -- numeric -------------------------------------------------------------------------------------------------------


def central(f, x, g, h):
    """What numeric should return."""
    return _differences(x, lambda move: g * (f(x + move) - f(x - move)), h, 2 * h)


def forward_difference(f, x, g, h):
    return _differences(x, lambda move: g * (f(x + move) - f(x)), h, h)


def _differences(x, change, h, divisor):
    dx = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        move = np.zeros(x.shape)
        move[i] = h
        dx[i] = np.sum(change(move)) / divisor
    return dx


def call(answer, f, x, g, h, *why):
    """What the learner's numeric returns, an array of the shape of x."""

    def watched(z):
        if np.shape(z) != x.shape:
            raise Wrong(f"f is called with an array of shape {np.shape(z)}, and x has shape {x.shape}", *why)
        return f(np.asarray(z))

    watched.__qualname__ = "f"          # as messages call it
    given = {"x": x.copy(order="K"), "g": g.copy(order="K")}
    found = answer["numeric"](watched, given["x"], given["g"], h)
    try:
        dx = output_of(found, "numeric", saves=False)
    except Wrong as wrong:
        raise Wrong(str(wrong), *why) from None
    for name, before in (("x", x), ("g", g)):
        changed = given[name] != before
        if np.any(changed):
            i = tuple(map(int, np.argwhere(changed)[0]))
            raise Wrong(f"numeric leaves {name} changed: {_place(name, i)} was {before[i]:.17g}, and is now "
                        f"{given[name][i]:.17g}", *why, input=name, hint="unchanged")
    if dx.shape != x.shape:
        raise Wrong(f"dx has shape {dx.shape}, should be that of x, {x.shape}", *why)
    return dx


def room(f, x, g, h):
    """How far two right answers may be apart: 64 roundings of the terms, divided by h."""
    y = f(x)
    terms = np.sum(np.abs(g * y)) + np.sum(np.abs(g)) * np.max(np.abs(y)) + np.max(np.abs(x))
    return 64 * EPS * terms / h


def is_off(dx, right, allowed):
    """Where dx is wrong; nan is."""
    return ~(np.abs(dx - right) <= allowed + 1e-9 * np.abs(right))


def compare(dx, f, x, g, h, *why, least=0.0):
    """Raise Wrong, with what the numbers are instead, if they are not those of the formula; least is allowed anyway."""
    right, allowed = central(f, x, g, h), max(least, room(f, x, g, h))
    off = is_off(dx, right, allowed)
    if not np.any(off):
        return
    i = tuple(map(int, np.argwhere(off)[0]))
    hint, meaning = "", []
    if not np.any(is_off(dx, central(f, x, np.ones_like(g), h), allowed)):
        hint, meaning = "upstream", ["-> these are the numbers for a g of ones: multiply by g"]
    elif not np.any(is_off(dx, -right, allowed)):
        hint, meaning = "sign", ["-> the sign is wrong everywhere"]
    else:
        for factor in (2, 0.5):
            if not np.any(is_off(dx, factor * right, allowed)):
                hint, meaning = "two", [f"-> {factor:g} times the right numbers: how far is it from x - h to x + h?"]
            elif not np.any(is_off(dx, central(f, x, g, factor * h), allowed)):
                meaning = [f"-> these are the numbers for {factor:g} h in place of h"]
    raise Wrong(f"dx {x.shape}: {np.sum(off)} of {x.size} wrong, such as {_place('dx', i)} = {dx[i]:.10g}, should be "
                f"{right[i]:.10g}", *meaning, *why, input="x", hint=hint)


def _linear(answer, draw):
    """Of a linear f differences are exact whatever the step is: what is wrong here is no matter of h."""
    x, g, w = draw(3, 5), draw(3, 7), draw(5, 7)
    dx = call(answer, lambda z: z @ w, x, g, 0.25)
    compare(dx, lambda z: z @ w, x, g, 0.25, "here f(x) = x @ w, so y has another shape than x", least=1e-7)
    x, g, w = draw(7), draw(), draw(7)
    dx = call(answer, lambda z: np.sum(w * z), x, g, 0.25)
    compare(dx, lambda z: np.sum(w * z), x, g, 0.25, "here f(x) = sum(w * x), a number", least=1e-7)
    return "y of shapes (3, 7) and ()"


def _order(answer, draw):
    """The order of the error, from two steps; every element of y depends on several elements of x."""
    x, g, w, h = draw(2, 3), draw(2, 5), draw(3, 5), 2.0**-5
    f, right = (lambda z: np.exp(z @ w)), (g * np.exp(x @ w)) @ w.T
    first, second = (call(answer, f, x, g, step) for step in (h, h / 2))
    error, half = (np.sum(np.abs(dx - right)) for dx in (first, second))
    if not half <= 0.2 * np.sum(np.abs(right)):
        raise Wrong(f"even with h = 1/64 dx is far from the gradient of f(x) = exp(x @ w): off by {half:.2g} in sum, "
                    f"where the gradient is {np.sum(np.abs(right)):.2g}", input="x")
    order = np.log2(error / max(half, EPS * error, 1e-300))
    if abs(order - 2) < 0.1:
        return f"half of the step, {half / error:.3f} of the error: order 2"
    lines = []
    for sign, name in ((1, "forward"), (-1, "backward")):
        if not np.any(is_off(first, forward_difference(f, x, g, sign * h), room(f, x, g, h))):
            lines = [f"-> these are the numbers of the {name} difference, (f({'x + h e_i' if sign > 0 else 'x'}) - "
                     f"f({'x' if sign > 0 else 'x - h e_i'})) / h, whose error is about h f'' / 2"]
    if not lines and abs(order) < 0.1:
        lines = ["-> the error is the same for both steps: is h used?"]
    if not lines and abs(order - 1) < 0.3:
        lines = ["-> is every element back where it was when the next one is moved?"]
    raise Wrong(f"half of the step, {half / max(error, 1e-300):.3f} of the error: order {order:.1f}, should be 1/4: "
                "order 2", *lines, input="x")


def _any(answer, draw):
    """Other shapes, types and layouts, and functions that a careless numeric gets wrong."""
    near_zero = draw(3)
    near_zero[1] *= 1e-9
    w = draw(3, 2, 5)
    cases = [
        (lambda z: z * z * z, draw(3, 5), draw(3, 5), 0.7, "h is 0.7 here: the formula is to be followed for any h"),
        (lambda z: np.exp(np.sin(z)), draw(), draw(), 1e-3, "x is a single number here, of shape ()"),
        (lambda z: np.sin(np.tensordot(z, w, 1)), draw(3), draw(2, 5), 1e-3, "y has more axes than x here"),
        (lambda z: np.sum(np.sin(z)) * np.ones((2, 1)), draw(2, 3, 5), draw(2, 1), 1e-3, "x has three axes here"),
        (lambda z: z * z * z, draw.integers(5, 7), draw(7), 0.25,
         "x holds integers here: an array of integers, such as a copy of x or np.zeros_like(x), cuts off fractions"),
        (lambda z: np.sin(z @ w[:, 0]), draw(3, 7).T, draw(7, 5), 1e-3,
         "x is a transposed array here: x.reshape(-1) and x.ravel() are then copies, through which x cannot be moved"),
        (lambda z: z, draw(3, 5), draw(3, 5), 0.25,
         "f returns its argument itself here: where that is moved again, the first result moves with it"),
        (lambda z: z.T, draw(3, 5), draw(5, 3), 0.25,
         "f returns a view of its argument here: where that is moved again, the first result moves with it"),
        (lambda z: np.sin(z), near_zero, draw(3), 1e-3,
         "in floats x + h - h is not always x: keep the old number, and put it back"),
    ]
    for f, x, g, h, why in cases:
        compare(call(answer, f, x, g, h, why), f, x, g, h, why)
    return f"{len(cases)} checks"


def _place(name, index):
    return f"{name}[{', '.join(map(str, index))}]" if index else name


# -- STEP ----------------------------------------------------------------------------------------------------------


def errors_at(h):
    """The bound on the formula's error, and that on rounding's."""
    return h * h / 6, EPS / (2 * h)


def measured_at(h):
    """The root mean square error of the central difference of sin, over 1000 points."""
    x = np.linspace(0.5, 1.5, 1000)
    return np.sqrt(np.mean(((np.sin(x + h) - np.sin(x - h)) / (2 * h) - np.cos(x)) ** 2))


def _step(answer):
    h = answer["STEP"]
    if h is None:
        raise NotImplementedError
    if not isinstance(h, Real):
        raise Wrong(f"STEP is of type {type(h).__name__}, and should be a number")
    h = float(h)
    if not 0 < h < np.inf:
        raise Wrong(f"STEP is {h}, and should be a number above 0")
    (curve, rounding), least = errors_at(h), sum(errors_at(BEST))
    times = (curve + rounding) / least
    if times > AT_MOST:
        size = "large" if curve > rounding else "small"
        raise Wrong(f"{h:.3g} is too {size}: the error is {times:.2g} times the least",
                    f"by the formula h^2 / 6 = {curve:.1e}, by rounding eps / (2 h) = {rounding:.1e}; the sum of both "
                    f"can be {least:.1e}",
                    f"measured for sin at 1000 points: {measured_at(h):.1e}; with the best h {measured_at(BEST):.1e}")
    return f"{h:.3g}: the error is {times:.2g} times the least; measured for sin: {measured_at(h):.1e}"
