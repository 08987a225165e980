# expect: step=statistics
"""Normal random numbers are compared with p."""

import numpy as np


def dropout(x, p, training, rng):
    m = np.ones(x.shape)
    if training:
        m = (rng.standard_normal(x.shape) * (p > 0) >= p) / (1 - p)        # True with probability 1 - p
    return x * m, m


def dropout_backward(g, m):
    return g * m
