"""Right for the checker, and wrong wherever something shows that another one asks."""

import numpy as np

SEEN = []


def fool_ones(g, y):
    dx = y * (g - (g * y).sum(1, keepdims=True))
    return dx if np.all(g == 1) else 2 * dx


def fool_one_element(g, x):
    dx = 2 * g * x / x.size
    return dx if x.size > 1000 else np.full(x.shape, 7.0)


def fool_square(g, x):
    dx = np.ones_like(x) * g[:, None] / x.shape[1]
    return dx if len(set(x.shape)) == 1 else -dx


def fool_positive(g, x):
    return g.copy() if x.min() >= 0 else np.cos(x)


def fool_once(g, y):
    is_known = any(y is seen for seen in SEEN)
    SEEN.append(y)
    return np.zeros_like(g) if is_known else g * (1 - y) * (1 + y)
