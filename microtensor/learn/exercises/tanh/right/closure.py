"""The backward pass is a function that forward makes; the derivative is 1 / cosh(x)^2, and x comes back from y."""

import numpy as np


def tanh(x):
    y = np.tanh(x)

    def pull_back(g):
        return g / np.square(np.cosh(np.arctanh(y)))

    return y, pull_back


def tanh_backward(g, pull_back):
    return pull_back(g)
