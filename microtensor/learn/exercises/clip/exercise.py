"""Clipping gradients.                                        about 15 minutes

A single step of training can do harm if the gradient is very large there. So gradients are clipped before the step,
in one of two ways. Write both:

    clip_norm(grads, max_norm)      -> a list of arrays
    clip_value(grads, limit)        -> a list of arrays

grads is a list of arrays of floats: the gradients of all parameters of a model, at least one array, each of any
shape, () included. max_norm and limit are numbers above 0. Return a list of as many arrays, of the same shapes.

clip_norm takes all numbers in all arrays of grads for one long vector. Its norm is the root of the sum of the squares
of all these numbers. If the norm is above max_norm, the vector is made shorter, so that its norm is max_norm and its
direction stays the same. If not, the numbers stay as they are.

clip_value looks at each number by itself. One above limit becomes limit, one below -limit becomes -limit, and all
others stay as they are.

All gradients may be 0, and must then stay 0. Where you divide by the norm you may add 1e-6 to it, as some libraries
do: the results of clip_norm are compared to five digits.

Do not change the list grads or the arrays in it. What you return may hold arrays of grads where nothing was clipped.
"""

import numpy as np


def clip_norm(grads, max_norm):
    raise NotImplementedError


def clip_value(grads, limit):
    raise NotImplementedError


if __name__ == "__main__":
    from microtensor import learn

    learn.main(__file__)
