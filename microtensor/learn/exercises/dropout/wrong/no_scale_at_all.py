# expect: step=forward
"""No factor in either pass."""

import numpy as np


def dropout(x, p, training, rng):
    m = np.ones(x.shape)
    if training:
        m = rng.random(x.shape) >= p
    return x * m, m


def dropout_backward(g, m):
    return g * m
