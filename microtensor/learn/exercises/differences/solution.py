"""Central differences: f(x + h) - f(x - h) = 2 h f' + h^3 f''' / 3 + ..., as all even terms cancel.

The error is h^2 / 6 of the formula, and eps / (2 h) of rounding: two values, each off by up to eps / 2, over 2 h. The
derivative of the sum is 0 where h^3 = 3/2 eps, and cbrt(eps) = 6e-6 is nearly that.
"""

import numpy as np

STEP = np.cbrt(np.finfo(float).eps)


def numeric(f, x, g, h):
    dx = np.zeros(x.shape)
    for i in np.ndindex(x.shape):                   # i is a tuple, one index for each axis of x
        move = np.zeros(x.shape)
        move[i] = h
        change = f(x + move) - f(x - move)          # of the shape of y
        dx[i] = np.sum(g * change) / (2 * h)
    return dx
