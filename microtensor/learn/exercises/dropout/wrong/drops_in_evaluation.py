# expect: step=evaluation
"""Both passes drop elements in evaluation."""

import numpy as np


def dropout(x, p, training, rng):
    m = np.where(rng.random(x.shape) >= p, 1 / (1 - p), 0)
    return x * m, m


def dropout_backward(g, m):
    return g * m
