"""The norm of the norms of the arrays is that of all; a tuple; clip_value by the sign and the size."""

import numpy as np


def clip_norm(grads, max_norm):
    norm = np.linalg.norm([np.linalg.norm(g) for g in grads])
    divisor = max(norm / max_norm, 1.0)
    return tuple(g / divisor for g in grads)


def clip_value(grads, limit):
    return tuple(np.sign(g) * np.where(abs(g) < limit, abs(g), limit) for g in grads)
