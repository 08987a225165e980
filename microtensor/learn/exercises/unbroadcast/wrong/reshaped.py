# expect: step=unbroadcast
"""The copies are cut off, not added up."""


def unbroadcast(g, shape):
    for _ in range(g.ndim - len(shape)):
        g = g[0]
    return g[tuple(slice(0, 1) if size == 1 else slice(None) for size in shape)]


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
