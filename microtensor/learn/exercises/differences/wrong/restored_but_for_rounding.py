# expect: step=linear f input=x hint=unchanged
"""x is moved back by a sum, which rounds."""

import numpy as np

STEP = 6e-6


def numeric(f, x, g, h):
    moved = x if x.dtype.kind == "f" else x.astype(float)
    dx = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        moved[i] += h
        plus = np.sum(g * f(moved))
        moved[i] -= 2 * h
        minus = np.sum(g * f(moved))
        moved[i] += h
        dx[i] = (plus - minus) / (2 * h)
    return dx
