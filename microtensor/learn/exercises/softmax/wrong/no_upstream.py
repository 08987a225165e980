# expect: step=gradient input=x hint=upstream
"""g is forgotten."""

import numpy as np


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    y = e / e.sum(-1, keepdims=True)
    return y, y


def softmax_backward(g, y):
    return y * (1 - y)
