"""The gradient of log-softmax, of an upstream gradient that is -g/N at the right classes and 0 elsewhere."""

import numpy as np


def log_softmax(x):
    z = np.asfortranarray(x) - np.amax(x, axis=-1)[:, None]
    return z - np.log(np.sum(np.exp(z), axis=-1))[:, None]


def cross_entropy(x, t):
    z = log_softmax(x)
    return -np.take_along_axis(z, t[:, None], axis=1).mean(), (z, t.copy())


def cross_entropy_backward(g, saved):
    z, t = saved
    dz = np.zeros(z.shape)
    np.subtract.at(dz, (np.arange(len(t)), t), g / len(t))
    return dz - np.exp(z) * dz.sum(axis=1, keepdims=True)
