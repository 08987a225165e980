# expect: step=gradient mse input=p hint=repeat
"""The saved error is multiplied in place."""

import numpy as np


def mse(p, t):
    error = p - t
    return np.mean(error**2), error


def mse_backward(g, error):
    error *= g * 2 / error.size
    return error, -error


def regression(x, w, t):
    y, error = mse(x @ w, t)
    return y, (x, w, error)


def regression_backward(g, saved):
    x, w, error = saved
    dp, dt = mse_backward(g, error)
    dx = np.outer(dp, w)        # (N,) and (I,) -> (N, I)
    dw = dp @ x                 # (N,) (N, I) -> (I,)
    return dx, dw, dt
