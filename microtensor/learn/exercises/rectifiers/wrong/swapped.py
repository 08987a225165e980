# expect: step=gradient leaky_relu input=x hint=sides
# corpus: LeakyReLU: slopes swapped
"""The two slopes are swapped."""

import numpy as np


def relu(x):
    return np.maximum(x, 0), x > 0


def relu_backward(g, positive):
    return g * positive


def leaky_relu(x, slope):
    return np.where(x > 0, x, slope * x), (x > 0, slope)


def leaky_relu_backward(g, saved):
    positive, slope = saved
    return g * np.where(positive, slope, 1)
