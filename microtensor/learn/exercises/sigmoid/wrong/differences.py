# expect: step=gradient
"""Differences of forward in place of a formula."""

import numpy as np


def sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e), x


def sigmoid_backward(g, x):
    h = 1e-5
    return g * (sigmoid(x + h)[0] - sigmoid(x - h)[0]) / (2 * h)
