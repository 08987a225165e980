"""The Jacobian of each column, r (I - 11'/N - hh'/N), which is symmetric, in a loop over columns."""

import numpy as np


def batchnorm(x, gamma, beta, eps=1e-5):
    n, columns = x.shape
    y, saved = np.zeros((n, columns)), []
    for j in range(columns):
        mean = sum(x[:, j]) / n
        variance = sum((x[:, j] - mean) ** 2) / n
        root = (variance + eps) ** 0.5
        h = (x[:, j] - mean) / root
        y[:, j] = gamma[j] * h + beta[j]
        saved.append((h, root, gamma[j]))
    return y, saved


def batchnorm_backward(g, saved):
    dx, dgamma, dbeta = np.zeros_like(g), [], []
    for j, (h, root, weight) in enumerate(saved):
        n = len(h)
        jacobian = (np.eye(n) - np.ones((n, n)) / n - np.outer(h, h) / n) / root
        dx[:, j] = weight * jacobian @ g[:, j]
        dgamma.append(g[:, j] @ h)
        dbeta.append(g[:, j].sum())
    return dx, np.array(dgamma), np.array(dbeta)
