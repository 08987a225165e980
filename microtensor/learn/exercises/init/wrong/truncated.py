# expect: step=small hint=distribution
"""A normal distribution that is cut off at two standard deviations, and widened to the right variance."""

import numpy as np


def init(kind, fan_in, fan_out, rng):
    s = 0.01 if kind == "small" else np.sqrt(2 / (fan_in + fan_out if kind.startswith("xavier") else fan_in))
    if kind.endswith("uniform"):
        return rng.uniform(-np.sqrt(3) * s, np.sqrt(3) * s, (fan_out, fan_in))
    w = rng.standard_normal((fan_out, fan_in))
    while np.any(np.abs(w) > 2):
        w = np.where(np.abs(w) > 2, rng.standard_normal(w.shape), w)
    return s * w / 0.87962566103423978          # the standard deviation of what is left
