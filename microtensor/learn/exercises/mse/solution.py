"""Mean squared error of K elements: y = (1/K) sum_i (p_i - t_i)^2, so dy/dp_i = 2 (p_i - t_i) / K = -dy/dt_i.

Regression: p_n = sum_i x_ni w_i, so dx_ni = dp_n w_i and dw_i = sum_n x_ni dp_n, a plain sum: the 1/N of the mean is in
dp already.
"""

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
    dw = dp @ x                 # (N,) (N, I) -> (I,)
    return dx, dw, dt
