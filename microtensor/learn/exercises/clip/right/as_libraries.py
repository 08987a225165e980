"""As PyTorch has it: 1e-6 is added to the norm."""

import numpy as np


def clip_norm(grads, max_norm):
    norm = np.sqrt(np.sum([np.vdot(g, g) for g in grads]))
    factor = min(max_norm / (norm + 1e-6), 1.0)
    return [factor * g for g in grads]


def clip_value(grads, limit):
    return [g.clip(-limit, limit) for g in grads]
