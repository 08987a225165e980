# expect: step=gradient leaky_relu input=x hint=derivative
"""y >= 0 says nothing of x where slope is 0."""

import numpy as np


def relu(x):
    return np.maximum(x, 0), x > 0


def relu_backward(g, positive):
    return g * positive


def leaky_relu(x, slope):
    y = np.where(x > 0, x, slope * x)
    return y, (y, slope)


def leaky_relu_backward(g, saved):
    y, slope = saved
    return np.where(y >= 0, g, slope * g)
