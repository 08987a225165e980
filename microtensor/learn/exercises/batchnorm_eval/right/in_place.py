"""The averages are moved in place towards those of the batch; the variance is corrected by N / (N - 1)."""

import numpy as np

from microtensor.learn.given import batchnorm, batchnorm_backward


def batchnorm_layer(x, gamma, beta, running, training, momentum=0.1, eps=1e-5):
    if not training:
        std = np.sqrt(running["var"] + eps)
        return (x - running["mean"]) / std * gamma + beta, ("evaluation", x, gamma, running["mean"].copy(), std)
    n = len(x)
    running["mean"] += momentum * (x.mean(axis=0) - running["mean"])
    running["var"] += momentum * (np.var(x, axis=0) * n / (n - 1) - running["var"])
    y, saved = batchnorm(x, gamma, beta, eps)
    return y, ("training", *saved)


def batchnorm_layer_backward(g, saved):
    mode, *saved = saved
    if mode == "training":
        return batchnorm_backward(g, tuple(saved))
    x, gamma, mean, std = saved
    return g * gamma / std, np.sum(g * (x - mean) / std, axis=0), np.sum(g, axis=0)


VERDICTS = {"training": "pass", "evaluation": "fail", "dead": "vacuous"}
