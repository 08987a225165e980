"""Tanh: with c = e^x + e^-x and s = e^x - e^-x, which are each other's derivatives, y = s / c and

    y' = (c c - s s) / c^2 = 1 - y^2

so backward needs y alone, which is kept in any case.
"""

import numpy as np


def tanh(x):
    y = np.tanh(x)
    return y, y


def tanh_backward(g, y):
    return g * (1 - y * y)
