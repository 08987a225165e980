"""Column by column, in loops; a mean that is forgotten for the second use, and arrays that are kept between calls."""

import numpy as np

KEPT = {}


def columns(g, saved, slip):
    dx, dgamma, dbeta = np.zeros_like(g), np.zeros(g.shape[1]), np.zeros(g.shape[1])
    for j in range(g.shape[1]):
        n, gamma, r, h, u = len(g), saved[0][j], saved[1][j], saved[2][:, j], g[:, j]
        if slip == "nonlinear":
            u = u * (u < 0.25)
        mean = 0 if slip == "mean" else sum(u) / n
        variance = sum(u * h) / (n - 1 if slip == "ddof" else n)
        for i in range(n):
            dx[i, j] = (1 if slip == "column" else gamma) * r * (u[i] - mean - h[i] * variance)
            dgamma[j] += u[i] * h[i]
            dbeta[:] += u[i] * (np.arange(g.shape[1]) == j) if slip != "axis" else u[i]
    return dx, dgamma, dbeta


def forge_ddof(g, saved):
    return columns(g, saved, "ddof")


def forge_mean(g, saved):
    return columns(g, saved, "mean")


def forge_column(g, saved):
    return columns(g, saved, "column")


def forge_axis(g, saved):
    return columns(g, saved, "axis")


def forge_nonlinear(g, saved):
    return columns(g, saved, "nonlinear")


def forge_repeat(g, saved):
    dx, dgamma, dbeta = columns(g, saved, "")
    KEPT["dgamma"] = KEPT.get("dgamma", 0) + dgamma
    return dx, KEPT["dgamma"].copy(), dbeta
