# expect: step=forward relu
"""All calls write into one array, and return it."""

import numpy as np

BUFFERS = {}


def relu(x):
    y = BUFFERS.setdefault(x.shape, np.empty(x.shape))
    np.maximum(x, 0, out=y)
    return y, x > 0


def relu_backward(g, positive):
    return g * positive


def leaky_relu(x, slope):
    factor = np.where(x > 0, 1, slope)
    return factor * x, factor


def leaky_relu_backward(g, factor):
    return g * factor
