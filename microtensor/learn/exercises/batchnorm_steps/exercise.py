"""Batch normalisation, node by node.                         about 45 minutes

x is an array of floats of shape (N, D): a batch of N rows, each of D features. Batch normalisation is computed in
six steps, and the result of each step is called a node. Every column is treated by itself, so the formulas are for
one column; i = 1 ... N is the row.

    node    shape       formula                                     in words

    m       (D,)        m = (1/N) sum over i of x_i                 the mean
    d       (N, D)      d_i = x_i - m                               the deviations from it
    v       (D,)        v = (1/N) sum over i of d_i^2               the variance, divided by N
    r       (D,)        r = (v + eps)^(-1/2)                        1 over a root; eps is a small number
    h       (N, D)      h_i = r d_i                                 the normalised x
    y       (N, D)      y_i = gamma h_i + beta                      the output; gamma and beta have shape (D,)

Write the forward pass and the backward pass.

Forward is called with x, gamma, beta, and sometimes eps. It returns a pair: the output y, and `saved`, whatever
backward will need; that may be one array, or a tuple or a dictionary of anything.

Backward is called with g and with what forward saved. g is the upstream gradient dL/dy: the derivative of a number
L, the loss, with respect to every element of y; it has the shape (N, D). Backward returns a dictionary with the
gradient of L with respect to every node and every input,

    {"beta": ..., "gamma": ..., "h": ..., "r": ..., "v": ..., "d": ..., "m": ..., "x": ...}

each of the shape of its node: "h" is dL/dh, written dh from here on, and so on. dL/dz says how L changes if z alone
is changed, and with it everything that is computed from z, directly or through other nodes. What z was computed
from stays as it is.

Go from y back to x. For each z, look for the formulas above with z on their right side. Each of them adds one term
to dz: the gradient of its left side, times the derivative of the formula with respect to z. So dv is dr times the
derivative of r with respect to v, as v stands on the right side of that formula only.

Two things to think about:

    - Of all nodes and inputs, two stand on the right side of two formulas. Their gradients have two terms.
    - Where a node of shape (D,) meets one of shape (N, D), all N rows use the same number. What does that mean for
      its gradient? And what is the derivative of a mean of N numbers with respect to one of them?

The grader compares the gradients in the order of the dictionary, and shows the first one that is wrong. It wants all
of them, although dx can also be had by a shorter way, which is the next exercise.

Do not change x, gamma, beta or g: make new arrays.
"""

import numpy as np


def batchnorm_steps(x, gamma, beta, eps=1e-5):
    raise NotImplementedError


def batchnorm_steps_backward(g, saved):
    raise NotImplementedError


if __name__ == "__main__":
    from microtensor import learn

    learn.main(__file__)
