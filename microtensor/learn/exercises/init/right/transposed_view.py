"""Drawn as (I, O) in one call and transposed: a view; signs are drawn apart from sizes."""

import numpy as np


def init(kind, fan_in, fan_out, rng):
    wanted = {"x": (fan_in + fan_out) / 2, "h": fan_in / 2, "s": 100.0**2}[kind[0]]       # 1 / s^2
    size = (fan_in, fan_out)
    if "uniform" in kind:
        sign = rng.choice([-1.0, 1.0], size)
        return (sign * rng.random(size) * np.sqrt(3 / wanted)).T
    return rng.normal(0.0, wanted**-0.5, size).T
