# expect: step=gradient leaky_relu input=x hint=side
"""The usual 0.01 in place of the slope that forward was given."""

import numpy as np


def relu(x):
    return np.maximum(x, 0), x > 0


def relu_backward(g, positive):
    return g * positive


def leaky_relu(x, slope):
    return np.where(x > 0, x, slope * x), x > 0


def leaky_relu_backward(g, positive):
    return np.where(positive, g, 0.01 * g)
