"""Row by row, and matrix by matrix: each contributes to the matrix that it came from."""

import numpy as np


def linear(x, w, b):
    y = np.zeros((len(x), len(w)))
    for n in range(len(x)):
        y[n] = w @ x[n] + b
    return y, [x, w, b]


def linear_backward(g, saved):
    x, w, b = saved
    dx, dw, db = np.zeros_like(x), np.zeros_like(w), np.zeros_like(b)
    for n in range(len(x)):
        dx[n] = w.T @ g[n]
        dw += np.outer(g[n], x[n])
        db += g[n]
    return dx, dw, db


def source(place, x):
    """The place in the axes in front of x that was repeated to a place in those of y."""
    front = x.shape[:-2]
    place = place[len(place) - len(front):]
    return tuple(i if size > 1 else 0 for i, size in zip(place, front, strict=True))


def matmul(a, b):
    return np.matmul(a, b), (a, b)


def matmul_backward(g, saved):
    a, b = saved
    da, db = np.zeros_like(a), np.zeros_like(b)
    for place in np.ndindex(g.shape[:-2]):
        i, j = source(place, a), source(place, b)
        da[i] += g[place] @ b[j].T
        db[j] += a[i].T @ g[place]
    return da, db
