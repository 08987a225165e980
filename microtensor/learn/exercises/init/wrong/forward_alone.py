# expect: step=xavier_normal hint=fans
"""Only forward counts for Xavier's s."""

import numpy as np


def init(kind, fan_in, fan_out, rng):
    shape = fan_out, fan_in
    if kind == "small":
        s = 0.01
    elif kind.startswith("xavier"):
        s = np.sqrt(1 / fan_in)
    else:
        s = np.sqrt(2 / fan_in)
    if kind.endswith("uniform"):
        a = np.sqrt(3) * s
        return rng.uniform(-a, a, shape)
    return s * rng.standard_normal(shape)
