# expect: step=gradient shared input=w hint=overwritten
# corpus: Shared w: dW = instead of +=
"""dw is assigned for each use, where it should be added to."""

import numpy as np


def silu(x):
    e = np.exp(-np.abs(x))
    s = np.where(x >= 0, 1, e) / (1 + e)
    return x * s, (x, s)


def silu_backward(g, saved):
    x, s = saved
    return g * s + g * x * s * (1 - s)


def shared(a, b, w):
    return np.stack([w * a, w * b]), (a, b, w)


def shared_backward(g, saved):
    a, b, w = saved
    gradients = {}
    for half, name, x in ((g[0], "a", a), (g[1], "b", b)):
        gradients[name] = half * w
        gradients["w"] = half * x
    return gradients["a"], gradients["b"], gradients["w"]


def gather(x, index):
    return x[index], (x.shape, index)


def gather_backward(g, saved):
    shape, index = saved
    dx = np.zeros(shape)
    np.add.at(dx, index, g)
    return dx
