# expect: step=small hint=distribution
"""Numbers further from 0 than three standard deviations are clipped."""

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
        return rng.uniform(-a, a, shape)
    return s * np.clip(rng.standard_normal(shape), -3, 3)
