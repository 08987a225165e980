# expect: step=xavier_uniform hint=three
"""The standard deviation is taken for the bound of the uniform distribution."""

import numpy as np


def init(kind, fan_in, fan_out, rng):
    shape = fan_out, fan_in
    if kind == "small":
        s = 0.01
    elif kind.startswith("xavier"):
        s = np.sqrt(2 / (fan_in + fan_out))
    else:
        s = np.sqrt(2 / fan_in)
    if kind.endswith("uniform"):
        return rng.uniform(-s, s, shape)
    return s * rng.standard_normal(shape)
