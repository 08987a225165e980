"""Rectifiers: ReLU and LeakyReLU.                            about 20 minutes

    relu(x):                y = x where x > 0,    and 0 elsewhere
    leaky_relu(x, slope):   y = x where x > 0,    and slope * x elsewhere

Write both forward passes and both backward passes. x is an array of floats of any shape, each element stands by
itself, and slope is a number from 0 to 1, such as 0.1.

Forward returns a pair: the output y, of the same shape as x, and `saved`, whatever backward will need; that may be
one array, or a tuple of several things.

Backward is called with g and with what forward saved. g is the upstream gradient dL/dy: the derivative of a number L,
the loss, with respect to every element of y. Backward returns dx = dL/dx, which has the shape of x. By the chain rule

    dx = g * y'                 where y' is the derivative of y with respect to x, element by element

Three things to think about:

    - y' depends on x alone; g may have any sign. What is the least that forward must save?
    - At x = 0 the graph has a kink: the slope is 1 to the right of it, and 0 (or `slope`) to the left. Any number
      from the one to the other may stand for y' there, both ends included; it is called a subgradient. Another
      number, or nan, may not.
    - A network calls relu once in every layer, and all of these calls come before the first backward pass. So what
      backward needs must be in `saved`: a variable or an array that all calls share holds what the last call left.

Do not change x or g: make new arrays.
"""

import numpy as np


def relu(x):
    raise NotImplementedError


def relu_backward(g, saved):
    raise NotImplementedError


def leaky_relu(x, slope):
    raise NotImplementedError


def leaky_relu_backward(g, saved):
    raise NotImplementedError


if __name__ == "__main__":
    from microtensor import learn

    learn.main(__file__)
