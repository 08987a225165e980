"""Central differences.                                       about 20 minutes

A gradient can be checked without a formula for it: move one element of x a little, and see how the output changes.
Write this check, and find the step with which it is most exact.

1. numeric(f, x, g, h) -> dx

    f       a function: called with an array of the shape of x, it returns y, an array of any shape, or a number
    x       the point, an array of any shape; a single number is an array of shape (), and has one element
    g       the upstream gradient dL/dy: the derivative of a number L, the loss, with respect to every element of y;
            it has the shape of y
    h       the step, a number above 0

It returns dx, an array of floats of the shape of x: for every element i of x

    dx_i = sum over all j of  g_j (y+_j - y-_j) / (2 h)             with y+ = f(x + h e_i),  y- = f(x - h e_i)

e_i has the shape of x; it is 1 at element i, and 0 elsewhere. j runs over all elements of y, as L may depend on x_i
through each of them. This is called a central difference.

    - x may hold integers, and it may be a view of another array, such as a transposed one.
    - f may return its argument itself, or a view of it.
    - You may move x itself. But in the end x and g must hold what they held before, to the last bit, and in floats
      x + h - h is not always x.

2. STEP, a number: the h for which numeric errs least, in float64, where y, all its derivatives and g are about 1 in
   size. Two errors add up. Let eps be np.finfo(float).eps = 2.2e-16.

    - One is of the formula. By Taylor's series (f(x + h) - f(x - h)) / (2 h) = f' + h^2 f''' / 6 + ...
    - One is of rounding: a float has 16 digits. So each value of f is off by up to eps / 2, and is then divided.

   The first grows with h, the second grows as h shrinks. An h is right if the sum of both is at most ten times the
   least sum that there is.
"""

import numpy as np

STEP = None         # a number


def numeric(f, x, g, h):
    raise NotImplementedError


if __name__ == "__main__":
    from microtensor import learn

    learn.main(__file__)
