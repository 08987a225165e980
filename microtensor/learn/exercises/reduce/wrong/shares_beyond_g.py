# expect: step=gradient max input=x
"""The shares of a tie add up to g, but are 2 g and -g."""

import numpy as np


def sum_along(x, axis):
    return x.sum(axis), (x.shape, axis)


def sum_along_backward(g, saved):
    shape, axis = saved
    return np.broadcast_to(np.expand_dims(g, axis), shape)      # (2, 5) -> (2, 1, 5) -> (2, 3, 5)


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
    count = is_largest.cumsum(axis) * is_largest
    several = is_largest.sum(axis, keepdims=True) > 1
    share = np.where(several, 2.0 * (count == 1) - (count == 2), is_largest)
    return np.expand_dims(g, axis) * share
