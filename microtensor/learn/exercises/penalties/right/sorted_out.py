"""shrink by boolean masks, a third derivative at the kink of L1."""

import numpy as np


def l1(theta, lam):
    return np.abs(lam * theta).sum(), (theta, lam)


def l1_backward(g, saved):
    theta, lam = saved
    slope = np.full(theta.shape, 0.5)
    slope[theta > 0], slope[theta < 0] = 1, -1
    return g * lam * slope


def l2(theta, lam):
    return (lam * theta**2 / 2).sum(), (theta, lam)


def l2_backward(g, saved):
    theta, lam = saved
    return lam * g * theta


def shrink(theta, t):
    z = theta - t * np.sign(theta)
    z[np.abs(theta) <= t] = 0
    return z


def proximal_step(theta, g, lr, lam):
    u = theta - lr * g
    factor = np.maximum(1 - lr * lam / np.maximum(np.abs(u), 1e-300), 0)
    return factor * u
