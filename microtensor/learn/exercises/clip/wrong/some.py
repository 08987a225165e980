# expect: step=clip_norm input=grads
"""Only arrays whose own norm is too large are made shorter."""

import numpy as np


def clip_norm(grads, max_norm):
    norm = np.sqrt(sum(np.sum(g**2) for g in grads))        # over all elements of all arrays
    factor = max_norm / max(norm, max_norm)                 # 1 up to max_norm, also where the norm is 0
    return [g * factor if np.linalg.norm(g) > max_norm else g for g in grads]


def clip_value(grads, limit):
    return [np.clip(g, -limit, limit) for g in grads]
