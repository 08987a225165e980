"""Place by place: a place of y, read from the right, and 0 where an axis has size 1."""

import numpy as np


def source(place, shape):
    """The index of the element that was copied to a place."""
    place = place[len(place) - len(shape):]
    return tuple(i if size > 1 else 0 for i, size in zip(place, shape, strict=True))


def unbroadcast(g, shape):
    dx = np.zeros(shape)
    for place in np.ndindex(g.shape):
        dx[source(place, shape)] += g[place]
    return dx


def add(a, b):
    return a + b, (a, b)


def add_backward(g, saved):
    a, b = saved
    return unbroadcast(g, a.shape), unbroadcast(g, b.shape)


def sub(a, b):
    return a - b, (a, b)


def sub_backward(g, saved):
    a, b = saved
    return unbroadcast(g, a.shape), unbroadcast(-g, b.shape)


def div(a, b):
    return a / b, (a, b)


def div_backward(g, saved):
    a, b = saved
    da, db = np.zeros(a.shape), np.zeros(b.shape)
    for place in np.ndindex(g.shape):
        i, j = source(place, a.shape), source(place, b.shape)
        da[i] += g[place] / b[j]
        db[j] -= g[place] * a[i] / b[j] ** 2
    return da, db
