"""Cross-entropy of scores.                                   about 30 minutes

    p_nc = e^x_nc / s_n,    s_n = sum over j of e^x_nj      row n of scores as probabilities: its softmax
    y = -(1/N) sum over n of ln p_nk,  k being t_n          the mean over the rows; ln is the natural logarithm

This is the loss of a classifier. It is small where every row gives its own class t_n a probability near 1.

    cross_entropy(x, t) -> (y, saved)
    cross_entropy_backward(g, saved) -> dx

    x   (N, C)      floats: scores of C classes for each of N rows, also called logits
    t   (N,)        integers from 0 to C - 1: the class that is right for each row
    y               one number: a float, or an array that has no axes

`saved` is whatever backward will need: an array, or a tuple of several things.

Backward is called with g and with what forward saved. g is the upstream gradient dL/dy: the derivative of a number L
with respect to y. It is one number, as y is, and comes as an array that has no axes. If y alone is minimised, then L
is y, and g is 1. But L may also be 0.3 y plus other terms, and then g is 0.3. Backward returns dx = dL/dx, of the
shape of x. t is not differentiated, as it is made of integers.

Scores may be as large as 1000 or -1000, and one class may lie far ahead. For x = [[1000, 0]] and t = [1] the
probability e^-1000 is 0 as a float, and its logarithm is -inf; but y is 1000, and dx = g * [[1, -1]]. Both passes
must be right there, and exact: a small number added to p before the logarithm makes y finite, and wrong. So write ln
p_nc with x and s first, and simplify it, before you program or differentiate anything. That is why softmax and loss
are one function.

Do not change x, t or g, nor what forward saved: make new arrays. Backward may be called again with the same `saved`,
and must then return the same.
"""

import numpy as np


def cross_entropy(x, t):
    raise NotImplementedError


def cross_entropy_backward(g, saved):
    raise NotImplementedError


if __name__ == "__main__":
    from microtensor import learn

    learn.main(__file__)
