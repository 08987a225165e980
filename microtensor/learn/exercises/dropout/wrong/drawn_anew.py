# expect: step=gradient input=x hint=repeat
"""Backward draws a new mask from the generator of forward."""

import numpy as np


def dropout(x, p, training, rng):
    m = np.ones(x.shape)
    if training:
        m = (rng.random(x.shape) >= p) / (1 - p)        # True with probability 1 - p
    return x * m, (p if training else 0, rng)


def dropout_backward(g, saved):
    p, rng = saved
    m = (rng.random(g.shape) >= p) / (1 - p)
    return g * m
