"""In loops over columns and rows, everything recomputed from x."""

import numpy as np


def batchnorm_steps(x, gamma, beta, eps=1e-5):
    y = np.empty(x.shape)
    for j in range(x.shape[1]):
        d = x[:, j] - x[:, j].sum() / len(x)
        y[:, j] = gamma[j] * d / ((d @ d) / len(x) + eps) ** 0.5 + beta[j]
    return y, (x.copy(), gamma.copy(), eps)


def batchnorm_steps_backward(g, saved):
    x, gamma, eps = saved
    n, width = x.shape
    gradients = {name: np.zeros(width) for name in ("beta", "gamma", "r", "v", "m")}
    gradients |= {name: np.zeros((n, width)) for name in ("h", "d", "x")}
    for j in range(width):
        d = x[:, j] - x[:, j].sum() / n
        v = d @ d / n
        r = 1 / (v + eps) ** 0.5
        for i in range(n):
            gradients["beta"][j] += g[i, j]
            gradients["gamma"][j] += g[i, j] * r * d[i]
            gradients["h"][i, j] = gamma[j] * g[i, j]
            gradients["r"][j] += gradients["h"][i, j] * d[i]
        gradients["v"][j] = -0.5 * (v + eps) ** -1.5 * gradients["r"][j]
        for i in range(n):
            gradients["d"][i, j] = r * gradients["h"][i, j] + 2 * d[i] * gradients["v"][j] / n
            gradients["m"][j] -= gradients["d"][i, j]
        for i in range(n):
            gradients["x"][i, j] = gradients["d"][i, j] + gradients["m"][j] / n
    return gradients
