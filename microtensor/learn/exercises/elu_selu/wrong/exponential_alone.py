# expect: step=gradient elu input=x hint=side
"""The factor alpha is lost when e^x is differentiated."""

from math import erfc, exp, pi, sqrt

import numpy as np


def elu(x, alpha):
    return np.where(x > 0, x, alpha * np.expm1(x)), x


def elu_backward(g, x):
    return np.where(x > 0, g, g * np.exp(x))


def negative_part(a):
    return exp(a * a / 2) * erfc(a / sqrt(2)) / 2


def constants():
    alpha = 1 / sqrt(2 * pi) / (1 / 2 - negative_part(1))
    square = 1 / 2 + alpha**2 * (negative_part(2) - 2 * negative_part(1) + 1 / 2)
    return square**-0.5, alpha


def selu(x):
    scale, alpha = constants()
    y = scale * elu(x, alpha)[0]
    return y, y


def selu_backward(g, y):
    scale, alpha = constants()
    return g * np.where(y > 0, scale, y + scale * alpha)
