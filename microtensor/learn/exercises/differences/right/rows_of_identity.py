"""The rows of an identity are the moves; the chain rule as a product of vectors."""

import numpy as np

STEP = (3 * np.finfo(np.float64).eps / 2) ** (1 / 3)


def numeric(f, x, g, h):
    moves = h * np.eye(x.size).reshape(x.size, *x.shape)
    slopes = [(np.ravel(f(x + move)) - np.ravel(f(x - move))) / (2 * h) for move in moves]
    return (np.array(slopes) @ g.ravel()).reshape(x.shape)
