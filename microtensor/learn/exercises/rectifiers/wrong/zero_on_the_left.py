# expect: step=gradient leaky_relu input=x hint=mask
# corpus: LeakyReLU: 0 on the left
"""The backward pass of ReLU."""

import numpy as np


def relu(x):
    return np.maximum(x, 0), x > 0


def relu_backward(g, positive):
    return g * positive


def leaky_relu(x, slope):
    return np.where(x > 0, x, slope * x), x > 0


def leaky_relu_backward(g, positive):
    return g * positive
