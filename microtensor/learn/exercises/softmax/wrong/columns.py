# expect: step=forward
"""Along the first axis, as if rows were columns."""

import numpy as np


def softmax(x):
    e = np.exp(x - x.max(0, keepdims=True))
    y = e / e.sum(0, keepdims=True)
    return y, y


def softmax_backward(g, y):
    return y * (g - (g * y).sum(0, keepdims=True))
