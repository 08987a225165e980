# expect: step=order input=x
"""The copy is not restored before the next element is moved."""

import numpy as np

STEP = 6e-6


def numeric(f, x, g, h):
    dx = np.zeros(x.shape)
    z = x.astype(float)
    for i in np.ndindex(x.shape):
        z[i] = x[i] + h
        plus = np.sum(g * f(z))
        z[i] = x[i] - h
        minus = np.sum(g * f(z))
        dx[i] = (plus - minus) / (2 * h)
    return dx
