"""A generator of its own, whose seed is drawn from rng: equal generators still give equal arrays."""

import numpy as np


def init(kind, fan_in, fan_out, rng):
    own = np.random.default_rng(rng.integers(2**63))
    if kind == "small":
        return own.normal(0, 1e-2, (fan_out, fan_in))
    s = (2 / (fan_in + fan_out if kind[0] == "x" else fan_in)) ** 0.5
    z = own.standard_normal((fan_out, fan_in)) if kind[-1] == "l" else own.uniform(-(3**0.5), 3**0.5, (fan_out, fan_in))
    return z * s
