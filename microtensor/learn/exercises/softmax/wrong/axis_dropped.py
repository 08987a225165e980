# expect: step=gradient
"""The sum of each row lacks its axis, and does not fit."""

import numpy as np


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    y = e / e.sum(-1, keepdims=True)
    return y, y


def softmax_backward(g, y):
    return y * (g - (g * y).sum(-1))
