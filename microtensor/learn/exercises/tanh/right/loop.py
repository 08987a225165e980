"""Element by element, with the math module; saved is a dictionary."""

import math

import numpy as np


def tanh(x):
    y = np.zeros(x.shape)
    for place in np.ndindex(*x.shape):
        y[place] = math.tanh(x[place])
    return y, {"out": y}


def tanh_backward(g, saved):
    y = saved["out"]
    dx = np.zeros(y.shape, order="F")
    for place in np.ndindex(*y.shape):
        dx[place] = g[place] - g[place] * y[place] ** 2
    return dx
