# expect: step=forward
"""The mean of a row is subtracted, from which a score may be far."""

import numpy as np


def softmax(x):
    e = np.exp(x - x.mean(-1, keepdims=True))
    y = e / e.sum(-1, keepdims=True)
    return y, y


def softmax_backward(g, y):
    return y * (g - (g * y).sum(-1, keepdims=True))
