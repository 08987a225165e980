"""A flat copy in C order, whose elements are moved one after the other; the divisor is what was really moved."""

import numpy as np

STEP = 1e-6


def numeric(f, x, g, h):
    flat = np.array(x, dtype=float).ravel()
    dx = []
    for i in range(flat.size):
        up, down = flat.copy(), flat.copy()
        up[i] += h
        down[i] -= h
        high, low = f(up.reshape(x.shape)), f(down.reshape(x.shape))
        dx.append(((high - low) / (up[i] - down[i]) * g).sum())
    return np.reshape(dx, x.shape)
