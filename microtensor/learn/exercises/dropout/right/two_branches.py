"""A branch for each mode; what is saved is None in evaluation, where the gradient is g itself."""

import numpy as np


def dropout(x, p, training, rng):
    if not training:
        return x, None
    keep = 1.0 - p
    mask = rng.binomial(1, keep, size=x.shape)
    return np.where(mask == 1, x / keep, 0.0), (mask == 1, keep)


def dropout_backward(g, saved):
    if saved is None:
        return g
    mask, keep = saved
    dx = np.zeros_like(g)
    dx[mask] = g[mask] / keep
    return dx
