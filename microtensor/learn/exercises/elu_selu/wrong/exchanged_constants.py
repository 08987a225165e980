# expect: step=constants
"""(alpha, lambda) for (lambda, alpha)."""

from math import erfc, exp, pi, sqrt

import numpy as np


def elu(x, alpha):
    y = np.where(x > 0, x, alpha * np.expm1(x))
    return y, (y, alpha)


def elu_backward(g, saved):
    y, alpha = saved
    return g * np.where(y > 0, 1, y + alpha)


def negative_part(a):
    return exp(a * a / 2) * erfc(a / sqrt(2)) / 2


def constants():
    alpha = 1 / sqrt(2 * pi) / (1 / 2 - negative_part(1))
    square = 1 / 2 + alpha**2 * (negative_part(2) - 2 * negative_part(1) + 1 / 2)
    return alpha, square**-0.5


def selu(x):
    alpha, scale = constants()
    y = scale * elu(x, alpha)[0]
    return y, y


def selu_backward(g, y):
    alpha, scale = constants()
    return g * np.where(y > 0, scale, y + scale * alpha)
