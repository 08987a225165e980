"""Node by node, and everything recomputed from x in backward."""

import numpy as np


def batchnorm(x, gamma, beta, eps=1e-5):
    y = gamma * (x - np.mean(x, axis=0)) / np.sqrt(np.var(x, axis=0) + eps) + beta
    return y, {"x": x, "gamma": gamma, "eps": eps}


def batchnorm_backward(g, saved):
    x, gamma, eps = saved["x"], saved["gamma"], saved["eps"]
    n = x.shape[0]
    mu = x.mean(axis=0)
    xmu = x - mu
    var = np.sum(xmu**2, axis=0) / n
    sqrtvar = np.sqrt(var + eps)
    ivar = 1.0 / sqrtvar
    xhat = xmu * ivar

    dbeta = np.sum(g, axis=0)
    dgamma = np.sum(g * xhat, axis=0)
    dxhat = g * gamma
    divar = np.sum(dxhat * xmu, axis=0)
    dxmu1 = dxhat * ivar
    dsqrtvar = -1.0 / (sqrtvar**2) * divar
    dvar = 0.5 / np.sqrt(var + eps) * dsqrtvar
    dsq = np.ones_like(x) * dvar / n
    dxmu2 = 2 * xmu * dsq
    dx1 = dxmu1 + dxmu2
    dmu = -np.sum(dxmu1 + dxmu2, axis=0)
    dx2 = np.ones_like(x) * dmu / n
    return dx1 + dx2, dgamma, dbeta
