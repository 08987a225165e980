"""The derivative is made in forward; shrink takes off what clip leaves; the proximal step is written out."""

import numpy as np


def l1(theta, lam):
    signs = (theta > 0).astype(float) - (theta < 0)
    return lam * np.sum(theta * signs), lam * signs


def l1_backward(g, slope):
    return np.multiply(g, slope)


def l2(theta, lam):
    return 0.5 * lam * np.vdot(theta, theta), lam * theta


def l2_backward(g, slope):
    return np.multiply(g, slope)


def shrink(theta, t):
    return theta - np.clip(theta, -t, t)


def proximal_step(theta, g, lr, lam):
    u = theta - lr * g
    return u - np.clip(u, -lr * lam, lr * lam)
