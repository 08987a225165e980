# expect: step=forward
"""p is kept away from 0."""

import numpy as np


def cross_entropy(x, t):
    shifted = x - x.max(1, keepdims=True)
    e = np.exp(shifted)
    p = e / e.sum(1, keepdims=True)
    return -np.mean(np.log(np.clip(p[np.arange(len(t)), t], 1e-15, 1))), (p, t)


def cross_entropy_backward(g, saved):
    p, t = saved
    dx = p.copy()
    dx[np.arange(len(t)), t] -= 1
    return g * dx / len(t)
