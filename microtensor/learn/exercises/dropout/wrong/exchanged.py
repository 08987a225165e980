# expect: step=forward
"""p is taken for the probability of keeping an element."""

import numpy as np


def dropout(x, p, training, rng):
    m = np.ones(x.shape)
    if training:
        m = (rng.random(x.shape) < p) / max(p, 1e-9)
    return x * m, m


def dropout_backward(g, m):
    return g * m
