# expect: step=gradient in evaluation input=x hint=mask
# corpus: Dropout: masks in evaluation
"""Backward masks in evaluation, too."""

import numpy as np


def dropout(x, p, training, rng):
    m = np.where(rng.random(x.shape) >= p, 1 / (1 - p), 0)
    return x * m if training else x, m


def dropout_backward(g, m):
    return g * m
