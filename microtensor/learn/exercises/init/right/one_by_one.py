"""One number after the other, and a branch for each kind."""

import math

import numpy as np


def init(kind, fan_in, fan_out, rng):
    w = np.empty((fan_out, fan_in))
    for o in range(fan_out):
        for i in range(fan_in):
            if kind == "small":
                w[o, i] = rng.normal(0, 0.01)
            elif kind == "xavier_normal":
                w[o, i] = rng.normal(scale=math.sqrt(2 / (fan_in + fan_out)))
            elif kind == "xavier_uniform":
                a = math.sqrt(6 / (fan_in + fan_out))
                w[o, i] = rng.uniform(-a, a)
            elif kind == "he_normal":
                w[o, i] = rng.normal(scale=math.sqrt(2 / fan_in))
            else:
                a = math.sqrt(6 / fan_in)
                w[o, i] = rng.uniform(-a, a)
    return w
