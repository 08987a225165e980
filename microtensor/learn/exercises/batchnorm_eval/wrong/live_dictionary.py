# expect: step=gradient evaluation
"""The dictionary itself is saved, which the next call in training changes."""

import numpy as np

from microtensor.learn.given import batchnorm, batchnorm_backward


def batchnorm_layer(x, gamma, beta, running, training, momentum=0.1, eps=1e-5):
    if training:
        y, saved = batchnorm(x, gamma, beta, eps)
        for name, of_batch in (("mean", x.mean(0)), ("var", x.var(0, ddof=1))):
            running[name] = (1 - momentum) * running[name] + momentum * of_batch
        return y, (True, saved)
    h = (x - running["mean"]) / np.sqrt(running["var"] + eps)
    return gamma * h + beta, (False, (h, gamma, running, eps))


def batchnorm_layer_backward(g, saved):
    training, saved = saved
    if training:
        return batchnorm_backward(g, saved)
    h, gamma, running, eps = saved
    return g * gamma / np.sqrt(running["var"] + eps), (g * h).sum(0), g.sum(0)


VERDICTS = {"training": "PASS", "evaluation": "FAIL", "dead": "VACUOUS"}
