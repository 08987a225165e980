"""By dot products of the flattened error; forward computes the derivatives, and backward scales them by g."""

import numpy as np


def mse(p, t):
    error = np.subtract(t, p)
    flat = error.ravel()
    return np.asarray(flat @ flat / flat.size), error * (-2 / flat.size)


def mse_backward(g, derivative):
    return [derivative * g, derivative * -g]


def regression(x, w, t):
    y, derivative = mse(x.dot(w), t)
    return y, (np.multiply.outer(derivative, w), np.einsum("ni,n->i", x, derivative), -derivative)


def regression_backward(g, derivatives):
    return tuple(g * derivative for derivative in derivatives)
