# expect: step=gradient input=x hint=sign
# corpus: Sigmoid: sign
"""The sign of e^-x, differentiated, is lost."""

import numpy as np


def sigmoid(x):
    e = np.exp(-np.abs(x))
    y = np.where(x >= 0, 1, e) / (1 + e)
    return y, y


def sigmoid_backward(g, y):
    return -g * y * (1 - y)
