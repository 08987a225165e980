# expect: step=gradient input=x hint=upstream
"""g multiplies p, and not the 1 that is subtracted."""

import numpy as np


def cross_entropy(x, t):
    shifted = x - x.max(1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return -np.mean(log_p[np.arange(len(t)), t]), (np.exp(log_p), t)


def cross_entropy_backward(g, saved):
    p, t = saved
    dx = g * p
    dx[np.arange(len(t)), t] -= 1
    return dx / len(t)
