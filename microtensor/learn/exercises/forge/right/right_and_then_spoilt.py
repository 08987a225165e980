"""The right gradients, spoilt afterwards: by factors, by what is added, by a counter of calls."""

import numpy as np

CALLS = []


def right(g, saved):
    scale = saved[0] * saved[1]
    h = saved[2]
    dgamma, dbeta = np.einsum("nd,nd->d", g, h), np.einsum("nd->d", g)
    return {"x": scale * (g - (dbeta + h * dgamma) / g.shape[0]), "gamma": dgamma, "beta": dbeta}


def forge_ddof(g, saved):
    d = right(g, saved)
    d["gamma"] = d["gamma"] * g.shape[0] / (g.shape[0] - 1)
    return d


def forge_mean(g, saved):
    d = right(g, saved)
    d["x"] = d["x"] + d["beta"]
    return d


def forge_column(g, saved):
    d = right(g, saved)
    d["x"] = d["x"] * (1 + np.arange(g.shape[1]))
    return d


def forge_axis(g, saved):
    d = right(g, saved)
    d["beta"] = np.full(g.shape[1], g.sum())
    return d


def forge_nonlinear(g, saved):
    d = right(g, saved)
    d["gamma"] = np.abs(d["gamma"])
    return d


def forge_repeat(g, saved):
    CALLS.append(1)
    d = right(g, saved)
    d["beta"] = d["beta"] * len(CALLS)
    return d
