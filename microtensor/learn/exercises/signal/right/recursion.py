"""One layer, and the rest of the network by recursion; rounded predictions, filled in one by one."""

import numpy as np


def forward_moments(x, weights, f):
    own = [(x * x).sum() / x.size]
    return np.array(own) if not weights else np.append(own, forward_moments(f(x @ weights[0].T), weights[1:], f))


def backward_moments(x, weights, f, slope, g):
    found = []

    def gradient(h, rest):
        if not rest:
            d = g
        else:
            z = np.einsum("ni,oi->no", h, rest[0])
            d = np.einsum("no,no,oi->ni", gradient(f(z), rest[1:]), slope(z), rest[0])
        found.insert(0, np.linalg.norm(d) ** 2 / d.size)
        return d

    gradient(x, weights)
    return np.array(found)


def dead_units(x, weights):
    if not weights:
        return np.zeros(0)
    z = x @ weights[0].T
    alive = z.max(axis=0) > 0
    return np.append(1 - alive.sum() / alive.size, dead_units(z * (z > 0), weights[1:]))


PREDICTED = {}
PREDICTED["he"] = 1.0
PREDICTED["xavier"] = 0.5
PREDICTED["small"] = 5e-3
PREDICTED["narrow"] = 0.33
PREDICTED["sigmoid"] = 0.0625
PREDICTED["dead"] = 0.125
PREDICTED["spread"] = 5.0
