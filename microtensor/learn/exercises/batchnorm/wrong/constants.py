# expect: step=gradient input=x hint=statistics
# corpus: BatchNorm: mean and variance as constants
"""Mean and variance are taken for constants."""

import numpy as np


def batchnorm(x, gamma, beta, eps=1e-5):
    d = x - x.mean(0)
    r = 1 / np.sqrt((d * d).mean(0) + eps)
    h = r * d
    return gamma * h + beta, (gamma * r, h)


def batchnorm_backward(g, saved):
    scale, h = saved
    dx = scale * g
    return dx, (g * h).sum(0), g.sum(0)
