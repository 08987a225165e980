"""In steps, without the term of dm that is zero: the d_i sum to 0."""

import numpy as np


def batchnorm(x, gamma, beta, eps=1e-5):
    mean = x.mean(0)
    variance = np.mean((x - mean) ** 2, 0)
    return (x - mean) * gamma * (variance + eps) ** -0.5 + beta, (x - mean, variance + eps, gamma)


def batchnorm_backward(g, saved):
    centred, variance, gamma = saved
    dnormalised = g * gamma
    dvariance = np.sum(dnormalised * centred, 0) * -0.5 * variance**-1.5
    dmean = np.sum(-dnormalised * variance**-0.5, 0)
    dx = dnormalised * variance**-0.5 + dvariance * 2 * centred / len(g) + dmean / len(g)
    return dx, np.sum(g * centred * variance**-0.5, 0), np.sum(g, 0)
