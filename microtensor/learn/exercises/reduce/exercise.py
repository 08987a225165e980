"""Sum, mean and maximum along an axis.                       about 25 minutes

Write the forward and the backward pass of three reductions. Each replaces the n elements that lie along one axis
of x by one number, and so removes that axis: x of shape (2, 3, 5) with axis = 1 gives y of shape (2, 5), and n
is 3.

    sum_along:    y = x_1 + ... + x_n
    mean_along:   y = (x_1 + ... + x_n) / n
    max_along:    y = the largest of x_1, ..., x_n

Forward is called with x, an array of floats with at least one axis, and with axis, a whole number: 0, 1, ...
count the axes from the first, and -1, -2, ... from the last. No size is 0. It returns a pair: y, and `saved`,
whatever backward will need; that may be one array, or a tuple of anything. If x has one axis only, then y is a
single number, an array of shape ().

Backward is called with g and with what forward saved. g is the upstream gradient dL/dy: the derivative of a
number L, the loss, with respect to every element of y. It has the shape of y. Backward returns dx = dL/dx, which
has the shape of x. By the chain rule

    dx_k = g * dy/dx_k          for each of the n elements that y was made of

The maximum may be reached by several elements at once, as in a row of zeros; this is called a tie. No derivative
exists there, and any choice is right for which

    - each of the tied elements gets a share of g between 0 and all of it, and every other element gets 0,
    - the shares of one tie add up to g.

Such a choice is called a subgradient. So you may give all of g to one of them, or divide it among them.

Do not change x or g: make new arrays.
"""

import numpy as np


def sum_along(x, axis):
    raise NotImplementedError


def sum_along_backward(g, saved):
    raise NotImplementedError


def mean_along(x, axis):
    raise NotImplementedError


def mean_along_backward(g, saved):
    raise NotImplementedError


def max_along(x, axis):
    raise NotImplementedError


def max_along_backward(g, saved):
    raise NotImplementedError


if __name__ == "__main__":
    from microtensor import learn

    learn.main(__file__)
