"""Row by row, with the math module; forward computes the derivatives."""

import math

import numpy as np


def cross_entropy(x, t):
    total = 0.0
    derivative = np.zeros(x.shape)
    for n, row in enumerate(x.tolist()):
        largest = max(row)
        log_s = largest + math.log(sum(math.exp(score - largest) for score in row))
        total += log_s - row[t[n]]
        for c, score in enumerate(row):
            derivative[n, c] = (math.exp(score - log_s) - (c == t[n])) / len(t)
    return total / len(t), derivative


def cross_entropy_backward(g, derivative):
    return float(g) * derivative
