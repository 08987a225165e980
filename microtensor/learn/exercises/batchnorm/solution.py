"""Batch normalisation, each column by itself. With d = x - m, h = r d and u = gamma g = dL/dh:

dv = -1/2 r^3 sum(u d)                                        as r = (v + eps)^(-1/2)
dd = r u + 2/N d dv = r (u - h mean(u h))                     d stands in h and in v
dx = dd - mean(dd) = gamma r (g - mean(g) - h mean(g h))      x stands in d and in m; the sum of h is 0
"""

import numpy as np


def batchnorm(x, gamma, beta, eps=1e-5):
    d = x - x.mean(0)                               # (N, D)
    r = 1 / np.sqrt((d * d).mean(0) + eps)          # (D,)
    h = r * d
    return gamma * h + beta, (gamma * r, h)


def batchnorm_backward(g, saved):
    scale, h = saved
    dx = scale * (g - g.mean(0) - h * (g * h).mean(0))
    return dx, (g * h).sum(0), g.sum(0)
