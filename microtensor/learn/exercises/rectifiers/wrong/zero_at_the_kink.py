# expect: step=kinks leaky_relu input=x
"""At 0 neither condition holds, and 0 does not lie between the slopes."""

import numpy as np


def relu(x):
    return np.maximum(x, 0), x > 0


def relu_backward(g, positive):
    return g * positive


def leaky_relu(x, slope):
    return np.where(x > 0, x, slope * x), (x, slope)


def leaky_relu_backward(g, saved):
    x, slope = saved
    return g * ((x > 0) + slope * (x < 0))
