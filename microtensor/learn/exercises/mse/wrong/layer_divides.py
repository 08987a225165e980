# expect: step=gradient mse input=p hint=size
"""1/N stands in the gradient of w instead of in that of the loss."""

import numpy as np


def mse(p, t):
    error = p - t
    return np.mean(error**2), error


def mse_backward(g, error):
    dp = g * 2 * error
    return dp, -dp


def regression(x, w, t):
    y, error = mse(x @ w, t)
    return y, (x, w, error)


def regression_backward(g, saved):
    x, w, error = saved
    dp, dt = mse_backward(g, error)
    dx = np.outer(dp, w)        # (N,) and (I,) -> (N, I)
    dw = dp @ x / len(x)
    return dx, dw, dt
