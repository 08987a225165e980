"""Loops over elements, with an if for each case."""

import numpy as np


def l1(theta, lam):
    total = 0.0
    for element in theta.ravel():
        total += abs(element)
    return lam * total, {"theta": theta.copy(), "lam": lam}


def l1_backward(g, saved):
    d = np.zeros_like(saved["theta"])
    for place in np.ndindex(d.shape):
        d[place] = g * saved["lam"] if saved["theta"][place] > 0 else -g * saved["lam"]
    return d


def l2(theta, lam):
    total = 0.0
    for element in theta.ravel():
        total += element * element / 2
    return lam * total, {"theta": theta.copy(), "lam": lam}


def l2_backward(g, saved):
    d = np.zeros_like(saved["theta"])
    for place in np.ndindex(d.shape):
        d[place] = g * saved["lam"] * saved["theta"][place]
    return d


def shrink(theta, t):
    z = np.zeros_like(theta)
    for place in np.ndindex(theta.shape):
        if theta[place] > t:
            z[place] = theta[place] - t
        elif theta[place] < -t:
            z[place] = theta[place] + t
    return z


def proximal_step(theta, g, lr, lam):
    new = theta.copy()
    new -= lr * g
    return shrink(new, lam * lr)
