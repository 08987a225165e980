"""Element by element, in a list of factors."""

import numpy as np


def dropout(x, p, training, rng):
    y = np.empty_like(x)
    factors = []
    for place in np.ndindex(x.shape):
        factor = 1.0
        if training:
            factor = 0.0 if rng.random() < p else 1 / (1 - p)
        factors.append(factor)
        y[place] = factor * x[place]
    return y, factors


def dropout_backward(g, factors):
    dx = np.empty_like(g)
    for place, factor in zip(np.ndindex(g.shape), factors, strict=True):
        dx[place] = factor * g[place]
    return dx
