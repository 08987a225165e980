"""Tanh.                                                      about 10 minutes

    y = (e^x - e^-x) / (e^x + e^-x)         each element by itself; y lies between -1 and 1

Write the forward pass and the backward pass, so that they keep no array but y.

Forward is called with x, an array of floats of any shape. It returns a pair: the output y, of the same shape, and
`saved`, whatever backward will need. After forward has returned, x is freed, unless `saved` still holds it, and that
costs memory until backward has run. y is kept in any case, as the next layer needs it. So here y and `saved` together
must not take more memory than y alone; this is measured.

Backward is called with g and with what forward saved. g is the upstream gradient dL/dy: the derivative of a number L,
the loss, with respect to every element of y. Backward returns dx = dL/dx, which has the shape of x. By the chain rule

    dx = g * y'                 where y' is the derivative of tanh with respect to x, element by element

You may call np.tanh. If you would rather compute y yourself, it must be right where e^x is too large for a float, as
at x = 1000, and for small x, as at x = 1e-10, where e^x - e^-x loses most of its digits.

Do not change x, y or g after they are made: make new arrays.
"""

import numpy as np


def tanh(x):
    raise NotImplementedError


def tanh_backward(g, saved):
    raise NotImplementedError


if __name__ == "__main__":
    from microtensor import learn

    learn.main(__file__)
