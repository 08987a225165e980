"""Element by element, with the math module, saving x."""

import math

import numpy as np


def one(x):
    if x >= 0:
        return 1 / (1 + math.exp(-x))
    e = math.exp(x)
    return e / (1 + e)


def sigmoid(x):
    y = np.empty_like(x)
    for place in np.ndindex(x.shape):
        y[place] = one(x[place])
    return y, x.copy()


def sigmoid_backward(g, x):
    dx = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        dx[place] = g[place] * one(x[place]) * one(-x[place])
    return dx
