"""The last axis comes first, so that nothing must be kept; logaddexp; results are views in another order."""

import numpy as np


def softmax(x):
    scores = np.moveaxis(x, -1, 0)
    probabilities = np.exp(scores - np.logaddexp.reduce(scores))
    return np.moveaxis(probabilities, 0, -1), (probabilities,)


def softmax_backward(g, saved):
    y, = saved
    g = np.moveaxis(g, -1, 0)
    total = np.einsum("k...,k...->...", g, y)
    return np.moveaxis((g - total) * y, 0, -1)
