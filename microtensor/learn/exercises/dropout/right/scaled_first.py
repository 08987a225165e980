"""p is set to 0 in evaluation; a flat mask, whose dropped elements are kept as indices."""

import numpy as np


def dropout(x, p, training, rng):
    p = p if training else 0
    dropped = np.flatnonzero(rng.uniform(0, 1, x.size) < p)
    y = (x / (1 - p)).reshape(-1)
    y[dropped] = 0
    return y.reshape(x.shape), (dropped, 1 - p)


def dropout_backward(g, saved):
    dropped, share = saved
    dx = g.flatten() / share
    dx[dropped] = 0
    return dx.reshape(g.shape)
