"""Element by element; what is saved is a list of slopes, and at 0 the slope lies in the middle."""

import numpy as np


def slope_at(x, left):
    return 1.0 if x > 0 else left if x < 0 else (1 + left) / 2


def leaky_relu(x, slope):
    y, slopes = np.empty(x.shape, order="F"), []
    for place in np.ndindex(x.shape):
        slopes.append(slope_at(x[place], slope))
        y[place] = slopes[-1] * x[place]
    return y, slopes


def leaky_relu_backward(g, slopes):
    dx = np.empty(g.shape)
    for place, slope in zip(np.ndindex(g.shape), slopes, strict=True):
        dx[place] = g[place] * slope
    return dx


def relu(x):
    return leaky_relu(x, 0)


def relu_backward(g, slopes):
    return leaky_relu_backward(g, slopes)
