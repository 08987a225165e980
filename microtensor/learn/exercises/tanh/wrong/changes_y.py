# expect: step=gradient hint=unchanged
"""y is written into, and the next layer needs it."""

import numpy as np


def tanh(x):
    y = np.tanh(x)
    return y, y


def tanh_backward(g, y):
    y *= y
    return g * (1 - y)
