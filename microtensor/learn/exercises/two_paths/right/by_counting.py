"""The derivative in forward; a dictionary of gradients; sums by bincount, column by column."""

import numpy as np


def silu(x):
    s = 1 / (1 + np.exp(-x))                    # e^1000 is inf, and 1 / inf is 0, which is right
    return x * s, s * (1 + x * (1 - s))


def silu_backward(g, derivative):
    return derivative * g


def shared(a, b, w):
    return np.stack((a * w, b * w), axis=0), [a, b, w]


def shared_backward(g, saved):
    a, b, w = saved
    dw = g[0] * a
    dw += g[1] * b
    return {"w": dw, "a": g[0] * w, "b": g[1] * w}


def gather(x, index):
    return np.take(x, index, axis=0), (x, index)


def gather_backward(g, saved):
    x, index = saved
    columns = [np.bincount(index, weights=column, minlength=len(x)) for column in g.T]
    return np.stack(columns, axis=1)
