# expect: step=any f input=x
"""Where f returns its argument, both results are one array."""

import numpy as np

STEP = 6e-6


def numeric(f, x, g, h):
    z = np.array(x, dtype=float, order="C")
    dx = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        z[i] = x[i] + h
        plus = f(z)
        z[i] = x[i] - h
        minus = f(z)
        z[i] = x[i]
        dx[i] = np.sum(g * (plus - minus)) / (2 * h)
    return dx
