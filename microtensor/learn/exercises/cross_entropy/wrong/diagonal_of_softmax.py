# expect: step=gradient input=x hint=mask
"""Back through ln p and the diagonal of softmax: only the right class gets a gradient."""

import numpy as np


def cross_entropy(x, t):
    shifted = x - x.max(1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return -np.mean(log_p[np.arange(len(t)), t]), (np.exp(log_p), t)


def cross_entropy_backward(g, saved):
    p, t = saved
    dx = np.zeros_like(p)
    dx[np.arange(len(t)), t] = p[np.arange(len(t)), t] - 1
    return g * dx / len(t)
