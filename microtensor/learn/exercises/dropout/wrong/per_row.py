# expect: step=statistics
"""A random number for each row, and not for each element."""

import numpy as np


def dropout(x, p, training, rng):
    m = np.ones(x.shape)
    if training:
        m = (rng.random(x.shape[:-1] + (1,)) >= p) / (1 - p)        # True with probability 1 - p
    return x * m, m * np.ones(x.shape)


def dropout_backward(g, m):
    return g * m
