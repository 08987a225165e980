"""Batch normalisation in evaluation: mean and r are constants, so that y is a line in x, and dx = gamma r g.

A bias before the layer is in the mean of the batch, and is subtracted with it: in training db = 0 wherever b is, and
moving b verifies it. In evaluation a constant is subtracted, and db is not 0. The gradient of a dead unit is 0 only
where it is dead.
"""

import numpy as np

from microtensor.learn.given import batchnorm, batchnorm_backward


def batchnorm_layer(x, gamma, beta, running, training, momentum=0.1, eps=1e-5):
    if training:
        running["mean"] = (1 - momentum) * running["mean"] + momentum * x.mean(0)
        running["var"] = (1 - momentum) * running["var"] + momentum * x.var(0, ddof=1)
        y, saved = batchnorm(x, gamma, beta, eps)
    else:
        r = 1 / np.sqrt(running["var"] + eps)       # (D,)
        h = (x - running["mean"]) * r               # (N, D)
        y, saved = gamma * h + beta, (gamma * r, h)
    return y, (training, saved)


def batchnorm_layer_backward(g, saved):
    training, saved = saved
    if training:
        return batchnorm_backward(g, saved)
    scale, h = saved
    return scale * g, (g * h).sum(0), g.sum(0)


VERDICTS = {"training": "PASS", "evaluation": "FAIL", "dead": "VACUOUS"}
