# expect: step=forward leaky_relu
"""The lower of the two lines in place of the upper one."""

import numpy as np


def relu(x):
    return np.maximum(x, 0), x > 0


def relu_backward(g, positive):
    return g * positive


def leaky_relu(x, slope):
    return np.minimum(x, slope * x), (x, slope)


def leaky_relu_backward(g, saved):
    x, slope = saved
    return np.where(x > 0, slope * g, g)
