# expect: step=forward
"""The first form of dropout: the factor is 1 - p, and used in evaluation."""

import numpy as np


def dropout(x, p, training, rng):
    m = np.full(x.shape, 1 - p)
    if training:
        m = rng.random(x.shape) >= p
    return x * m, m


def dropout_backward(g, m):
    return g * m
