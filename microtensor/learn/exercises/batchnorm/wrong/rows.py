# expect: step=forward
"""Rows are normalised in place of columns."""

import numpy as np


def batchnorm(x, gamma, beta, eps=1e-5):
    d = x - x.mean(1, keepdims=True)
    r = 1 / np.sqrt((d * d).mean(1, keepdims=True) + eps)
    h = r * d
    return gamma * h + beta, (gamma * r, h)


def batchnorm_backward(g, saved):
    scale, h = saved
    dx = scale * (g - g.mean(0) - h * (g * h).mean(0))
    return dx, (g * h).sum(0), g.sum(0)
