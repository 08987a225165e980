# expect: step=gradient relu input=x hint=stale
"""x is kept in one place for all calls, where the next call overwrites it."""

import numpy as np

KEPT = {}


def relu(x):
    KEPT["x"] = x
    return np.maximum(x, 0), None


def relu_backward(g, saved):
    return g * (KEPT["x"] > 0)


def leaky_relu(x, slope):
    factor = np.where(x > 0, 1, slope)
    return factor * x, factor


def leaky_relu_backward(g, factor):
    return g * factor
