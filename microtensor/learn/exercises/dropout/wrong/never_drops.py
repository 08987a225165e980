# expect: step=forward
"""training and evaluation are exchanged."""

import numpy as np


def dropout(x, p, training, rng):
    m = np.ones(x.shape)
    if not training:
        m = (rng.random(x.shape) >= p) / (1 - p)        # True with probability 1 - p
    return x * m, m


def dropout_backward(g, m):
    return g * m
