# expect: step=gradient input=x hint=ddof
# corpus: BatchNorm: N-1 in backward only
"""The variance is divided by N - 1 in backward, and by N in forward."""

import numpy as np


def batchnorm(x, gamma, beta, eps=1e-5):
    d = x - x.mean(0)
    r = 1 / np.sqrt((d * d).mean(0) + eps)
    h = r * d
    return gamma * h + beta, (gamma * r, h)


def batchnorm_backward(g, saved):
    scale, h = saved
    dx = scale * (g - g.mean(0) - h * (g * h).sum(0) / (len(g) - 1))
    return dx, (g * h).sum(0), g.sum(0)
