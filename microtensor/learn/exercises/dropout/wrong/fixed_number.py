# expect: step=statistics
"""Exactly the share p is dropped in every call, by a permutation."""

import numpy as np


def dropout(x, p, training, rng):
    m = np.ones(x.shape)
    if training:
        m = (rng.permutation(x.size).reshape(x.shape) >= p * x.size) / (1 - p)        # True with probability 1 - p
    return x * m, m


def dropout_backward(g, m):
    return g * m
