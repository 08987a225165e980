# expect: step=gradient sum
"""A global variable for what forward saves: the next forward pass overwrites it."""

import numpy as np


def sum_along(x, axis):
    global shape_and_axis
    shape_and_axis = x.shape, axis
    return x.sum(axis), None


def sum_along_backward(g, saved):
    shape, axis = shape_and_axis
    return np.broadcast_to(np.expand_dims(g, axis), shape)      # (2, 5) -> (2, 1, 5) -> (2, 3, 5)


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
