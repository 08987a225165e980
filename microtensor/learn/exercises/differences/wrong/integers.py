# expect: step=any f
"""dx is of the type of x: integers cut off fractions."""

import numpy as np

STEP = 6e-6


def numeric(f, x, g, h):
    dx = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        e = np.zeros(x.shape)
        e[i] = h
        dx[i] = np.sum(g * (f(x + e) - f(x - e))) / (2 * h)
    return dx
