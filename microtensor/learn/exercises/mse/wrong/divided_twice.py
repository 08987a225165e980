# expect: step=gradient regression input=w hint=size
# corpus: Linear with a mean loss: dW divided by N twice
"""The gradient of w is divided by N again, as if it were a mean over the batch once more."""

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
    dw = x.T @ dp / len(x)
    return dx, dw, dt
