"""Predictions that are measured, with the functions of the first part; the largest slope of a sigmoid by a search."""

import numpy as np

from microtensor.learn.given import init


def layers(x, weights, f):
    pairs = []
    for w in weights:
        z = np.tensordot(x, w, (1, 1))
        x = f(z)
        pairs.append((z, x))
    return pairs


def forward_moments(x, weights, f):
    return np.fromiter((np.mean(np.abs(h) ** 2) for h in [x, *(h for _, h in layers(x, weights, f))]), float)


def backward_moments(x, weights, f, slope, g):
    found = {len(weights): np.var(g) + np.mean(g) ** 2}
    for k, (z, _) in reversed(list(enumerate(layers(x, weights, f)))):
        g = np.multiply(g, slope(z)).dot(weights[k])
        found[k] = np.var(g) + np.mean(g) ** 2
    return np.array([found[k] for k in sorted(found)])


def dead_units(x, weights):
    return np.array([1 - np.count_nonzero(h.any(0)) / h.shape[1] for _, h in layers(x, weights, relu)])


def relu(z):
    return z.clip(0)


rng = np.random.default_rng(1)


def factor(kind):
    found = [forward_moments(rng.standard_normal((1, 100)), [init(kind, 100, 100, rng) for _ in range(10)], relu)
             for _ in range(20)]
    return np.mean([each[1:] / each[:-1] for each in found])


def narrow():
    found = [backward_moments(rng.standard_normal((1, 150)), [init("he_normal", 150, 50, rng)], relu, lambda z: z > 0,
                              rng.standard_normal((1, 50))) for _ in range(200)]
    return np.mean([each[0] / each[1] for each in found])


def spread():
    found = [forward_moments(rng.standard_normal((1, 20)), [init("he_normal", 20, 20, rng) for _ in range(20)], relu)
             for _ in range(300)]
    return np.var([np.log(each[-1] / each[0]) for each in found if each[-1]])


y = 1 / (1 + np.exp(-np.linspace(-4, 4, 4001)))
PREDICTED = {
    "he": factor("he_normal"), "xavier": factor("xavier_normal"), "small": factor("small"), "narrow": narrow(),
    "sigmoid": np.max(y * (1 - y)) ** 2, "spread": spread(),
    "dead": np.mean([dead_units(rng.standard_normal((3, 50)), [init("he_normal", 50, 50, rng)])[0]
                     for _ in range(200)])}
