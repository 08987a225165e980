# expect: step=gradient input=x
"""Backward has its own eps."""

import numpy as np


def batchnorm(x, gamma, beta, eps=1e-5):
    h = (x - x.mean(0)) / np.sqrt(x.var(0) + eps)
    return gamma * h + beta, (x, h, gamma)


def batchnorm_backward(g, saved):
    x, h, gamma = saved
    dx = gamma / np.sqrt(x.var(0) + 1e-5) * (g - g.mean(0) - h * (g * h).mean(0))
    return dx, (g * h).sum(0), g.sum(0)
