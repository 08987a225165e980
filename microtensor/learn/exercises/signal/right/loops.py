"""Row by row and unit by unit, with sums that are divided in the end; predictions as fractions."""

from fractions import Fraction

import numpy as np


def square(rows):
    return sum(float(v) ** 2 for row in rows for v in row) / sum(len(row) for row in rows)


def layer(rows, w):
    return [[sum(row[i] * w[o, i] for i in range(w.shape[1])) for o in range(w.shape[0])] for row in rows]


def forward_moments(x, weights, f):
    rows = [list(row) for row in x]
    found = np.empty(len(weights) + 1)
    found[0] = square(rows)
    for k, w in enumerate(weights):
        rows = [list(f(np.array(row))) for row in layer(rows, w)]
        found[k + 1] = square(rows)
    return found


def backward_moments(x, weights, f, slope, g):
    total = np.zeros(len(weights) + 1)
    for row, d in zip(x, g, strict=True):
        slopes, h = [], row
        for w in weights:
            z = np.dot(w, h)
            slopes.append(slope(z))
            h = f(z)
        total[-1] += np.dot(d, d) / d.size
        for k in range(len(weights) - 1, -1, -1):
            d = weights[k].T.dot(slopes[k] * d)
            total[k] += np.dot(d, d) / d.size
    return total / len(x)


def dead_units(x, weights):
    rows, shares = [list(row) for row in x], []
    for w in weights:
        rows = [[max(z, 0.0) for z in row] for row in layer(rows, w)]
        dead = [all(row[j] == 0 for row in rows) for j in range(len(w))]
        shares.append(dead.count(True) / len(dead))
    return np.array(shares)


PREDICTED = {"he": Fraction(1), "xavier": Fraction(1, 2), "small": Fraction(1, 200), "narrow": Fraction(1, 3),
             "sigmoid": Fraction(1, 16), "dead": Fraction(1, 8), "spread": 5}
