# expect: step=kinks l1 input=theta
"""theta / |theta| is nan at 0."""

import numpy as np


def l1(theta, lam):
    return lam * np.abs(theta).sum(), (theta, lam)


def l1_backward(g, saved):
    theta, lam = saved
    return g * lam * theta / np.abs(theta)


def l2(theta, lam):
    return lam / 2 * (theta**2).sum(), (theta, lam)


def l2_backward(g, saved):
    theta, lam = saved
    return g * lam * theta


def shrink(theta, t):
    return np.sign(theta) * np.maximum(np.abs(theta) - t, 0)


def proximal_step(theta, g, lr, lam):
    return shrink(theta - lr * g, lr * lam)
