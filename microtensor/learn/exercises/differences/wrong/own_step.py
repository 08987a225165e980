# expect: step=order input=x
"""h is not used."""

import numpy as np

STEP = 6e-6


def numeric(f, x, g, h):
    dx = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        e = np.zeros(x.shape)
        e[i] = STEP
        dx[i] = np.sum(g * (f(x + e) - f(x - e))) / (2 * STEP)
    return dx
