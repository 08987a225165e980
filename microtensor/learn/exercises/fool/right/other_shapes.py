"""Gradients of a wrong shape, which is right for a square, or is stretched when it is compared; loops."""

import numpy as np


def fool_ones(g, y):
    dx = np.zeros_like(y)
    for i in range(y.shape[0]):
        jacobian = np.diag(y[i]) - np.outer(y[i], y[i])
        dx[i] = jacobian @ np.ones(y.shape[1])              # without g
    return dx


def fool_one_element(g, x):
    return 0.001 * np.sign(x)


def fool_square(g, x):
    return np.outer(g, np.ones(len(g))) / len(g)            # (5, 5) for x of (5, 3)


def fool_positive(g, x):
    dx = np.empty(x.shape)
    for place in np.ndindex(x.shape):
        dx[place] = g[place] if x[place] > 0 else 0.5 * g[place]
    return dx


def fool_once(g, y):
    dx = g - g * y * y
    np.negative(y, out=y)
    y += 0.5
    return dx
