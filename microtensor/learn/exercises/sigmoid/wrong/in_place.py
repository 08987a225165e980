# expect: step=gradient hint=unchanged
# corpus: Sigmoid: the upstream gradient is overwritten
"""g is written into."""

import numpy as np


def sigmoid(x):
    e = np.exp(-np.abs(x))
    y = np.where(x >= 0, 1, e) / (1 + e)
    return y, y


def sigmoid_backward(g, y):
    g *= y
    g *= 1 - y
    return g
