"""MyGrad, without its guards against writing to arrays."""

import math

import mygrad
import numpy as np
from mygrad.nnet.activations import relu
from mygrad.nnet.losses import softmax_crossentropy
from steps import LEARNING_RATE, MAX_NORM, MOMENTUM, Unsupported

mygrad.turn_memory_guarding_off()


def build(case, x, y, weights):
    """The step, and the gradients."""
    if case.optimizer != "SGD":
        raise Unsupported(f"{case.optimizer} is written for the faster programs only")
    if case.batch_norm or case.dropout:
        raise Unsupported("MyGrad has no dropout, and its batch-norm keeps no running statistics")
    parameters = [mygrad.tensor(p) for weight in weights for p in (weight, np.zeros(len(weight), np.float32))]
    velocities = [np.zeros_like(p.data) for p in parameters]

    def backward():
        h = x
        for weight, bias in zip(parameters[::2], parameters[1::2], strict=True):
            z = mygrad.matmul(h, weight.T) + bias
            h = relu(z) if bias is not parameters[-1] else z
        loss = softmax_crossentropy(h, y)
        loss.backward()
        return loss.item()

    def step():
        loss = backward()
        norm = math.sqrt(sum(np.vdot(p.grad, p.grad) for p in parameters))
        clip = min(1.0, MAX_NORM / (norm + 1e-6))
        for p, v in zip(parameters, velocities, strict=True):
            v *= MOMENTUM
            v += clip * p.grad
            p.data -= LEARNING_RATE * v
        return loss

    def gradients():
        backward()
        return [p.grad for p in parameters]

    return step, gradients
