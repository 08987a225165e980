"""Element by element and row by row; contributions are collected in arrays of zeros."""

import math

import numpy as np


def sigmoid(x):
    if x < 0:
        return math.exp(x) / (1 + math.exp(x))
    return 1 / (1 + math.exp(-x))


def silu(x):
    y = np.empty(x.shape, order="F")
    for place in np.ndindex(x.shape):
        y[place] = x[place] * sigmoid(x[place])
    return y, x.copy()


def silu_backward(g, x):
    dx = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        s = sigmoid(x[place])
        dx[place] += g[place] * s
        dx[place] += g[place] * x[place] * s * (1 - s)
    return dx


def shared(a, b, w):
    y = np.zeros((2, *w.shape))
    y[0], y[1] = w * a, w * b
    return y, {"inputs": (a, b), "w": w}


def shared_backward(g, saved):
    dw, gradients = np.zeros_like(saved["w"]), []
    for half, x in zip(g, saved["inputs"], strict=True):
        gradients.append(half * saved["w"])
        dw += half * x
    return *gradients, dw


def gather(x, index):
    return np.array([x[i] for i in index]), (index, len(x))


def gather_backward(g, saved):
    index, count = saved
    dx = np.zeros((count, g.shape[1]))
    for j, i in enumerate(index):
        dx[i] += g[j]
    return dx
