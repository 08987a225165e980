"""ELU and SELU.                                              about 35 minutes

    elu(x, alpha):   y = x                  where x > 0
                     y = alpha (e^x - 1)    elsewhere
    selu(x):         y = lambda * elu(x, alpha), with two constants lambda and alpha that constants() returns

Write five functions: the forward and the backward pass of each, and constants(). x is an array of floats of any
shape, each element stands by itself, and alpha is a positive number.

Forward returns a pair: the output y, of the same shape as x, and `saved`, whatever backward will need; that may be
one array, or a tuple of several things.

Backward is called with g and with what forward saved. g is the upstream gradient dL/dy: the derivative of a number L,
the loss, with respect to every element of y. Backward returns dx = dL/dx, which has the shape of x. By the chain rule

    dx = g * y'                 where y' is the derivative of y with respect to x, element by element

Four things to think about:

    - y' can be written with y and the constants alone, without an exponential. Which array should forward save?
    - e^1000 is inf as a float, and inf times 0 is nan. What is inf must not get into the result.
    - For x near 0, such as -1e-9, y is nearly alpha x. But e^x is so near to 1 there that the difference e^x - 1
      keeps only half of its digits. NumPy has a function for e^x - 1 that keeps them all: np.expm1.
    - At x = 0 the graph has a kink: the slope of ELU is alpha to the left of it and 1 to the right, and SELU's slopes
      are lambda times these. Any number from the one to the other may stand for y' there, both ends included.

Do not change x or g: make new arrays.

The constants. SELU is made for deep networks: lambda and alpha are chosen so that for an input z that is normally
distributed with mean 0 and variance 1 the output y = selu(z) has mean 0 and variance 1 again, layer after layer. That
is two demands for two constants. E is the expected value; E[f; A] is the part of it that comes from A: the integral
over A of f times the density of z, which is e^(-z^2/2) / sqrt(2 pi).

    mean 0:       E[y]   = lambda   (E[z; z > 0]   + alpha   E[e^z - 1; z <= 0])     = 0
    variance 1:   E[y^2] = lambda^2 (E[z^2; z > 0] + alpha^2 E[(e^z - 1)^2; z <= 0]) = 1

The first demand gives alpha, and then the second gives lambda. All four integrals can be worked out on paper:
multiply (e^z - 1)^2 out, complete the square in e^(az) e^(-z^2/2), and use that a standard normal number lies below
-a with the probability erfc(a / sqrt(2)) / 2. Python's module math has the function erfc.

constants() returns the pair (lambda, alpha) of floats, each with a relative error of at most 1e-12. `lambda` is a
word of Python's own: choose another name for it there, such as scale. selu is called often while it is graded: if
your constants() takes long, call it once and keep what it returns.
"""

import numpy as np


def elu(x, alpha):
    raise NotImplementedError


def elu_backward(g, saved):
    raise NotImplementedError


def constants():
    raise NotImplementedError


def selu(x):
    raise NotImplementedError


def selu_backward(g, saved):
    raise NotImplementedError


if __name__ == "__main__":
    from microtensor import learn

    learn.main(__file__)
