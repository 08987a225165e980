# expect: step=gradient input=x hint=lines
# corpus: One element of 35 wrong by 1e-4
"""One element of 35 is wrong by 1e-4, as where a loop is special in one place."""

import numpy as np


def tanh(x):
    y = np.tanh(x)
    return y, y


def tanh_backward(g, y):
    dx = g * (1 - y**2)
    if y.shape == (7, 5):
        dx[3, 2] *= 1 + 1e-4
    return dx
