# expect: step=constants
"""The integrals by samples, which give two digits."""

import numpy as np


def elu(x, alpha):
    y = np.where(x > 0, x, alpha * np.expm1(x))
    return y, (y, alpha)


def elu_backward(g, saved):
    y, alpha = saved
    return g * np.where(y > 0, 1, y + alpha)


def constants():
    z = np.random.default_rng(0).standard_normal(10**4)
    right, left = np.maximum(z, 0), np.expm1(np.minimum(z, 0))
    alpha = -right.mean() / left.mean()
    scale = np.mean((right + alpha * left) ** 2) ** -0.5
    return scale, alpha


def selu(x):
    scale, alpha = constants()
    y = scale * elu(x, alpha)[0]
    return y, y


def selu_backward(g, y):
    scale, alpha = constants()
    return g * np.where(y > 0, scale, y + scale * alpha)
