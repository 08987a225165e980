"""ELU and SELU: on the left y' = alpha e^x = alpha (e^x - 1) + alpha = y + alpha, and y > 0 tells where x > 0.

SELU's constants, for a standard normal z, with P(z <= -a) = erfc(a / sqrt 2) / 2:
E[z; z > 0] = 1 / sqrt(2 pi), E[z^2; z > 0] = 1/2, and as az - z^2/2 = a^2/2 - (z - a)^2/2,
E[e^(az); z <= 0] = e^(a^2/2) P(z <= -a).
"""

from math import erfc, exp, pi, sqrt

import numpy as np


def elu(x, alpha):
    y = np.where(x > 0, x, alpha * np.expm1(x))
    return y, (y, alpha)


def elu_backward(g, saved):
    y, alpha = saved
    return g * np.where(y > 0, 1, y + alpha)


def negative_part(a):
    """E[e^(az); z <= 0] for a standard normal z."""
    return exp(a * a / 2) * erfc(a / sqrt(2)) / 2


def constants():
    mean = negative_part(1) - 1 / 2                                 # E[e^z - 1; z <= 0]
    square = negative_part(2) - 2 * negative_part(1) + 1 / 2        # E[(e^z - 1)^2; z <= 0]
    alpha = -1 / sqrt(2 * pi) / mean
    scale = 1 / sqrt(1 / 2 + alpha**2 * square)
    return scale, alpha


def selu(x):
    scale, alpha = constants()
    y, saved = elu(x, alpha)
    return scale * y, saved


def selu_backward(g, saved):
    scale, _ = constants()
    return scale * elu_backward(g, saved)
