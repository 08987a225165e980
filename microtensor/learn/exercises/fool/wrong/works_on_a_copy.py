# expect: step=fool once
"""What is written into is a copy, so nothing is left behind."""

import numpy as np


def fool_ones(g, y):
    return np.zeros(g.shape)


def fool_one_element(g, x):
    return np.zeros(x.shape)


def fool_square(g, x):
    return np.repeat(g[:, None], x.shape[1], axis=1) / x.shape[0]


def fool_positive(g, x):
    return 1.0 * g


def fool_once(g, y):
    y = y * y
    return g * (1 - y)
