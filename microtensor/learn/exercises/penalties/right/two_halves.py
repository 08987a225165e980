"""norm() for the sums; shrink is the sum of a positive and a negative part."""

import numpy as np


def l1(theta, lam):
    return lam * np.linalg.norm(theta.reshape(-1), 1), (lam, np.where(theta >= 0, 1.0, -1.0))


def l1_backward(g, saved):
    lam, sign = saved
    return lam * (g * sign)


def l2(theta, lam):
    return np.asarray(lam * np.linalg.norm(theta) ** 2 / 2), (lam, theta)


def l2_backward(g, saved):
    lam, theta = saved
    return (g * lam) * np.asfortranarray(theta)


def shrink(theta, t):
    return np.maximum(theta - t, 0) + np.minimum(theta + t, 0)


def proximal_step(theta, g, lr, lam):
    z = shrink((theta - lr * g) / lr, lam)
    return lr * z
