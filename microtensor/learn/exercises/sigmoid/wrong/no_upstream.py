# expect: step=gradient input=x hint=upstream
"""g is forgotten."""

import numpy as np


def sigmoid(x):
    e = np.exp(-np.abs(x))
    y = np.where(x >= 0, 1, e) / (1 + e)
    return y, y


def sigmoid_backward(g, y):
    return y * (1 - y)
