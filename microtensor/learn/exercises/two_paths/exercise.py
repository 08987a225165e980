"""Two paths: what is used twice gets two gradients, added.   about 25 minutes

    silu(x):            y = x * s(x), with the sigmoid s(x) = 1 / (1 + e^-x), each element by itself
    shared(a, b, w):    y[0] = w * a and y[1] = w * b, element by element
    gather(x, index):   y[j] = x[index[j]] for every j: rows of x, picked by number

In each of them something reaches y on more than one path: x as a factor and x inside the sigmoid; w in both halves of
y; a row of x that is picked several times. The chain rule runs over all paths from an input to L, and adds up:

    dL/dx = the sum over all paths of (dL/dy along this path) * (the derivative of this path)

Write the three forward passes and the three backward passes.

    silu:     x is an array of floats of any shape, and so is y.
    shared:   a, b and w are arrays of floats of one shape, such as (3, 5); y has the shape (2, 3, 5).
    gather:   x has the shape (N, D), and index is an array of M integers from 0 to N - 1; y has the shape (M, D).
              A row may be picked never, once or often, in any order.

Forward returns a pair: the output y, and `saved`, whatever backward will need; that may be one array, or a tuple of
several things.

Backward is called with g and with what forward saved. g is the upstream gradient dL/dy: the derivative of a number L,
the loss, with respect to every element of y, so that g has the shape of y. Backward returns the gradient of L with
respect to each input that is an array of floats, in the shape of that input: silu_backward returns dx,
shared_backward the tuple (da, db, dw), and gather_backward dx. The index has no gradient.

Two things to think about:

    - silu must be right at x = 1000 and at x = -1000, too: which form of it is free of inf / inf?
    - What is the gradient of a row of x that was never picked?

Do not change the inputs or g: make new arrays.
"""

import numpy as np


def silu(x):
    raise NotImplementedError


def silu_backward(g, saved):
    raise NotImplementedError


def shared(a, b, w):
    raise NotImplementedError


def shared_backward(g, saved):
    raise NotImplementedError


def gather(x, index):
    raise NotImplementedError


def gather_backward(g, saved):
    raise NotImplementedError


if __name__ == "__main__":
    from microtensor import learn

    learn.main(__file__)
