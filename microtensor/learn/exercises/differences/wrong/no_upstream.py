# expect: step=linear f input=x hint=upstream
"""g is forgotten: right for a g of ones only."""

import numpy as np

STEP = 6e-6


def numeric(f, x, g, h):
    dx = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        e = np.zeros(x.shape)
        e[i] = h
        dx[i] = np.sum(f(x + e) - f(x - e)) / (2 * h)
    return dx
