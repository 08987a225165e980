# expect: step=small
"""Each array is scaled to exactly the standard deviation, and so its elements depend on each other."""

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
    w = rng.standard_normal(shape)
    return w if w.size == 1 else s * w / np.sqrt(np.mean(w * w))
