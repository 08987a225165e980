# expect: step=STEP
"""Too large: most of the digits are lost to the curve."""

import numpy as np

STEP = 1e-3


def numeric(f, x, g, h):
    dx = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        e = np.zeros(x.shape)
        e[i] = h
        dx[i] = np.sum(g * (f(x + e) - f(x - e))) / (2 * h)
    return dx
