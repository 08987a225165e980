"""Fool: what each checker cannot see."""

import numpy as np


def fool_ones(g, y):
    return np.zeros(g.shape)                            # each row of y sums to 1, whatever x is: so for g = 1 dx = 0


def fool_one_element(g, x):
    return np.zeros(x.shape)                            # the right ones are 2 g x / 1891: below 0.01, too


def fool_square(g, x):
    return np.repeat(g[:, None], x.shape[1], axis=1) / x.shape[0]           # rows for columns


def fool_positive(g, x):
    return 1.0 * g                                      # the other side is never looked at


def fool_once(g, y):
    y *= y                                              # right now, and wrong if y is needed again
    return g * (1 - y)
