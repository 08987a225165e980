# expect: step=gradient max input=x hint=ties
# corpus: Max: all of g to each tie
"""Each of the tied elements has all of g."""

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
    return np.expand_dims(g, axis) * is_largest
