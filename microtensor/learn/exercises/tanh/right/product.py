"""By expm1, which keeps the digits of small x; the derivative as a product; a tuple is saved."""

import numpy as np


def tanh(x):
    e = np.expm1(-2 * np.abs(x))            # e^(-2|x|) - 1, never above 0
    y = np.sign(x) * -e / (e + 2)
    return y, (y,)


def tanh_backward(g, saved):
    (y,) = saved
    dx = (1 - y) * (1 + y)
    dx *= g
    return dx
