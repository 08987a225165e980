# expect: step=gradient mse
"""The targets are taken for constants, and have no gradient."""

import numpy as np


def mse(p, t):
    error = p - t
    return np.mean(error**2), error


def mse_backward(g, error):
    dp = g * 2 * error / error.size
    return dp


def regression(x, w, t):
    y, error = mse(x @ w, t)
    return y, (x, w, error)


def regression_backward(g, saved):
    x, w, error = saved
    dp = mse_backward(g, error)
    dx = np.outer(dp, w)        # (N,) and (I,) -> (N, I)
    dw = dp @ x                 # (N,) (N, I) -> (I,)
    return dx, dw, -dp
