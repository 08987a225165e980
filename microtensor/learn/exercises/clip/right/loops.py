"""Loops over numbers, the math module, masks."""

import math

import numpy as np


def clip_norm(grads, max_norm):
    total = 0.0
    for g in grads:
        for number in g.flat:
            total += number * number
    norm = math.sqrt(total)
    result = []
    for g in grads:
        new = g.copy()
        if norm > max_norm:
            new *= max_norm
            new /= norm
        result.append(new)
    return result


def clip_value(grads, limit):
    result = []
    for g in grads:
        new = np.array(g)
        new[new > limit] = limit
        new[new < -limit] = -limit
        result.append(new)
    return result
