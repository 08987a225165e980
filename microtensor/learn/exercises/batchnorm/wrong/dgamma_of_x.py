# expect: step=gradient input=gamma hint=sum
# corpus: BatchNorm: sum(g x) for sum(g x-hat)
"""dgamma is made with x in place of the normalised x."""

import numpy as np


def batchnorm(x, gamma, beta, eps=1e-5):
    d = x - x.mean(0)
    r = 1 / np.sqrt((d * d).mean(0) + eps)
    h = r * d
    return gamma * h + beta, (x, gamma * r, h)


def batchnorm_backward(g, saved):
    x, scale, h = saved
    dx = scale * (g - g.mean(0) - h * (g * h).mean(0))
    return dx, (g * x).sum(0), g.sum(0)
