# expect: step=clip_norm input=grads hint=each
# corpus: Clip: the norm of each tensor
"""Each array is clipped by a norm of its own."""

import numpy as np


def clip_norm(grads, max_norm):
    return [g * min(1, max_norm / (np.linalg.norm(g) + 1e-6)) for g in grads]


def clip_value(grads, limit):
    return [np.clip(g, -limit, limit) for g in grads]
