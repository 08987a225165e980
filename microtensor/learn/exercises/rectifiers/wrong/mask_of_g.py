# expect: step=gradient relu input=x hint=nonlinear
# corpus: ReLU: mask of g for mask of x
"""The condition looks at g."""

import numpy as np


def relu(x):
    return np.maximum(x, 0), None


def relu_backward(g, saved):
    return np.maximum(g, 0)


def leaky_relu(x, slope):
    factor = np.where(x > 0, 1, slope)
    return factor * x, factor


def leaky_relu_backward(g, factor):
    return g * factor
