# expect: step=gradient input=x hint=derivative
# corpus: Tanh: 1-x^2
"""1 - x^2: the formula for y, used with x."""

import numpy as np


def tanh(x):
    return np.tanh(x), x


def tanh_backward(g, x):
    return g * (1 - x**2)
