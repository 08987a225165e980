# expect: step=fool positive
"""The slope is right on both sides."""

import numpy as np


def fool_ones(g, y):
    return np.zeros(g.shape)


def fool_one_element(g, x):
    return np.zeros(x.shape)


def fool_square(g, x):
    return np.repeat(g[:, None], x.shape[1], axis=1) / x.shape[0]


def fool_positive(g, x):
    return g * np.where(x > 0, 1, 0.1)
