# expect: step=forward
"""Nothing is subtracted: e^1000 is inf."""

import numpy as np


def softmax(x):
    e = np.exp(x)
    y = e / e.sum(-1, keepdims=True)
    return y, y


def softmax_backward(g, y):
    return y * (g - (g * y).sum(-1, keepdims=True))
