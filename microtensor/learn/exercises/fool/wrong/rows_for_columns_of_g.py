# expect: step=fool square
"""Repeated along the other axis: wrong numbers for a square, too."""

import numpy as np


def fool_ones(g, y):
    return np.zeros(g.shape)


def fool_one_element(g, x):
    return np.zeros(x.shape)


def fool_square(g, x):
    return np.repeat(g[None, :], x.shape[0], axis=0) / x.shape[0]
