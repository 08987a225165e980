# expect: step=gradient elu input=x hint=side
# corpus: ELU: x + alpha
"""The formula for y, used with x."""

from math import erfc, exp, pi, sqrt

import numpy as np


def elu(x, alpha):
    y = np.where(x > 0, x, alpha * np.expm1(x))
    return y, (x, alpha)


def elu_backward(g, saved):
    x, alpha = saved
    return g * np.where(x > 0, 1, x + alpha)


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
