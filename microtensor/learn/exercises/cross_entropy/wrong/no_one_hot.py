# expect: step=gradient input=x hint=offset
"""p alone: the term of the right class is missing."""

import numpy as np


def cross_entropy(x, t):
    shifted = x - x.max(1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return -np.mean(log_p[np.arange(len(t)), t]), (np.exp(log_p), t)


def cross_entropy_backward(g, saved):
    p, t = saved
    dx = p.copy()
    return g * dx / len(t)
