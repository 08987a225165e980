"""Mean squared error.                                        about 15 minutes

1. The loss.

    mse(p, t) -> (y, saved)                         y = the mean of (p - t)^2 over all elements
    mse_backward(g, saved) -> (dp, dt)

    p       predictions: an array of floats, of any shape
    t       targets: an array of the same shape
    y       one number: a float, or an array that has no axes

`saved` is whatever backward will need: an array, or a tuple of several things.

Backward is called with g and with what forward saved. g is the upstream gradient dL/dy: the derivative of a number L
with respect to y. It is one number, as y is, and comes as an array that has no axes. If y alone is minimised, then L
is y, and g is 1. But L may also be 0.3 y plus other terms, and then g is 0.3. Backward returns dp = dL/dp, of the
shape of p, and dt = dL/dt, of the shape of t.

Forward must be right, too, where p and t are large and differ little: 1000000.25 and 1000000, for example.

2. The same loss, of the predictions of a linear model.

    regression(x, w, t) -> (y, saved)               y = mse(p, t) of the predictions p = x @ w
    regression_backward(g, saved) -> (dx, dw, dt)

    x   (N, I)      a batch: N rows of I inputs
    w   (I,)        the weights
    t   (N,)        a target for each row; p has this shape, too: p_n = sum over i of x_ni w_i

The backward pass of the loss gives dp, and dp is the upstream gradient of the product x @ w. Each w_i enters all N
predictions, and the loss is a mean over N. So where must you divide by N: in the backward pass of the loss, in that
of the product, or in both?

Do not change p, t, x, w or g, nor what forward saved: make new arrays. Backward may be called again with the same
`saved`, and must then return the same.
"""

import numpy as np


def mse(p, t):
    raise NotImplementedError


def mse_backward(g, saved):
    raise NotImplementedError


def regression(x, w, t):
    raise NotImplementedError


def regression_backward(g, saved):
    raise NotImplementedError


if __name__ == "__main__":
    from microtensor import learn

    learn.main(__file__)
