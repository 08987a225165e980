"""The axis is moved to the end, where everything is a loop over rows; the last of a tie has all of g."""

import numpy as np


def rows(x, axis):
    """The elements along the axis, as the rows of a matrix."""
    return np.moveaxis(x, axis, -1).reshape(-1, x.shape[axis])


def back(d, shape, axis):
    """An array of a shape from its rows."""
    moved = np.moveaxis(np.empty(shape), axis, -1).shape
    return np.moveaxis(np.array(d, dtype=float).reshape(moved), -1, axis)


def without(shape, axis):
    return shape[: axis % len(shape)] + shape[axis % len(shape) + 1 :]


def sum_along(x, axis):
    y = np.array([sum(row) for row in rows(x, axis)]).reshape(without(x.shape, axis))
    return y, (x.shape, axis)


def sum_along_backward(g, saved):
    shape, axis = saved
    return back([[s] * shape[axis] for s in g.ravel()], shape, axis)


def mean_along(x, axis):
    y, saved = sum_along(x, axis)
    return y / x.shape[axis], saved


def mean_along_backward(g, saved):
    shape, axis = saved
    return sum_along_backward(g, saved) / shape[axis]


def max_along(x, axis):
    y = np.array([max(row) for row in rows(x, axis)]).reshape(without(x.shape, axis))
    return y, (x.copy(), axis)


def max_along_backward(g, saved):
    x, axis = saved
    d = []
    for s, row in zip(g.ravel(), rows(x, axis), strict=True):
        last = max(j for j in range(len(row)) if row[j] == max(row))
        d.append([s if j == last else 0.0 for j in range(len(row))])
    return back(d, x.shape, axis)
