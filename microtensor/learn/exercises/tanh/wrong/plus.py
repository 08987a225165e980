# expect: step=gradient input=x
"""1 + y^2, the derivative of the tangent."""

import numpy as np


def tanh(x):
    y = np.tanh(x)
    return y, y


def tanh_backward(g, y):
    return g * (1 + y * y)
