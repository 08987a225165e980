# expect: step=gradient mse input=p hint=two
# corpus: A loss of small numbers (1e-6): twice the gradient
"""The exponent 2, and 2 again because the error is both factors of its square."""

import numpy as np


def mse(p, t):
    error = p - t
    return np.mean(error**2), error


def mse_backward(g, error):
    dp = g * 2 * 2 * error / error.size
    return dp, -dp


def regression(x, w, t):
    y, error = mse(x @ w, t)
    return y, (x, w, error)


def regression_backward(g, saved):
    x, w, error = saved
    dp, dt = mse_backward(g, error)
    dx = np.outer(dp, w)        # (N,) and (I,) -> (N, I)
    dw = dp @ x                 # (N,) (N, I) -> (I,)
    return dx, dw, dt
