"""With np.linalg.norm and np.average; dp and dt are views of one array in Fortran order."""

import numpy as np


def mse(p, t):
    return np.linalg.norm(p - t) ** 2 / np.prod(p.shape), (p, t)


def mse_backward(g, saved):
    p, t = saved
    both = np.asfortranarray(np.stack([p - t, t - p])) / (0.5 * p.size) * g
    return both[0], both[1]


def regression(x, w, t):
    return np.average(np.square((x * w).sum(axis=1) - t)), (x, w, t)


def regression_backward(g, saved):
    x, w, t = saved
    dp = 2 * g * ((x * w).sum(axis=1) - t) / t.shape[0]
    dx = dp[:, np.newaxis] * w[np.newaxis]
    dw = (dp[:, np.newaxis] * x).sum(axis=0)
    return dx, dw, -dp
