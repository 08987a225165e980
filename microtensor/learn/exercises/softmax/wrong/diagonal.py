# expect: step=gradient input=x hint=diagonal
# corpus: Softmax: the diagonal only
"""The derivative of the sigmoid: the diagonal of the Jacobian alone."""

import numpy as np


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    y = e / e.sum(-1, keepdims=True)
    return y, y


def softmax_backward(g, y):
    return g * y * (1 - y)
