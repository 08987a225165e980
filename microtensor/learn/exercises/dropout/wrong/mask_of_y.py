# expect: step=gradient input=x
"""Multiplies g by y instead of the mask."""

import numpy as np


def dropout(x, p, training, rng):
    m = np.ones(x.shape)
    if training:
        m = (rng.random(x.shape) >= p) / (1 - p)        # True with probability 1 - p
    return x * m, x * m


def dropout_backward(g, m):
    return g * m
