# expect: step=forward
"""The maximum of all rows is subtracted from each."""

import numpy as np


def softmax(x):
    e = np.exp(x - x.max())
    y = e / e.sum(-1, keepdims=True)
    return y, y


def softmax_backward(g, y):
    return y * (g - (g * y).sum(-1, keepdims=True))
