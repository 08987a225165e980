"""Reductions along an axis, from n elements to one.

sum:  dy/dx_k = 1, so dx_k = g: g is repeated along the axis
mean: dy/dx_k = 1/n, so dx_k = g / n
max:  dy/dx_k = 1 for the largest, 0 for all others; the t elements of a tie share g, each getting g / t
"""

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
    share = is_largest / is_largest.sum(axis, keepdims=True)    # 1/t for each of t that are tied, 0 for all others
    return np.expand_dims(g, axis) * share
