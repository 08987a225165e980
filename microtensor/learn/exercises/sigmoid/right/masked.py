"""Two halves by a mask; the derivative is computed in forward."""

import numpy as np


def sigmoid(x):
    y = np.zeros(x.shape)
    positive = x > 0
    y[positive] = 1 / (1 + np.exp(-x[positive]))
    exponential = np.exp(x[~positive])
    y[~positive] = exponential / (exponential + 1)
    saved = {"derivative": y - y**2}
    return y, saved


def sigmoid_backward(g, saved):
    dx = g.copy()
    dx *= saved["derivative"]
    return dx
