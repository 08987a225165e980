# expect: step=gradient silu input=x hint=upstream
"""Only one of the two terms is multiplied by g."""

import numpy as np


def silu(x):
    e = np.exp(-np.abs(x))
    s = np.where(x >= 0, 1, e) / (1 + e)
    return x * s, (x, s)


def silu_backward(g, saved):
    x, s = saved
    return g * s + x * s * (1 - s)


def shared(a, b, w):
    return np.stack([w * a, w * b]), (a, b, w)


def shared_backward(g, saved):
    a, b, w = saved
    return g[0] * w, g[1] * w, g[0] * a + g[1] * b


def gather(x, index):
    return x[index], (x.shape, index)


def gather_backward(g, saved):
    shape, index = saved
    dx = np.zeros(shape)
    np.add.at(dx, index, g)
    return dx
