# expect: step=unbroadcast
"""An axis that was summed away shifts the numbers of those behind it."""


def unbroadcast(g, shape):
    for _ in range(g.ndim - len(shape)):
        g = g.sum(0)
    for axis, size in enumerate(shape):
        if size == 1:
            g = g.sum(axis)
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
