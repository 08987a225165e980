"""Element by element; alpha by halving an interval; at 0 the slope lies in the middle."""

import math

import numpy as np


def phi(t):
    return 0.5 * math.erfc(-t / math.sqrt(2))


def mean(alpha):
    return 1 / math.sqrt(2 * math.pi) + alpha * (math.exp(0.5) * phi(-1) - 0.5)


def constants():
    low, high = 1.0, 2.0
    for _ in range(60):
        middle = (low + high) / 2
        if mean(middle) > 0:
            low = middle
        else:
            high = middle
    square = 0.5 + low**2 * (math.exp(2) * phi(-2) - 2 * math.exp(0.5) * phi(-1) + 0.5)
    return square**-0.5, low


def elu(x, alpha):
    y = np.empty(x.shape, order="F")
    for place in np.ndindex(x.shape):
        y[place] = x[place] if x[place] > 0 else alpha * math.expm1(x[place])
    return y, (x.copy(), alpha)


def elu_backward(g, saved):
    x, alpha = saved
    dx = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        slope = (1 + alpha) / 2
        if x[place] != 0:
            slope = 1 if x[place] > 0 else alpha * math.exp(x[place])
        dx[place] = slope * g[place]
    return dx


def selu(x):
    scale, alpha = constants()
    y, saved = elu(x, alpha)
    return scale * y, saved


def selu_backward(g, saved):
    return elu_backward(constants()[0] * g, saved)
