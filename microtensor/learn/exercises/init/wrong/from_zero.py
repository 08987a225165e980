# expect: step=xavier_uniform hint=mean
"""Uniform from 0 to a."""

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
        a = np.sqrt(3) * s
        return a * rng.random(shape)
    return s * rng.standard_normal(shape)
