"""By einsum, where every letter says what is summed; an ellipsis stands for the axes in front."""

import numpy as np

from microtensor.learn.given import unbroadcast


def linear(x, w, b):
    return np.einsum("ni,oi->no", x, w) + b, {"x": x, "w": w}


def linear_backward(g, saved):
    return (np.einsum("no,oi->ni", g, saved["w"]), np.einsum("no,ni->oi", g, saved["x"]), np.einsum("no->o", g))


def matmul(a, b):
    return np.einsum("...mk,...kp->...mp", a, b), (a, b)


def matmul_backward(g, saved):
    a, b = saved
    da = np.einsum("...mp,...kp->...mk", g, b)
    db = np.einsum("...mk,...mp->...kp", a, g)
    return unbroadcast(da, a.shape), unbroadcast(db, b.shape)
