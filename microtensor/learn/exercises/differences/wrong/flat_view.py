# expect: step=any f input=x
"""x is moved through a flat view, which for a transposed x is a copy."""

import numpy as np

STEP = 6e-6


def numeric(f, x, g, h):
    z = np.array(x, dtype=float)
    flat = z.reshape(-1)
    dx = np.zeros(x.size)
    for i in range(x.size):
        old = flat[i]
        flat[i] = old + h
        plus = np.sum(g * f(z))
        flat[i] = old - h
        minus = np.sum(g * f(z))
        flat[i] = old
        dx[i] = (plus - minus) / (2 * h)
    return dx.reshape(x.shape)
