# expect: step=gradient input=x hint=derivative
"""The tanh of y, where y is the tanh already."""

import numpy as np


def tanh(x):
    y = np.tanh(x)
    return y, y


def tanh_backward(g, y):
    return g * (1 - np.tanh(y) ** 2)
