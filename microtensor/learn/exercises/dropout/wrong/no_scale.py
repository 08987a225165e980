# expect: step=gradient input=x hint=scale
# corpus: Dropout: no 1/(1-p)
"""Backward forgets the factor."""

import numpy as np


def dropout(x, p, training, rng):
    m = np.ones(x.shape)
    if training:
        m = (rng.random(x.shape) >= p) / (1 - p)        # True with probability 1 - p
    return x * m, m


def dropout_backward(g, m):
    return g * (m > 0)
