"""Normal numbers from uniform ones, by Box and Muller; numbers up to a by a shift of those up to 1."""

import numpy as np


def init(kind, fan_in, fan_out, rng):
    n = fan_in * fan_out
    name, _, law = kind.partition("_")
    variance = {"small": 1e-4, "xavier": 1 / ((fan_in + fan_out) / 2), "he": 1 / (fan_in / 2)}[name]
    if law == "uniform":
        return (2 * rng.random((fan_out, fan_in)) - 1) * (3 * variance) ** 0.5
    radius = np.sqrt(-2 * np.log(1 - rng.random(n)))
    angle = 2 * np.pi * rng.random(n)
    return np.sqrt(variance) * (radius * np.cos(angle)).reshape(fan_out, fan_in)
