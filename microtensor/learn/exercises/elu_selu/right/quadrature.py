"""The integrals by Gauss and Legendre, not by erfc; masks; the derivative is computed in forward."""

import numpy as np


def expected(f):
    """E[f(z); z <= 0], over [-40, 0], in pieces of length 1."""
    nodes, weights = np.polynomial.legendre.leggauss(20)
    total = 0.0
    for end in range(-39, 1):
        z = end - 0.5 + 0.5 * nodes
        total += 0.5 * np.sum(weights * f(z) * np.exp(-z * z / 2)) / np.sqrt(2 * np.pi)
    return total


def constants():
    alpha = expected(lambda z: z) / expected(np.expm1)      # E[z; z > 0] = -E[z; z <= 0]
    square = expected(lambda z: z * z) + alpha**2 * expected(lambda z: np.expm1(z) ** 2)
    return np.array([square**-0.5, alpha])


def elu(x, alpha):
    y, slope = x.copy(), np.ones(x.shape)
    negative = x < 0
    y[negative] = alpha * np.expm1(x[negative])
    slope[negative] = alpha + y[negative]
    return y, slope


def elu_backward(g, slope):
    dx = g.copy()
    dx *= slope
    return dx


SCALE, ALPHA = constants()


def selu(x):
    y, slope = elu(x, ALPHA)
    return y * SCALE, (slope * SCALE,)


def selu_backward(g, saved):
    return saved[0] * g
