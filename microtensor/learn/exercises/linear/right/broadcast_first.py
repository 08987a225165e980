"""Products by broadcasting: all factors in one array, and a sum over one of its axes."""

import numpy as np

from microtensor.learn.given import unbroadcast


def linear(x, w, b):
    return (x[:, None, :] * w).sum(2) + b, (x, w)               # (N, O, I)


def linear_backward(g, saved):
    x, w = saved
    g = g[:, :, None]                                           # (N, O, 1)
    return (g * w).sum(1), (g * x[:, None]).sum(0), g.sum((0, 2))


def matmul(a, b):
    y = a @ b
    front = y.shape[:-2]
    a_all = np.broadcast_to(a, front + a.shape[-2:])
    b_all = np.broadcast_to(b, front + b.shape[-2:])
    return y, (a_all, b_all, a.shape, b.shape)


def matmul_backward(g, saved):
    a, b, a_shape, b_shape = saved
    product = g[..., :, None, :]                                # (..., M, 1, P)
    da = (product * b[..., None, :, :]).sum(-1)                 # (..., M, K)
    db = (product * a[..., :, :, None]).sum(-3)                 # (..., K, P)
    return np.asfortranarray(unbroadcast(da, a_shape)), np.asfortranarray(unbroadcast(db, b_shape))
