# expect: step=gradient sum
"""g is repeated without its axis, which fits for axis 0 alone."""

import numpy as np


def sum_along(x, axis):
    return x.sum(axis), (x.shape, axis)


def sum_along_backward(g, saved):
    shape, _axis = saved
    return np.broadcast_to(g, shape)


def mean_along(x, axis):
    return x.mean(axis), (x.shape, axis)


def mean_along_backward(g, saved):
    shape, axis = saved
    return sum_along_backward(g, saved) / shape[axis]


def max_along(x, axis):
    largest = x.max(axis, keepdims=True)
    return largest.squeeze(axis), (x == largest, axis)


def max_along_backward(g, saved):
    is_largest, axis = saved
    share = is_largest / is_largest.sum(axis, keepdims=True)    # 1/t for each of t that are tied, 0 for all others
    return np.expand_dims(g, axis) * share
