# expect: step=gradient sum
"""The slices of the shape are wrong for a negative axis."""

import numpy as np


def sum_along(x, axis):
    return x.sum(axis), (x.shape, axis)


def sum_along_backward(g, saved):
    shape, axis = saved
    return np.broadcast_to(g.reshape(shape[:axis] + (1,) + shape[axis + 1:]), shape)


def mean_along(x, axis):
    return x.mean(axis), (x.shape, axis)


def mean_along_backward(g, saved):
    shape, axis = saved
    return np.broadcast_to(np.expand_dims(g, axis), shape) / shape[axis]


def max_along(x, axis):
    largest = x.max(axis, keepdims=True)
    return largest.squeeze(axis), (x == largest, axis)


def max_along_backward(g, saved):
    is_largest, axis = saved
    share = is_largest / is_largest.sum(axis, keepdims=True)    # 1/t for each of t that are tied, 0 for all others
    return np.expand_dims(g, axis) * share
