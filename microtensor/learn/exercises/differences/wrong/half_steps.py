# expect: step=any f input=x
"""A central difference of order 2, of half the step that was asked for."""

import numpy as np

STEP = 6e-6


def numeric(f, x, g, h):
    dx = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        e = np.zeros(x.shape)
        e[i] = h / 2
        dx[i] = np.sum(g * (f(x + e) - f(x - e))) / h
    return dx
