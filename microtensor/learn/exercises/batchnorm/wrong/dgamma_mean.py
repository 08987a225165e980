# expect: step=gradient input=gamma hint=size
"""dgamma and dbeta are means over the batch."""

import numpy as np


def batchnorm(x, gamma, beta, eps=1e-5):
    d = x - x.mean(0)
    r = 1 / np.sqrt((d * d).mean(0) + eps)
    h = r * d
    return gamma * h + beta, (gamma * r, h)


def batchnorm_backward(g, saved):
    scale, h = saved
    dx = scale * (g - g.mean(0) - h * (g * h).mean(0))
    return dx, (g * h).mean(0), g.mean(0)
