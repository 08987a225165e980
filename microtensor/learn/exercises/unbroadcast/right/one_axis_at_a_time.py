"""Axis by axis, from the front."""

import numpy as np


def unbroadcast(g, shape):
    while g.ndim > len(shape):
        g = g.sum(axis=0)
    for axis in range(g.ndim):
        if shape[axis] == 1 and g.shape[axis] > 1:
            g = np.add.reduce(g, axis=axis, keepdims=True)
    return g


def both(a, b):
    """a and b, repeated, and their shapes."""
    y_shape = np.broadcast_shapes(a.shape, b.shape)
    return np.broadcast_to(a, y_shape), np.broadcast_to(b, y_shape), a.shape, b.shape


def add(a, b):
    return np.add(a, b), both(a, b)


def add_backward(g, saved):
    return tuple(unbroadcast(g, shape) for shape in saved[2:])


def sub(a, b):
    return np.subtract(a, b), both(a, b)


def sub_backward(g, saved):
    return unbroadcast(g, saved[2]), -unbroadcast(g, saved[3])


def div(a, b):
    return np.divide(a, b), both(a, b)


def div_backward(g, saved):
    a, b, a_shape, b_shape = saved
    return unbroadcast(g / b, a_shape), unbroadcast(np.negative(g) * a / np.square(b), b_shape)
