# expect: step=gradient input=x
"""h is made from y, and divided by gamma, which may be 0."""

import numpy as np


def batchnorm(x, gamma, beta, eps=1e-5):
    r = 1 / np.sqrt(x.var(0) + eps)
    y = gamma * (x - x.mean(0)) * r + beta
    return y, (y.copy(), gamma, beta, r)


def batchnorm_backward(g, saved):
    y, gamma, beta, r = saved
    h = (y - beta) / gamma
    dx = gamma * r * (g - g.mean(0) - h * (g * h).mean(0))
    return dx, (g * h).sum(0), g.sum(0)
