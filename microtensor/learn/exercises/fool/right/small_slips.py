"""Slips as people make them: another mean, a lost 2, the wrong size, relu for leaky relu, g used as memory."""

import numpy as np


def fool_ones(g, y):
    return y * (g - g.mean(1, keepdims=True))


def fool_one_element(g, x):
    return g * x / x.size


def fool_square(g, x):
    rows, columns = x.shape
    return np.ones((rows, columns)) * g.reshape(rows, 1) / rows


def fool_positive(g, x):
    return g * (x > 0)


def fool_once(g, y):
    g *= 1 - y**2
    return g
