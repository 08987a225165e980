# expect: step=gradient relu input=x hint=mask
"""The saved copy of x is centred after y was computed."""

import numpy as np


def relu(x):
    z = x.copy()
    y = np.maximum(z, 0)
    z -= z.mean()
    return y, z


def relu_backward(g, z):
    return g * (z > 0)


def leaky_relu(x, slope):
    factor = np.where(x > 0, 1, slope)
    return factor * x, factor


def leaky_relu_backward(g, factor):
    return g * factor
