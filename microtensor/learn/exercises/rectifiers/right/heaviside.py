"""By the absolute value and the sign: y = (x + |x|) / 2, y' = (1 + sign x) / 2, which is 1/2 at 0."""

import numpy as np


def relu(x):
    return 0.5 * (x + np.abs(x)), np.sign(x).astype(np.int8)


def relu_backward(g, sign):
    return g * (1 + sign) / 2


def leaky_relu(x, slope):
    y = slope * x + (1 - slope) * relu(x)[0]
    return y, (slope + (1 - slope) * np.heaviside(x, 0.5),)


def leaky_relu_backward(g, saved):
    return g * saved[0]
