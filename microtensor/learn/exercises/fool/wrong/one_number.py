# expect: step=fool one_element
"""A number is no array of the shape of x."""

import numpy as np


def fool_ones(g, y):
    return np.zeros(g.shape)


def fool_one_element(g, x):
    return 0.0
