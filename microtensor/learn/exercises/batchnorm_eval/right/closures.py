"""What is saved is a function; loops over columns."""

import numpy as np

from microtensor.learn.given import batchnorm, batchnorm_backward


def batchnorm_layer(x, gamma, beta, running, training, momentum=0.1, eps=1e-5):
    if training:
        for name, new in (("mean", np.mean(x, 0)), ("var", np.cov(x.T).diagonal())):
            old = running[name]
            running[name] = np.array([(1 - momentum) * old[j] + momentum * new[j] for j in range(len(old))])
        y, kept = batchnorm(x, gamma, beta, eps)
        return y, lambda g: batchnorm_backward(g, kept)

    slope = gamma / (running["var"] + eps) ** 0.5
    offset = x - running["mean"]
    y = np.stack([slope[j] * offset[:, j] + beta[j] for j in range(x.shape[1])], axis=1)
    h = offset / (running["var"] + eps) ** 0.5

    def back(g):
        dgamma = [g[:, j] @ h[:, j] for j in range(x.shape[1])]
        return slope * g, np.array(dgamma), g.sum(axis=0)

    return y, back


def batchnorm_layer_backward(g, saved):
    return saved(g)


VERDICTS = {"training": "PASS", "evaluation": "FAIL", "dead": "VACUOUS"}
