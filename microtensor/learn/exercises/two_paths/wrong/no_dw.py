# expect: step=gradient shared
"""w is treated as a constant, and gets no gradient."""

import numpy as np


def silu(x):
    e = np.exp(-np.abs(x))
    s = np.where(x >= 0, 1, e) / (1 + e)
    return x * s, (x, s)


def silu_backward(g, saved):
    x, s = saved
    return g * s + g * x * s * (1 - s)


def shared(a, b, w):
    return np.stack([w * a, w * b]), w


def shared_backward(g, w):
    return g[0] * w, g[1] * w, None


def gather(x, index):
    return x[index], (x.shape, index)


def gather_backward(g, saved):
    shape, index = saved
    dx = np.zeros(shape)
    np.add.at(dx, index, g)
    return dx
