# expect: step=gradient input=x hint=column
# corpus: BatchNorm: eps outside the root in backward only
"""eps is added to the root in backward, and inside of it in forward."""

import numpy as np


def batchnorm(x, gamma, beta, eps=1e-5):
    mean, variance = x.mean(0), x.var(0)
    h = (x - mean) / np.sqrt(variance + eps)
    return gamma * h + beta, (h, gamma, variance, eps)


def batchnorm_backward(g, saved):
    h, gamma, variance, eps = saved
    dx = gamma / (np.sqrt(variance) + eps) * (g - g.mean(0) - h * (g * h).mean(0))
    return dx, (g * h).sum(0), g.sum(0)
