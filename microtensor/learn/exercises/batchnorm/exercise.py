"""Batch normalisation.                                       about 40 minutes

x is an array of floats of shape (N, D): a batch of N rows, each of D features. Batch normalisation shifts and scales
every column so that its mean is 0 and its variance nearly 1, then multiplies it by a weight and adds a bias. These
are gamma and beta, of shape (D,), a number for each column. For one column with the elements x_i, i = 1 ... N:

    m = (1/N) sum over i of x_i                     the mean
    v = (1/N) sum over i of (x_i - m)^2             the variance, divided by N and not by N - 1
    r = 1 / sqrt(v + eps)                           eps is a small number; it stands inside of the root
    h_i = (x_i - m) r                               the normalised x
    y_i = gamma h_i + beta

Write the forward pass and the backward pass, for all columns at once.

Forward is called with x, gamma, beta, and sometimes eps. It returns a pair: the output y, of shape (N, D), and
`saved`, whatever backward will need; that may be one array, or a tuple of anything.

Backward is called with g and with what forward saved. g is the upstream gradient dL/dy: the derivative of a number
L, the loss, with respect to every element of y; it has the shape (N, D). Backward returns (dx, dgamma, dbeta), the
derivatives of L with respect to x, gamma and beta, each of the shape of its input.

Things to think about:

    - Each x_i enters its column of y in three ways: x_i itself stands in h_i; m holds it; and v holds it. So dx is
      a sum of three terms. The columns do not meet: every mean and every sum goes down one column.
    - A column may be constant. Then v is 0, and y is beta there.
    - The mean may be large and the spread small, such as 10000 and 0.01. On paper the variance is the mean of x^2,
      minus m^2. As floats both are near 10^8, and few digits of their difference are right.
    - A gamma may be 0: do not divide by it.

Derive dx on paper first. The result can be one line. (An answer in single steps, as in the exercise before, is
right as well.)

Do not change x, gamma, beta or g: make new arrays.
"""

import numpy as np


def batchnorm(x, gamma, beta, eps=1e-5):
    raise NotImplementedError


def batchnorm_backward(g, saved):
    raise NotImplementedError


if __name__ == "__main__":
    from microtensor import learn

    learn.main(__file__)
