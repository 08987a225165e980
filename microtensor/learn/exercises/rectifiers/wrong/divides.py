# expect: step=kinks relu input=x
"""y / x is the slope, but nan at 0."""

import numpy as np


def relu(x):
    y = np.maximum(x, 0)
    return y, (x, y)


def relu_backward(g, saved):
    x, y = saved
    return g * y / x


def leaky_relu(x, slope):
    factor = np.where(x > 0, 1, slope)
    return factor * x, factor


def leaky_relu_backward(g, factor):
    return g * factor
