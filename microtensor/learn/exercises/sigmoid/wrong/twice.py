# expect: step=gradient input=x hint=derivative
# corpus: Sigmoid: s(y)(1-s(y))
"""The sigmoid of y, where y is the sigmoid already."""

import numpy as np


def sigmoid(x):
    e = np.exp(-np.abs(x))
    y = np.where(x >= 0, 1, e) / (1 + e)
    return y, y


def sigmoid_backward(g, y):
    s = sigmoid(y)[0]
    return g * s * (1 - s)
