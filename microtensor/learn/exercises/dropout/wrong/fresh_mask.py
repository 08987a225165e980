# expect: step=gradient input=x hint=mask
# corpus: Dropout: a fresh mask in backward
"""Backward draws a mask of its own, from a generator of another seed."""

import numpy as np


def dropout(x, p, training, rng):
    m = np.ones(x.shape)
    if training:
        m = (rng.random(x.shape) >= p) / (1 - p)        # True with probability 1 - p
    return x * m, p if training else 0


def dropout_backward(g, p):
    m = (np.random.default_rng(8).random(g.shape) >= p) / (1 - p)
    return g * m
