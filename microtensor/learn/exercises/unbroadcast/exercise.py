"""Un-broadcasting.                                           about 25 minutes

In an operation of two arrays of different shapes, such as a + b, NumPy repeats each array to one common shape;
this is called broadcasting. The shapes are aligned at their right ends. An array is repeated

    - along every axis that the common shape has in front of the array's own axes,
    - along every axis where the array has size 1 and the common shape has another size.

    shape of x        is repeated to        along
    (5,)              (3, 5)                axis 0, which is in front
    (3, 1)            (3, 5)                axis 1, where x has size 1
    (2, 1, 5)         (7, 2, 3, 5)          axis 0, which is in front, and axis 2, where x has size 1
    ()                (3, 5)                both axes; x is a single number
    (1, 5)            (1, 5)                no axis: it has that shape already

All sizes in this exercise are at least 1.

1. Write the backward pass of this repetition.

    unbroadcast(g, shape) -> dx

An array x with the given shape, a tuple, was repeated to the shape of g. Here g is the gradient dL/dy of the
repeated array y: the derivative of a number L, the loss, with respect to every element of y. Return dx = dL/dx,
an array whose shape is `shape`. One element of x stands at several places of y, and L depends on it through each
of them. What does the chain rule do with the contributions of several places?

2. Write the forward and the backward pass of three operations, each element by itself.

    add: y = a + b          sub: y = a - b          div: y = a / b

Forward is called with two arrays of floats whose shapes may differ, as in the table; y has their common shape. It
returns a pair: y, and `saved`, whatever backward will need; that may be one array, or a tuple of anything.

Backward is called with g = dL/dy, the upstream gradient, which has the shape of y, and with what forward saved.
It returns the pair (da, db); da = dL/da has the shape of a, and db = dL/db has the shape of b. One example is a
product: for y = a * b every place of y contributes g * b to the gradient of a; where a was repeated, unbroadcast
comes after this, as the contributions of the copies differ.

Do not change a, b or g: make new arrays.
"""

import numpy as np


def unbroadcast(g, shape):
    raise NotImplementedError


def add(a, b):
    raise NotImplementedError


def add_backward(g, saved):
    raise NotImplementedError


def sub(a, b):
    raise NotImplementedError


def sub_backward(g, saved):
    raise NotImplementedError


def div(a, b):
    raise NotImplementedError


def div_backward(g, saved):
    raise NotImplementedError


if __name__ == "__main__":
    from microtensor import learn

    learn.main(__file__)
