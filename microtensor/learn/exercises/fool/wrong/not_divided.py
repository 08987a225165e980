# expect: step=fool one_element
"""Without 1/N the elements are as large as x."""

import numpy as np


def fool_ones(g, y):
    return np.zeros(g.shape)


def fool_one_element(g, x):
    return g * 2 * x
