# expect: step=clip_value
"""What is beyond the limit becomes 0."""

import numpy as np


def clip_norm(grads, max_norm):
    norm = np.sqrt(sum(np.sum(g**2) for g in grads))        # over all elements of all arrays
    factor = max_norm / max(norm, max_norm)                 # 1 up to max_norm, also where the norm is 0
    return [g * factor for g in grads]


def clip_value(grads, limit):
    return [np.where(np.abs(g) > limit, 0, g) for g in grads]
