# expect: step=forward relu
"""x itself is set to 0 where it is negative."""

import numpy as np


def relu(x):
    positive = x > 0
    x[~positive] = 0
    return x, positive


def relu_backward(g, positive):
    return g * positive


def leaky_relu(x, slope):
    factor = np.where(x > 0, 1, slope)
    return factor * x, factor


def leaky_relu_backward(g, factor):
    return g * factor
