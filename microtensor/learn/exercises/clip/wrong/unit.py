# expect: step=clip_norm input=grads
"""The norm becomes 1, and not max_norm."""

import numpy as np


def clip_norm(grads, max_norm):
    norm = np.sqrt(sum(np.sum(g**2) for g in grads))        # over all elements of all arrays
    factor = 1 / norm if norm > max_norm else 1
    return [g * factor for g in grads]


def clip_value(grads, limit):
    return [np.clip(g, -limit, limit) for g in grads]
