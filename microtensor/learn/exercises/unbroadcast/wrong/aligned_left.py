# expect: step=unbroadcast
"""Shapes are compared from the left, where NumPy compares them from the right."""


def unbroadcast(g, shape):
    for axis, size in enumerate(shape):
        if size != g.shape[axis]:
            g = g.sum(axis, keepdims=True)
    return g.reshape(shape)


def add(a, b):
    return a + b, (a.shape, b.shape)


def add_backward(g, saved):
    a_shape, b_shape = saved
    return unbroadcast(g, a_shape), unbroadcast(g, b_shape)


def sub(a, b):
    return a - b, (a.shape, b.shape)


def sub_backward(g, saved):
    a_shape, b_shape = saved
    return unbroadcast(g, a_shape), unbroadcast(-g, b_shape)


def div(a, b):
    return a / b, (a, b)


def div_backward(g, saved):
    a, b = saved
    return unbroadcast(g / b, a.shape), unbroadcast(-g * a / b**2, b.shape)
