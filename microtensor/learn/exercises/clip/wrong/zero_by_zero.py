# expect: step=edges
"""0 / 0 where all gradients are 0."""

import numpy as np


def clip_norm(grads, max_norm):
    norm = np.sqrt(sum(np.sum(g**2) for g in grads))        # over all elements of all arrays
    return [g / norm * min(norm, max_norm) for g in grads]


def clip_value(grads, limit):
    return [np.clip(g, -limit, limit) for g in grads]
