"""Penalties: d|theta|/dtheta = sign(theta), with 0 at the kink, and d(theta^2 / 2)/dtheta = theta.

shrink: for z > 0 the derivative z - theta + t is 0 at z = theta - t, which is positive only if theta > t; for z < 0 at
z = theta + t, only if theta < -t. Otherwise the minimum is at the kink. All three: |theta| less t, but not below 0.
proximal_step: times lr, the sum is (z - (theta - lr g))^2 / 2 + lr lam |z|, and a constant.
"""

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
    return np.sign(theta) * np.maximum(np.abs(theta) - t, 0)


def proximal_step(theta, g, lr, lam):
    return shrink(theta - lr * g, lr * lam)
