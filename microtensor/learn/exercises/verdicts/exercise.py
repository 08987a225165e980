"""Verdicts.                                                  about 10 minutes

microtensor's checker, check_function(forward, backward, [x]), holds a backward pass against differences: it moves
each element of x a little, and measures how the output changes. Its report begins with one word, the verdict:

    PASS            backward and the differences agree; an error of 1e-7 of the gradient's size would have shown
    KINK            they agree; at a kink, where the slopes left and right differ, backward's is from one to the other
    FAIL            they disagree, or backward does something else wrong, such as changing an array that it was given
    VACUOUS         the gradient is zero everywhere here, though not for every x: nothing was tested
    WEAK            they agree, but an error of 1e-7 could hide in the 16 digits of float64, as where y is very large
    PRECISION       they agree as far as forward is computed, and it computes with fewer digits than those 16
    NOISY           forward gives another output when it is called again with the same x
    DISCONTINUOUS   forward jumps at an element of x: there is no gradient
    NONFINITE       forward or backward gives inf or nan at this x

PASS and KINK are a success. All others are not: the gradient is wrong, or was not shown to be right.

Below are nine pairs of forward and backward, each with its x. forward(x) returns y. backward(g, x) returns
dx = dL/dx, which has the shape of x. g is the upstream gradient dL/dy: the derivative of a number L, the loss, with
respect to every element of y; the checker draws it at random.

Write the verdict of every pair into ANSWERS at the end. A verdict belongs to a pair at its x; at another x it may be
another one. Capital and small letters are the same.

Find the verdicts by reading; you may also call the functions. The checker itself may not be imported here.
"""

import numpy as np

PAIRS = {}


def relu(x):
    return np.maximum(x, 0)


def relu_backward(g, x):
    return g * (x > 0)


PAIRS["a"] = relu, relu_backward, np.array([0.5, -1.2, 2.0])
PAIRS["b"] = relu, relu_backward, np.array([0.5, 0.0, -2.0])
PAIRS["c"] = relu, relu_backward, np.array([-0.5, -1.2, -2.0])


def square(x):
    return x**2


def square_backward(g, x):
    g *= 2 * x
    return g


PAIRS["d"] = square, square_backward, np.array([0.5, -1.2, 2.0])


def fraction(x):
    return x - np.floor(x)              # floor: the largest integer that is not above x


def fraction_backward(g, x):
    return 1.0 * g


PAIRS["e"] = fraction, fraction_backward, np.array([0.5, 1.0, 2.7])


def sine(x):
    return np.sin(x.astype(np.float32)).astype(np.float64)


def sine_backward(g, x):
    return g * np.cos(x)


PAIRS["f"] = sine, sine_backward, np.array([0.3, 0.6, -0.8, 1.1, -1.4])


def root(x):
    return np.sqrt(x)


def root_backward(g, x):
    return g / (2 * np.sqrt(x))


PAIRS["g"] = root, root_backward, np.array([0.25, 0.0, 4.0])


def jitter(x):
    return x + 0.1 * np.random.default_rng().standard_normal(x.shape)


def jitter_backward(g, x):
    return 1.0 * g


PAIRS["h"] = jitter, jitter_backward, np.array([0.5, -1.2, 2.0])


def shifted_loss(x):
    return np.sum(x**2) + 1e9


def shifted_loss_backward(g, x):
    return g * 2 * x


PAIRS["i"] = shifted_loss, shifted_loss_backward, np.array([0.5, -1.2, 2.0])


ANSWERS = {"a": "", "b": "", "c": "", "d": "", "e": "", "f": "", "g": "", "h": "", "i": ""}


if __name__ == "__main__":
    from microtensor import learn

    learn.main(__file__)
