# expect: step=gradient relu input=x hint=upstream
# corpus: ReLU: mask without g
"""The mask alone, without g."""

import numpy as np


def relu(x):
    return np.maximum(x, 0), x > 0


def relu_backward(g, positive):
    return np.where(positive, 1.0, 0.0)


def leaky_relu(x, slope):
    factor = np.where(x > 0, 1, slope)
    return factor * x, factor


def leaky_relu_backward(g, factor):
    return g * factor
