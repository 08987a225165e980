"""Element by element, into arrays of zeros; the model stands alone."""

import numpy as np


def mse(p, t):
    total = 0.0
    for place in np.ndindex(p.shape):
        total += (p[place] - t[place]) ** 2
    return total / p.size, {"p": p, "t": t}


def mse_backward(g, saved):
    p, t = saved["p"], saved["t"]
    dp, dt = np.zeros(p.shape), np.zeros(t.shape)
    for place in np.ndindex(p.shape):
        dp[place] += g * 2 * (p[place] - t[place]) / p.size
        dt[place] -= g * 2 * (p[place] - t[place]) / p.size
    return {"p": dp, "t": dt}


def regression(x, w, t):
    total = 0.0
    for row, target in zip(x, t, strict=True):
        total += (sum(row * w) - target) ** 2
    return float(total / len(t)), [x, w, t]


def regression_backward(g, saved):
    x, w, t = saved
    dx, dw, dt = np.zeros(x.shape), np.zeros(w.shape), np.zeros(t.shape)
    for n in range(len(x)):
        slope = 2 * g * (sum(x[n] * w) - t[n]) / len(x)
        dx[n] = slope * w
        dw += slope * x[n]
        dt[n] = -slope
    return dx, dw, dt
