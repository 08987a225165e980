# expect: step=gradient input=x hint=upstream
"""g is forgotten."""

import numpy as np


def tanh(x):
    y = np.tanh(x)
    return y, y


def tanh_backward(g, y):
    return 1 - y * y
