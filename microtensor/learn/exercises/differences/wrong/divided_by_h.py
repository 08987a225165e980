# expect: step=linear f input=x hint=two
"""Divided by h, and moved by 2 h in all."""

import numpy as np

STEP = 6e-6


def numeric(f, x, g, h):
    dx = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        e = np.zeros(x.shape)
        e[i] = h
        dx[i] = np.sum(g * (f(x + e) - f(x - e))) / h
    return dx
