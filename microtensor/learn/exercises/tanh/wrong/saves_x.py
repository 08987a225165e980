# expect: step=memory
"""All numbers are right, and x is kept for them."""

import numpy as np


def tanh(x):
    return np.tanh(x), x


def tanh_backward(g, x):
    return g * (1 - np.tanh(x) ** 2)
