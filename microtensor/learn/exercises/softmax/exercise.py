"""Softmax.                                                   about 25 minutes

    y_k = e^x_k / s,        s = sum over j of e^x_j         for each row by itself

Softmax turns scores into probabilities. A row is what lies along the last axis of x: an array of shape (2, 3, 7) has
2 * 3 rows of 7 scores. All y_k of a row are positive (as a float 0, if they are too small), and their sum is 1.

    softmax(x) -> (y, saved)
    softmax_backward(g, saved) -> dx

    x       scores: an array of floats, of any shape with at least one axis
    y, dx   arrays of the same shape

`saved` is whatever backward will need: an array, or a tuple of several things.

Forward must be right for scores such as 1000 and -1000, too: e^1000 is too large for a float, and e^-1000 is 0 as a
float, but y is between 0 and 1. One row may lie near 1000, and another row of the same array near -1000.

Backward is called with g and with what forward saved. g is the upstream gradient dL/dy: the derivative of a number L,
the loss, with respect to every element of y. Backward returns dx = dL/dx. Every y_k depends on every x_l of its row,
because s holds them all. So by the chain rule, in each row

    dx_l = sum over k of g_k dy_k/dx_l

For a row of C scores the derivatives dy_k/dx_l are a matrix of C times C numbers, the Jacobian matrix. If C is 50000,
as for the words that a language model may choose from, it takes 20 gigabytes for each row. So do not make this
matrix: put the formula for its elements into the sum, and simplify the sum. The memory that both passes take is
measured.

Do not change x, y or g after they are made, nor what forward saved: make new arrays.
"""

import numpy as np


def softmax(x):
    raise NotImplementedError


def softmax_backward(g, saved):
    raise NotImplementedError


if __name__ == "__main__":
    from microtensor import learn

    learn.main(__file__)
