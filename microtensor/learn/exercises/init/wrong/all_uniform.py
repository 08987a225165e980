# expect: step=small hint=distribution
"""A uniform distribution with the right variance for every kind."""

import numpy as np


def init(kind, fan_in, fan_out, rng):
    shape = fan_out, fan_in
    if kind == "small":
        s = 0.01
    elif kind.startswith("xavier"):
        s = np.sqrt(2 / (fan_in + fan_out))
    else:
        s = np.sqrt(2 / fan_in)
    a = np.sqrt(3) * s
    return rng.uniform(-a, a, shape)
