# expect: step=gradient regression input=w hint=power
"""x_ni w_i stands where its derivative with respect to w_i belongs, which is x_ni."""

import numpy as np


def mse(p, t):
    error = p - t
    return np.mean(error**2), error


def mse_backward(g, error):
    dp = g * 2 * error / error.size
    return dp, -dp


def regression(x, w, t):
    y, error = mse(x @ w, t)
    return y, (x, w, error)


def regression_backward(g, saved):
    x, w, error = saved
    dp, dt = mse_backward(g, error)
    dx = np.outer(dp, w)        # (N,) and (I,) -> (N, I)
    dw = dp @ (x * w)                 # (N,) (N, I) -> (I,)
    return dx, dw, dt
