"""HIPS autograd: ``value_and_grad`` of the loss, the update in place in NumPy."""

import math

import autograd.numpy as np
import numpy
from autograd import value_and_grad
from autograd.scipy.special import logsumexp
from steps import LEARNING_RATE, MAX_NORM, MOMENTUM, Unsupported


def build(case, x, y, weights):
    """The step, and the gradients."""
    if case.optimizer != "SGD":
        raise Unsupported(f"{case.optimizer} is written for the faster programs only")
    if case.batch_norm or case.dropout:
        raise Unsupported("autograd has no layers: neither batch-norm nor dropout")
    parameters = [p for weight in weights for p in (weight.copy(), numpy.zeros(len(weight), numpy.float32))]
    velocities = [numpy.zeros_like(p) for p in parameters]
    rows = numpy.arange(case.batch)

    def cross_entropy(parameters):
        h = x
        for number in range(0, len(parameters), 2):
            z = np.dot(h, parameters[number].T) + parameters[number + 1]
            h = np.maximum(z, 0)
        return np.mean(logsumexp(z, axis=1) - z[rows, y])

    loss_and_gradients = value_and_grad(cross_entropy)

    def step():
        loss, gradients = loss_and_gradients(parameters)
        norm = math.sqrt(sum(numpy.vdot(g, g) for g in gradients))
        clip = min(1.0, MAX_NORM / (norm + 1e-6))
        for p, g, v in zip(parameters, gradients, velocities, strict=True):
            v *= MOMENTUM
            v += clip * g
            p -= LEARNING_RATE * v
        return float(loss)

    return step, lambda: loss_and_gradients(parameters)[1]
