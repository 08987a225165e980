# expect: step=small hint=independence
"""One row for all outputs: all units compute the same."""

import numpy as np


def init(kind, fan_in, fan_out, rng):
    if kind == "small":
        s = 0.01
    elif kind.startswith("xavier"):
        s = np.sqrt(2 / (fan_in + fan_out))
    else:
        s = np.sqrt(2 / fan_in)
    if kind.endswith("uniform"):
        a = np.sqrt(3) * s
        return np.tile(rng.uniform(-a, a, fan_in), (fan_out, 1))
    return s * np.tile(rng.standard_normal(fan_in), (fan_out, 1))
