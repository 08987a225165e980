# expect: step=gradient input=x hint=derivative
# corpus: Sigmoid: x(1-x)
"""x (1 - x): the formula for y, used with x."""

import numpy as np


def sigmoid(x):
    e = np.exp(-np.abs(x))
    y = np.where(x >= 0, 1, e) / (1 + e)
    return y, x


def sigmoid_backward(g, x):
    return g * x * (1 - x)
