# expect: step=gradient input=gamma hint=axis
# corpus: BatchNorm: dgamma summed without an axis
"""dgamma is summed over everything."""

import numpy as np


def batchnorm(x, gamma, beta, eps=1e-5):
    d = x - x.mean(0)
    r = 1 / np.sqrt((d * d).mean(0) + eps)
    h = r * d
    return gamma * h + beta, (gamma * r, h)


def batchnorm_backward(g, saved):
    scale, h = saved
    dx = scale * (g - g.mean(0) - h * (g * h).mean(0))
    return dx, np.sum(g * h), np.sum(g, 0)
