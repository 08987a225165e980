# expect: step=gradient div input=b hint=sign
"""The minus of -a/b^2 is lost."""


def unbroadcast(g, shape):
    in_front = tuple(range(g.ndim - len(shape)))
    size_1 = tuple(axis for axis, size in enumerate(shape) if size == 1)
    return g.sum(in_front).sum(size_1, keepdims=True)


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
    return unbroadcast(g / b, a.shape), unbroadcast(g * a / b**2, b.shape)
