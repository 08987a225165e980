"""dbeta and dgamma first, and dx from them; keepdims everywhere."""

import numpy as np


def batchnorm(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=0, keepdims=True)
    std = np.sqrt(x.var(axis=0, keepdims=True) + eps)
    normalised = (x - mean) / std
    return np.asfortranarray(normalised * gamma + beta), (normalised, std, gamma)


def batchnorm_backward(g, saved):
    normalised, std, gamma = saved
    count = normalised.shape[0]
    dgamma = np.einsum("nd,nd->d", g, normalised)
    dbeta = np.einsum("nd->d", g)
    dx = gamma / (count * std) * (count * g - dbeta - normalised * dgamma)
    return dx, dgamma, dbeta
