# expect: step=linear f input=x hint=unchanged
"""x is moved, and left so."""

import numpy as np

STEP = 6e-6


def numeric(f, x, g, h):
    dx = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        x[i] += h
        plus = f(x)
        x[i] -= 2 * h
        minus = f(x)
        dx[i] = np.sum(g * (plus - minus)) / (2 * h)
    return dx
