"""One operation after the other: shift, exponential, sum, quotient; the path of the shift is there, and gives 0."""

import numpy as np


def softmax(x):
    largest = np.amax(x, axis=-1, keepdims=True)
    e = np.exp(x - largest)
    s = np.sum(e, axis=-1, keepdims=True)
    return e / s, (e, s, x == largest)


def softmax_backward(g, saved):
    e, s, is_largest = saved
    de = g / s                                                  # y = e / s
    ds = -np.sum(g * e, axis=-1, keepdims=True) / s**2
    de = de + ds                                                # s = sum of e
    dshifted = de * e                                           # e = exp(shifted)
    dlargest = -np.sum(dshifted, axis=-1, keepdims=True)        # shifted = x - largest
    ties = np.sum(is_largest, axis=-1, keepdims=True)
    return dshifted + is_largest * dlargest / ties
