# expect: step=gradient mean input=x hint=size
"""Divided by the size of axis 0, whatever the axis is."""

import numpy as np


def sum_along(x, axis):
    return x.sum(axis), (x.shape, axis)


def sum_along_backward(g, saved):
    shape, axis = saved
    return np.broadcast_to(np.expand_dims(g, axis), shape)      # (2, 5) -> (2, 1, 5) -> (2, 3, 5)


def mean_along(x, axis):
    return x.mean(axis), (x.shape, axis)


def mean_along_backward(g, saved):
    shape, _axis = saved
    return sum_along_backward(g, saved) / shape[0]


def max_along(x, axis):
    largest = x.max(axis, keepdims=True)
    return largest.squeeze(axis), (x == largest, axis)


def max_along_backward(g, saved):
    is_largest, axis = saved
    share = is_largest / is_largest.sum(axis, keepdims=True)    # 1/t for each of t that are tied, 0 for all others
    return np.expand_dims(g, axis) * share
