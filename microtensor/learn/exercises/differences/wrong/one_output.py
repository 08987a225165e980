# expect: step=linear f
"""y is taken to be one number."""

import numpy as np

STEP = 6e-6


def numeric(f, x, g, h):
    dx = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        e = np.zeros(x.shape)
        e[i] = h
        dx[i] = g * (f(x + e) - f(x - e)) / (2 * h)
    return dx
