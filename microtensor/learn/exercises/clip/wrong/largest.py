# expect: step=clip_norm input=grads
"""The largest number is taken for the norm."""

import numpy as np


def clip_norm(grads, max_norm):
    norm = max(np.max(np.abs(g)) for g in grads)
    factor = max_norm / max(norm, max_norm)                 # 1 up to max_norm, also where the norm is 0
    return [g * factor for g in grads]


def clip_value(grads, limit):
    return [np.clip(g, -limit, limit) for g in grads]
