"""Cross-entropy: ln p_c = x_c - ln s, and d(ln s)/dx_c = e^x_c / s = p_c. So for one row of class t

    d(-ln p_t)/dx_c = p_c - q_c,  where q_c is 1 if c = t, and 0 otherwise; times g / N for the mean over N rows.

With each row's maximum subtracted from x, no exponent is above 0, and s lies between 1 and C.
"""

import numpy as np


def cross_entropy(x, t):
    shifted = x - x.max(1, keepdims=True)                                   # (N, C)
    log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))         # (N, C)
    return -np.mean(log_p[np.arange(len(t)), t]), (np.exp(log_p), t)        # the element t_n of each row n


def cross_entropy_backward(g, saved):
    p, t = saved
    dx = p.copy()
    dx[np.arange(len(t)), t] -= 1       # p - q
    return g * dx / len(t)
