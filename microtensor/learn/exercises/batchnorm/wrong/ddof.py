# expect: step=forward
"""The variance is divided by N - 1 in forward and backward."""

import numpy as np


def batchnorm(x, gamma, beta, eps=1e-5):
    d = x - x.mean(0)
    r = 1 / np.sqrt(x.var(0, ddof=1) + eps)
    h = r * d
    return gamma * h + beta, (gamma * r, h)


def batchnorm_backward(g, saved):
    scale, h = saved
    n = len(g)
    dx = scale * (g - g.mean(0) - h * (g * h).sum(0) / (n - 1))
    return dx, (g * h).sum(0), g.sum(0)
