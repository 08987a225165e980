"""Clipping: a positive factor that is the same for all gradients keeps the direction of their vector.

max_norm / norm makes the norm max_norm. The factor is at most 1, so that short vectors stay as they are.
"""

import numpy as np


def clip_norm(grads, max_norm):
    norm = np.sqrt(sum(np.sum(g**2) for g in grads))        # over all elements of all arrays
    factor = max_norm / max(norm, max_norm)                 # 1 up to max_norm, also where the norm is 0
    return [g * factor for g in grads]


def clip_value(grads, limit):
    return [np.clip(g, -limit, limit) for g in grads]
