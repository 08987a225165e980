# expect: step=gradient input=x
"""e^(x - m) is saved, and taken for p: the sum is missing."""

import numpy as np


def cross_entropy(x, t):
    shifted = x - x.max(1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return -np.mean(log_p[np.arange(len(t)), t]), (np.exp(shifted), t)


def cross_entropy_backward(g, saved):
    p, t = saved
    dx = p.copy()
    dx[np.arange(len(t)), t] -= 1
    return g * dx / len(t)
