"""By tanh, which does not overflow: y = (1 + tanh(x/2)) / 2, y' = (1 - tanh(x/2)^2) / 4."""

import numpy as np


def sigmoid(x):
    t = np.tanh(0.5 * x)
    return 0.5 * (1 + t), (t,)


def sigmoid_backward(g, saved):
    (t,) = saved
    return 0.25 * g * (1 - t * t)
