# expect: step=constants
"""Eight digits from memory."""

import numpy as np


def elu(x, alpha):
    y = np.where(x > 0, x, alpha * np.expm1(x))
    return y, (y, alpha)


def elu_backward(g, saved):
    y, alpha = saved
    return g * np.where(y > 0, 1, y + alpha)


def constants():
    return 1.0507010, 1.6732632


def selu(x):
    scale, alpha = constants()
    y = scale * elu(x, alpha)[0]
    return y, y


def selu_backward(g, y):
    scale, alpha = constants()
    return g * np.where(y > 0, scale, y + scale * alpha)
