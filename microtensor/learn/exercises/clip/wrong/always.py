# expect: step=clip_norm input=grads hint=always
# corpus: Clip: always rescales
"""Short gradients are made longer."""

import numpy as np


def clip_norm(grads, max_norm):
    norm = np.sqrt(sum(np.sum(g**2) for g in grads))        # over all elements of all arrays
    factor = max_norm / (norm + 1e-6)
    return [g * factor for g in grads]


def clip_value(grads, limit):
    return [np.clip(g, -limit, limit) for g in grads]
