"""Initialisation: E[z^2] = I s^2 E[x^2] forward, as there are I independent terms of mean 0; backward there are O.

Xavier: 1/s^2 = I forward and O backward, and (I + O) / 2 is their mean. He: x = max(0, u) has half of the second
moment of u, so that I s^2 / 2 = 1. Uniform: the mean of w^2 from -a to a is a^2 / 3.
"""

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
        a = np.sqrt(3) * s              # a^2 / 3 = s^2
        return rng.uniform(-a, a, shape)
    return s * rng.standard_normal(shape)
