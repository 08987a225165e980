"""Dropout.                                                   about 20 minutes

In training, dropout sets some elements of x to 0, which are chosen at random:

    - Each element is dropped with probability p, independently of all other elements: there y is 0.
    - All other elements are multiplied by one and the same factor. It depends on p alone, and is such that the mean
      of each y_i, over many calls with the same x, is x_i. Which factor is that?

In evaluation, when the trained network is used, y = x.

Write the forward pass and the backward pass.

Forward is called with x, an array of floats of any shape; with p, a number with 0 <= p < 1; with training, which is
True or False; and with rng, a random generator of NumPy, such as np.random.default_rng(0). Draw what you need from
rng and from nothing else: rng.random(shape), for example, is an array of numbers that are uniform in [0, 1). Then
equal generators give equal outputs, and every further call with one generator drops other elements.

Forward returns a pair: the output y, of the shape of x, and `saved`, whatever backward will need; that may be one
array, or a tuple of several things.

Backward is called with g and with what forward saved. g is the upstream gradient dL/dy: the derivative of a number
L, the loss, with respect to every element of y. Backward returns dx = dL/dx, which has the shape of x. It is the
gradient for the y that forward returned, whether that was in training or in evaluation.

A network calls dropout once in every layer, and all of these calls come before the first backward pass. So what
backward needs must be in `saved`, and not in a variable that all calls share.

Do not change x or g: make new arrays.
"""

import numpy as np


def dropout(x, p, training, rng):
    raise NotImplementedError


def dropout_backward(g, saved):
    raise NotImplementedError


if __name__ == "__main__":
    from microtensor import learn

    learn.main(__file__)
