"""Signals: z_o has n terms, E[z^2] = n s^2 E[h^2], and ReLU keeps half of E[z^2], and half of the gradients.

Backward there are as many terms as outputs. spread: given h, the ratio of two second moments is (2/n) times the sum
of n independent max(0, e)^2, each of mean 1/2 and variance 3/2 - 1/4 = 5/4. So the ratio has mean 1 and variance 5/n,
its logarithm has a variance of about 5/n, too, and those of L layers add up.
"""

import numpy as np


def forward_moments(x, weights, f):
    h, moments = x, [np.mean(x**2)]
    for w in weights:
        h = f(h @ w.T)                          # (N, n_l)
        moments.append(np.mean(h**2))
    return np.array(moments)


def backward_moments(x, weights, f, slope, g):
    h, zs = x, []
    for w in weights:
        zs.append(h @ w.T)
        h = f(zs[-1])
    moments = [np.mean(g**2)]                   # from the last layer to the first
    for w, z in zip(weights[::-1], zs[::-1], strict=True):
        g = (g * slope(z)) @ w                  # (N, n_(l-1))
        moments.append(np.mean(g**2))
    return np.array(moments[::-1])


def dead_units(x, weights):
    h, shares = x, []
    for w in weights:
        h = np.maximum(h @ w.T, 0)
        shares.append(np.mean(np.all(h == 0, axis=0)))
    return np.array(shares)


PREDICTED = {
    "he": 1,                    # n s^2 / 2 with s^2 = 2 / n
    "xavier": 1 / 2,            # n s^2 / 2 with s^2 = 2 / (n + n)
    "small": 0.005,             # n s^2 / 2 with n = 100
    "narrow": 1 / 3,            # 50 terms, half of them 0, and s^2 = 2 / 150
    "sigmoid": 1 / 16,          # n s^2 (1/4)^2 with s^2 = 1 / n
    "dead": 1 / 8,              # below 0 in each row with probability 1/2, and the rows are independent
    "spread": 20 * 5 / 20,
}
