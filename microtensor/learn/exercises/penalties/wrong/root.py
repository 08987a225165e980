# expect: step=forward l2
"""The root of the sum of squares, a norm."""

import numpy as np


def l1(theta, lam):
    return lam * np.abs(theta).sum(), (theta, lam)


def l1_backward(g, saved):
    theta, lam = saved
    return g * lam * np.sign(theta)


def l2(theta, lam):
    return lam / 2 * np.linalg.norm(theta), (theta, lam)


def l2_backward(g, saved):
    theta, lam = saved
    return g * lam / 2 * theta / np.linalg.norm(theta)


def shrink(theta, t):
    return np.sign(theta) * np.maximum(np.abs(theta) - t, 0)


def proximal_step(theta, g, lr, lam):
    return shrink(theta - lr * g, lr * lam)
