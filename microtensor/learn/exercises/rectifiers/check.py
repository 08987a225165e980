"""The steps of rectifiers."""

import numpy as np

from microtensor.learn.steps import Case, forward, gradient

SLOPE, STEEP = 0.1, 0.7
LARGE = np.array([1000.0, -1000.0, 0.0, 1e-9, -1e-9])
AT_A_KINK = "x[0, 1] and x[2, 2] are 0: there any number between the two slopes may stand for y'"


def leaky_relu(x, slope):
    return np.where(x > 0, x, slope * x)


def check(answer, draw):
    x = draw.nonzero(3, 5)
    mostly_positive = draw.positive(2, 3, 5)        # so that its mean is no threshold that will do
    mostly_positive[0, 0, :2], mostly_positive[1, 2, 3] = (-0.3, -1.1), -0.7
    kinks = draw.nonzero(3, 5)
    kinks[0, 1] = kinks[2, 2] = 0

    yield forward(answer, "relu", lambda x: np.maximum(x, 0), Case(x), Case(x[:1]), Case(LARGE), Case(mostly_positive),
                  step_name="forward relu")
    yield gradient(answer, "relu", "relu_backward", [mostly_positive], ("x",), step_name="gradient relu")
    yield gradient(answer, "relu", "relu_backward", [kinks], ("x",), why=AT_A_KINK, step_name="kinks relu")

    yield forward(
        answer, "leaky_relu", leaky_relu,
        Case(x, SLOPE), Case(x[:1], SLOPE), Case(LARGE, SLOPE),
        Case(mostly_positive, STEEP, why=f"slope is {STEEP} here: is it taken from the argument?"),
        Case(x, 0.0, why="slope is 0 here, which makes LeakyReLU the ReLU"),
        step_name="forward leaky_relu",
    )
    for slope, inputs in ((SLOPE, x), (0.0, mostly_positive)):
        yield gradient(answer, "leaky_relu", "leaky_relu_backward", [inputs], ("x",), others=(slope,),
                       why=f"slope is {slope} here", step_name="gradient leaky_relu")
    yield gradient(answer, "leaky_relu", "leaky_relu_backward", [kinks], ("x",), others=(STEEP,),
                   why=f"slope is {STEEP} here, and {AT_A_KINK}", step_name="kinks leaky_relu")

