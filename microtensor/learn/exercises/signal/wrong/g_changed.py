# expect: step=backward moments
"""g is changed in place."""

import numpy as np


def forward_moments(x, weights, f):
    h, moments = x, [np.mean(x**2)]
    for w in weights:
        h = f(h @ w.T)
        moments.append(np.mean(h**2))
    return np.array(moments)


def backward_moments(x, weights, f, slope, g):
    h, zs = x, []
    for w in weights:
        zs.append(h @ w.T)
        h = f(zs[-1])
    moments = [np.mean(g**2)]
    for w, z in zip(weights[::-1], zs[::-1], strict=True):
        g *= slope(z)
        g = g @ w
        moments.append(np.mean(g**2))
    return np.array(moments[::-1])


def dead_units(x, weights):
    h, shares = x, []
    for w in weights:
        h = np.maximum(h @ w.T, 0)
        shares.append(np.mean(np.all(h == 0, axis=0)))
    return np.array(shares)


PREDICTED = {
    "he": 1,
    "xavier": 1 / 2,
    "small": 0.005,
    "narrow": 1 / 3,
    "sigmoid": 1 / 16,
    "dead": 1 / 8,
    "spread": 20 * 5 / 20,
}
