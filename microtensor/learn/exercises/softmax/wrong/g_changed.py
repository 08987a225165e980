# expect: step=gradient hint=unchanged
"""The sum is subtracted from g in place."""

import numpy as np


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    y = e / e.sum(-1, keepdims=True)
    return y, y


def softmax_backward(g, y):
    g -= (g * y).sum(-1, keepdims=True)
    return y * g
