# expect: step=gradient relu input=x hint=mask
# corpus: ReLU: mask of an x that was overwritten
"""The buffer that is saved is used again for something else."""

import numpy as np


def relu(x):
    z = x.copy()
    y = np.maximum(z, 0)
    saved = z
    z -= z.mean()
    return y, saved


def relu_backward(g, saved):
    return g * (saved > 0)


def leaky_relu(x, slope):
    factor = np.where(x > 0, 1, slope)
    return factor * x, factor


def leaky_relu_backward(g, factor):
    return g * factor
