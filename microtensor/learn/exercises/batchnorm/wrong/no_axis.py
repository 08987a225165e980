# expect: step=gradient input=x hint=axis
# corpus: BatchNorm: means without an axis
"""The means of backward are taken over everything."""

import numpy as np


def batchnorm(x, gamma, beta, eps=1e-5):
    d = x - x.mean(0)
    r = 1 / np.sqrt((d * d).mean(0) + eps)
    h = r * d
    return gamma * h + beta, (gamma * r, h)


def batchnorm_backward(g, saved):
    scale, h = saved
    dx = scale * (g - g.mean() - h * (g * h).mean())
    return dx, (g * h).sum(0), g.sum(0)
