"""All gradients are put into one vector; arrays stay the same objects if nothing is clipped."""

import numpy as np


def clip_norm(grads, max_norm):
    vector = np.concatenate([np.ravel(g) for g in grads])
    norm = np.linalg.norm(vector)
    if norm <= max_norm:
        return grads
    return [g * (max_norm / norm) for g in grads]


def clip_value(grads, limit):
    return [np.minimum(limit, np.maximum(g, -limit)) for g in grads]
