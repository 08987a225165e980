"""The steps of reduce."""

import numpy as np

from microtensor.learn.steps import BETWEEN, Case, Wrong, forward, gradient, output_of, step

AXES = (            # shapes of x, and the axis
    ((3, 5), 1), ((2, 3, 5), -2), ((3, 5), 0), ((2, 3, 5), 0), ((2, 3, 5), 2), ((2, 3, 5), -1), ((2, 3, 5), -3),
    ((1, 5), 0), ((5, 1), 1), ((7,), 0), ((7,), -1))
EXPLAINED = 2       # so many of them are given to the checker, which explains what is wrong
LOW = np.array([[-1e300, -2e300, -3e300], [-1000.0, -1000.5, -3000.0]])
REFERENCES = {"sum": np.sum, "mean": np.mean, "max": np.max}


def check(answer, draw):
    for kind in REFERENCES:
        make = draw.distinct if kind == "max" else draw
        inputs = [(make(*shape), axis, of(shape, axis)) for shape, axis in AXES]
        at_ties = [(x, axis, f"{of(x.shape, axis)}, and elements are tied: the shares of a tie must add up to g")
                   for x, axis in (ties(draw) if kind == "max" else ())]
        yield forward(answer, f"{kind}_along", REFERENCES[kind],
                      *(Case(x, axis, why=why) for x, axis, why in inputs + at_ties),
                      Case(LOW, 1, why="here all elements are negative, and some are very low"),
                      step_name=f"forward {kind}")
        for x, axis, why in inputs[:EXPLAINED] + at_ties[:1]:
            yield gradient(answer, f"{kind}_along", f"{kind}_along_backward", [x], ("x",), others=(axis,), why=why,
                           step_name=f"gradient {kind}")
        x, axis, _ = inputs[0]
        yield gradient(answer, f"{kind}_along", f"{kind}_along_backward", [x], ("x",), others=(axis,),
                       between=(make(5, 2), 0), why=BETWEEN, step_name=f"gradient {kind}")
        yield look_at_shares(answer, kind, inputs + at_ties, draw)


def look_at_shares(answer, kind, inputs, draw):
    """A step: every element has the right share of its g, dx / g, along all axes and at all ties.

    Args:
        answer: the Answer.
        kind: "sum", "mean" or "max".
        inputs: x, the axis, and what to say where it is wrong, for each case.
        draw: the Draw.
    """

    def run():
        for x, axis, why in inputs:
            found, right = answer[f"{kind}_along"](x.copy(), axis), REFERENCES[kind](x, axis, keepdims=True)
            y = output_of(found, f"{kind}_along", saves=True)
            if y.shape != right.squeeze(axis).shape or not np.allclose(y, right.squeeze(axis)):
                continue                                    # forward has failed at this
            g = draw.nonzero(*y.shape)
            dx = answer[f"{kind}_along_backward"](g.copy(), found[1])
            if np.shape(dx) != x.shape:
                raise Wrong(f"{kind}_along_backward returns shape {np.shape(dx)}, should be {x.shape}", why, input="x")
            shares, n = dx / np.expand_dims(g, axis), x.shape[axis]
            if kind == "max":
                share_out(shares, x == right, axis, why)
            elif not np.allclose(shares, 1 if kind == "sum" else 1 / n, rtol=1e-12):
                raise Wrong(f"dx is not {'g' if kind == 'sum' else 'g / n'} everywhere", why, input="x")

    return step(answer, f"gradient {kind}", run)


def share_out(shares, is_largest, axis, why):
    """Raise Wrong unless the largest elements, and no others, share g out."""
    totals, counts = shares.sum(axis), is_largest.sum(axis)
    wrong = np.argwhere(~(np.abs(totals - 1) <= 1e-12))
    if np.any(np.abs(shares[~is_largest]) > 1e-12):
        raise Wrong("dx is not 0 at elements that are not the largest", why, input="x", hint="mask")
    if len(wrong):
        place = tuple(wrong[0])
        raise Wrong(f"the shares of {counts[place]} tied elements add up to {totals[place]:.6g} g, should be g", why,
                    input="x", hint="ties")
    if np.min(shares) < -1e-12:
        raise Wrong("tied elements have shares below 0, and so others have more than all of g", why, input="x",
                    hint="ties")


def ties(draw):
    """(x, axis) with ties of two, of three, of a whole row of zeros, and of all elements."""
    twos = draw.distinct(3, 5)
    twos[:, 1] = twos[:, 3] = twos.max(1) + 0.5
    threes = draw.distinct(2, 3, 5)
    threes[0, :, 1] = 0
    threes[1, :2, 4] = threes.max() + 0.5
    return (twos, 1), (threes, 1), (threes, -1), (np.zeros((5, 7)), 0), (np.zeros(3), 0)


def of(shape, axis):
    return f"here x has the shape {shape}, and axis = {axis}"
