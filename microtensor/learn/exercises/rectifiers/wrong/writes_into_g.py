# expect: step=gradient relu hint=unchanged
"""g itself is set to 0 where x is negative."""

import numpy as np


def relu(x):
    return np.maximum(x, 0), x <= 0


def relu_backward(g, negative):
    g[negative] = 0
    return g


def leaky_relu(x, slope):
    factor = np.where(x > 0, 1, slope)
    return factor * x, factor


def leaky_relu_backward(g, factor):
    return g * factor
