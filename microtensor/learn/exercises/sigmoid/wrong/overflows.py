# expect: step=forward
"""e^x / (1 + e^x) overflows."""

import numpy as np


def sigmoid(x):
    e = np.exp(x)
    y = e / (1 + e)
    return y, y


def sigmoid_backward(g, y):
    return g * y * (1 - y)
