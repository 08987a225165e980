# expect: step=order input=x
"""The forward difference: the error is of order 1."""

import numpy as np

STEP = 6e-6


def numeric(f, x, g, h):
    dx = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        e = np.zeros(x.shape)
        e[i] = h
        dx[i] = np.sum(g * (f(x + e) - f(x))) / h
    return dx
