"""x is saved, and looked at again; the right slope at 0."""

import numpy as np


def relu(x):
    return np.where(x > 0, x, 0), x


def relu_backward(g, x):
    return np.where(x >= 0, g, 0)


def leaky_relu(x, slope):
    return np.where(x >= 0, x, slope * x), (x, slope)


def leaky_relu_backward(g, saved):
    x, slope = saved
    return np.where(x < 0, slope * g, g)
