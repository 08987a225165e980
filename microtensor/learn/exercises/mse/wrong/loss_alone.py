# expect: step=gradient regression input=x
"""The upstream gradient of x @ w is taken to be g, the one of the loss."""

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
    dx = g * np.outer(np.ones(len(x)), w)
    dw = g * x.sum(0)
    dt = mse_backward(g, error)[1]
    return dx, dw, dt
