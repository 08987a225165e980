# expect: step=xavier_uniform hint=distribution
"""A normal distribution with the right variance for every kind."""

import numpy as np


def init(kind, fan_in, fan_out, rng):
    shape = fan_out, fan_in
    if kind == "small":
        s = 0.01
    elif kind.startswith("xavier"):
        s = np.sqrt(2 / (fan_in + fan_out))
    else:
        s = np.sqrt(2 / fan_in)
    return s * rng.standard_normal(shape)
