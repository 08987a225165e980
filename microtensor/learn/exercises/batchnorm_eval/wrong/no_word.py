# expect: step=verdicts input=dead
"""What is written is no verdict."""

import numpy as np

from microtensor.learn.given import batchnorm, batchnorm_backward


def batchnorm_layer(x, gamma, beta, running, training, momentum=0.1, eps=1e-5):
    if training:
        running["mean"] = (1 - momentum) * running["mean"] + momentum * x.mean(0)
        running["var"] = (1 - momentum) * running["var"] + momentum * x.var(0, ddof=1)
        y, saved = batchnorm(x, gamma, beta, eps)
    else:
        r = 1 / np.sqrt(running["var"] + eps)
        h = (x - running["mean"]) * r
        y, saved = gamma * h + beta, (gamma * r, h)
    return y, (training, saved)


def batchnorm_layer_backward(g, saved):
    training, saved = saved
    if training:
        return batchnorm_backward(g, saved)
    scale, h = saved
    return scale * g, (g * h).sum(0), g.sum(0)


VERDICTS = {"training": "PASS", "evaluation": "FAIL", "dead": "ZERO"}
