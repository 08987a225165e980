# expect: step=forward
"""A small number is added to the denominator, which is never small."""

import numpy as np


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    y = e / (e.sum(-1, keepdims=True) + 1e-8)
    return y, y


def softmax_backward(g, y):
    return y * (g - (g * y).sum(-1, keepdims=True))
