"""The steps of elu_selu."""

from math import erfc, exp, pi, sqrt

import numpy as np

from microtensor.learn.steps import Case, Wrong, forward, gradient, step

ALPHA, SMALL = 1.3, 0.7
PRECISE = 1e-12
LARGE = np.array([1000.0, -1000.0, 0.0, 30.0, -30.0])
NEAR = np.array([-1e-9, 1e-9, -3e-12, 1e-7])
FAR_OFF = "e^1000 is inf as a float: does it get into the result, as inf * 0 or inf - inf?"
TOO_NEAR = "e^x - 1 as a difference of floats has lost half of its digits here: see np.expm1"
AT_A_KINK = "x[0, 1] and x[2, 2] are 0: there any number between the two slopes may stand for y'"


def elu(x, alpha):
    return np.where(x > 0, x, alpha * np.expm1(x))


def negative_part(a):
    """E[e^(az); z <= 0] for a standard normal z."""
    return exp(a * a / 2) * erfc(a / sqrt(2)) / 2


POSITIVE_MEAN, POSITIVE_SQUARE = 1 / sqrt(2 * pi), 1 / 2                # E[z; z > 0], E[z^2; z > 0]
NEGATIVE_MEAN = negative_part(1) - 1 / 2                                # E[e^z - 1; z <= 0]
NEGATIVE_SQUARE = negative_part(2) - 2 * negative_part(1) + 1 / 2       # E[(e^z - 1)^2; z <= 0]
SELU_ALPHA = -POSITIVE_MEAN / NEGATIVE_MEAN
LAMBDA = 1 / sqrt(POSITIVE_SQUARE + SELU_ALPHA**2 * NEGATIVE_SQUARE)


def selu(x):
    return LAMBDA * elu(x, SELU_ALPHA)


def check(answer, draw):
    x = draw.nonzero(3, 5)
    kinks = draw.nonzero(3, 5)
    kinks[0, 1] = kinks[2, 2] = 0

    yield forward(
        answer, "elu", elu,
        Case(x, ALPHA), Case(draw(2, 3, 7), SMALL), Case(x[:1], ALPHA),
        Case(LARGE, ALPHA, why=FAR_OFF), Case(NEAR, ALPHA, why=TOO_NEAR),
        step_name="forward elu",
    )
    for alpha, inputs in ((ALPHA, x), (SMALL, draw.nonzero(2, 3, 5))):
        yield gradient(answer, "elu", "elu_backward", [inputs], ("x",), others=(alpha,),
                       why=f"alpha is {alpha} here", step_name="gradient elu")
    yield gradient(answer, "elu", "elu_backward", [kinks], ("x",), others=(ALPHA,),
                   why=f"alpha is {ALPHA} here, and {AT_A_KINK}", step_name="kinks elu")

    yield step(answer, "constants", lambda: compare_constants(answer["constants"]()))

    yield forward(
        answer, "selu", selu,
        Case(x, why="are both constants right, and used?"), Case(draw(2, 3, 7)), Case(x[:1]),
        Case(LARGE, why=FAR_OFF), Case(NEAR, why=TOO_NEAR),
        step_name="forward selu",
    )
    yield gradient(answer, "selu", "selu_backward", [x], ("x",), step_name="gradient selu")
    yield gradient(answer, "selu", "selu_backward", [kinks], ("x",), why=AT_A_KINK, step_name="kinks selu")


def compare_constants(found):
    """The text of the step: which constants were found; for wrong ones, which demand they do not meet.

    Raises:
        Wrong: if they are not SELU's.
    """
    pair = list(found) if isinstance(found, (tuple, list)) or (isinstance(found, np.ndarray) and found.ndim) else []
    if len(pair) != 2 or not all(map(is_float, pair)):
        raise Wrong(f"constants returns {' '.join(repr(found).split()):.60}, and should return two floats: "
                    "(lambda, alpha)")
    scale, alpha = map(np.float64, pair)
    shown = f"lambda = {scale:.15g}, alpha = {alpha:.15g}"
    if agree(scale, LAMBDA) and agree(alpha, SELU_ALPHA):
        return shown
    if agree(scale, SELU_ALPHA) and agree(alpha, LAMBDA):
        raise Wrong("constants returns (alpha, lambda), and should return (lambda, alpha)")
    mean = scale * (POSITIVE_MEAN + alpha * NEGATIVE_MEAN)
    square = scale**2 * (POSITIVE_SQUARE + alpha**2 * NEGATIVE_SQUARE)
    demands = [f"with these E[y] = {mean:.6g}, and should be 0, which alpha alone decides",
               f"and E[y^2] = {square:.12g}, and should be 1"]
    if max(abs(scale / LAMBDA - 1), abs(alpha / SELU_ALPHA - 1)) < 1e-3:
        demands.append("these are a few digits of the right numbers: all that a float has are asked for")
    raise Wrong(shown, *demands)


def is_float(x):
    return isinstance(x, float | np.floating) or (isinstance(x, np.ndarray) and x.ndim == 0 and x.dtype.kind == "f")


def agree(found, right):
    return abs(found - right) <= PRECISE * right
