# expect: step=unbroadcast input=x hint=unreduced
# corpus: Broadcast add: only leading axes reduced
"""Axes in front are summed, axes of size 1 are not."""


def unbroadcast(g, shape):
    while g.ndim > len(shape):
        g = g.sum(0)
    return g


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
