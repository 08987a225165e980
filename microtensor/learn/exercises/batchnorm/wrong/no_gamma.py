# expect: step=gradient input=x
"""dx lacks the factor gamma."""

import numpy as np


def batchnorm(x, gamma, beta, eps=1e-5):
    d = x - x.mean(0)
    r = 1 / np.sqrt((d * d).mean(0) + eps)
    h = r * d
    return gamma * h + beta, (r, h)


def batchnorm_backward(g, saved):
    scale, h = saved
    dx = scale * (g - g.mean(0) - h * (g * h).mean(0))
    return dx, (g * h).sum(0), g.sum(0)
