"""Both modes in one formula, with mean and variance of the batch or of the past; two terms more in training."""

import numpy as np


def batchnorm_layer(x, gamma, beta, running, training, momentum=0.1, eps=1e-5):
    mean, var = running["mean"], running["var"]
    if training:
        mean, var = x.mean(0), x.var(0)
        unbiased = ((x - mean) ** 2).sum(0) / (len(x) - 1)
        running.update(mean=running["mean"] * (1 - momentum) + mean * momentum,
                       var=running["var"] * (1 - momentum) + unbiased * momentum)
    h = (x - mean) / np.sqrt(var + eps)
    return h * gamma + beta, {"h": h, "scale": gamma / np.sqrt(var + eps), "training": training}


def batchnorm_layer_backward(g, saved):
    h = saved["h"]
    dx = g
    if saved["training"]:
        dx = dx - g.mean(0) - h * (g * h).mean(0)
    return {"x": saved["scale"] * dx, "gamma": np.einsum("ij,ij->j", g, h), "beta": np.ones(len(g)) @ g}


VERDICTS = {"training": "PASS", "evaluation": "FAIL", "dead": "VACUOUS"}
