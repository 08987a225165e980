# expect: step=forward
"""x is changed in place."""

import numpy as np


def dropout(x, p, training, rng):
    m = np.ones(x.shape)
    if training:
        m = (rng.random(x.shape) >= p) / (1 - p)        # True with probability 1 - p
    x *= m
    return x, m


def dropout_backward(g, m):
    return g * m
