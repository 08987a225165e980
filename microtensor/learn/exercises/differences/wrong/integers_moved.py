# expect: step=any f input=x
"""The copy of x is of the type of x: a step of 1/4 leaves integers where they are, or moves them by 1."""

import numpy as np

STEP = 6e-6


def numeric(f, x, g, h):
    dx = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[i] += h
        down[i] -= h
        dx[i] = np.sum(g * (f(up) - f(down))) / (2 * h)
    return dx
