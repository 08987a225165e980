# expect: step=forward
"""e^1000 is inf."""

import numpy as np


def tanh(x):
    y = (np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x))
    return y, y


def tanh_backward(g, y):
    return g * (1 - y * y)
