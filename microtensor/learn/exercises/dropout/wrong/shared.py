# expect: step=two calls input=x
"""The mask is in a variable that all calls share."""

import numpy as np

last = []


def dropout(x, p, training, rng):
    m = np.ones(x.shape)
    if training:
        m = (rng.random(x.shape) >= p) / (1 - p)        # True with probability 1 - p
    last[:] = [m]
    return x * m, None


def dropout_backward(g, m):
    return g * last[0]
