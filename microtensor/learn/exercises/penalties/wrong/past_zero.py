# expect: step=shrink
"""t is taken off also where |theta| is smaller: the step goes past 0."""

import numpy as np


def l1(theta, lam):
    return lam * np.abs(theta).sum(), (theta, lam)


def l1_backward(g, saved):
    theta, lam = saved
    return g * lam * np.sign(theta)


def l2(theta, lam):
    return lam / 2 * (theta**2).sum(), (theta, lam)


def l2_backward(g, saved):
    theta, lam = saved
    return g * lam * theta


def shrink(theta, t):
    return theta - t * np.sign(theta)


def proximal_step(theta, g, lr, lam):
    return shrink(theta - lr * g, lr * lam)
