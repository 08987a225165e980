"""Sigmoid.                                                   about 15 minutes

    y = 1 / (1 + e^-x)          each element by itself; y lies between 0 and 1

Write the forward pass and the backward pass.

Forward is called with x, an array of floats of any shape. It returns a pair: the output y, of the same shape, and
`saved`, whatever backward will need; that may be one array, or a tuple of them.

Backward is called with g and with what forward saved. g is the upstream gradient dL/dy: the derivative of a number L,
the loss, with respect to every element of y. Backward returns dx = dL/dx, which has the shape of x. By the chain rule

    dx = g * y'                 where y' is the derivative of the sigmoid

Two things to think about:

    - e^-x for x = -1000 is too large for a float, but y is not. Forward must be right there, too.
    - y' can be written with y alone. Which array should forward save?

Do not change x or g: make new arrays.
"""

import numpy as np


def sigmoid(x):
    raise NotImplementedError


def sigmoid_backward(g, saved):
    raise NotImplementedError


if __name__ == "__main__":
    from microtensor import learn

    learn.main(__file__)
