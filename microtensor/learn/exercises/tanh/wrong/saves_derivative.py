# expect: step=memory
"""The derivative is computed in forward, and kept beside y."""

import numpy as np


def tanh(x):
    y = np.tanh(x)
    return y, 1 - y * y


def tanh_backward(g, derivative):
    return g * derivative
