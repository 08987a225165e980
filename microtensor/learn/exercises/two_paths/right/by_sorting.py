"""silu by x / (1 + e^-x); equal numbers of the index are brought together, and each run is added up."""

import numpy as np


def silu(x):
    down = 1 + np.exp(-x)
    return x / down, (x, down)


def silu_backward(g, saved):
    x, down = saved
    dx = g / down
    dx = dx + g * x * (1 - 1 / down) / down
    return dx


def shared(a, b, w):
    return np.concatenate([(a * w)[None], (b * w)[None]]), (a, b, w)


def shared_backward(g, saved):
    a, b, w = saved
    return [w * g[0], w * g[1], np.einsum("k...,k...->...", g, np.stack([a, b]))]


def gather(x, index):
    return x[index, :], (x.shape, np.argsort(index, kind="stable"), index)


def gather_backward(g, saved):
    shape, order, index = saved
    rows, starts = np.unique(index[order], return_index=True)
    dx = np.zeros(shape)
    dx[rows] = np.add.reduceat(g[order], starts)
    return dx
