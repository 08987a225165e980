"""Every formula written out, and other slips: the other ddof, a sign, a square, means of everything."""

import numpy as np


def forge_ddof(g, saved):
    gamma, r, h = saved
    n = len(g)
    dx = gamma * r * (g - g.mean(0) - h * (g * h).sum(0) * (n - 1) / n**2)
    return dx, (g * h).sum(0), g.sum(0)


def forge_mean(g, saved):
    gamma, r, h = saved
    dx = gamma * r * (g + g.mean(0) - h * (g * h).mean(0))
    return dx, (g * h).sum(0), g.sum(0)


def forge_column(g, saved):
    gamma, r, h = saved
    dx = gamma * r**2 * (g - g.mean(0) - h * (g * h).mean(0))
    return dx, (g * h).sum(0), g.sum(0)


def forge_axis(g, saved):
    gamma, r, h = saved
    dx = gamma * r * (g - g.mean() - h * (g * h).mean())
    return dx, (g * h).sum(0), g.sum(0)


def forge_nonlinear(g, saved):
    gamma, r, h = saved
    g = np.clip(g, -0.5, 0.5)
    dx = gamma * r * (g - g.mean(0) - h * (g * h).mean(0))
    return dx, (g * h).sum(0), g.sum(0)


def forge_repeat(g, saved):
    gamma, r, h = saved
    dx = gamma * r * (g - g.mean(0) - h * (g * h).mean(0))
    return dx + np.random.standard_normal(dx.shape), (g * h).sum(0), g.sum(0)
