# expect: step=gradient input=x
"""Back through ln p and softmax one after the other, with 1/p, where p may be 0."""

import numpy as np


def cross_entropy(x, t):
    shifted = x - x.max(1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return -np.mean(log_p[np.arange(len(t)), t]), (np.exp(log_p), t)


def cross_entropy_backward(g, saved):
    p, t = saved
    dp = np.zeros_like(p)
    dp[np.arange(len(t)), t] = -g / len(t) / p[np.arange(len(t)), t]
    return p * (dp - (dp * p).sum(1, keepdims=True))
