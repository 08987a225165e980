"""micrograd: a Value per number. It has no exp and no log, so they are added in its own manner."""

import math

from micrograd.engine import Value
from micrograd.nn import MLP
from steps import LEARNING_RATE, MAX_NORM, MOMENTUM, Unsupported

LARGEST = 20_000  # multiplications of a forward pass; a step takes some microseconds for each


def exp(x):
    """e^x."""
    out = Value(math.exp(x.data), (x,), "exp")

    def backward():
        x.grad += out.data * out.grad

    out._backward = backward
    return out


def log(x):
    """The natural logarithm."""
    out = Value(math.log(x.data), (x,), "log")

    def backward():
        x.grad += out.grad / x.data

    out._backward = backward
    return out


def build(case, x, y, weights):
    """The step, and the gradients."""
    if case.optimizer != "SGD":
        raise Unsupported(f"{case.optimizer} is written for the faster programs only")
    if case.batch_norm or case.dropout:
        raise Unsupported("micrograd has neither batch-norm nor dropout")
    if case.batch * sum(weight.size for weight in weights) > LARGEST:
        raise Unsupported("micrograd would take minutes")
    model = MLP(case.sizes[0], list(case.sizes[1:]))
    for layer, weight in zip(model.layers, weights, strict=True):
        for neuron, row in zip(layer.neurons, weight.tolist(), strict=True):
            for w, value in zip(neuron.w, row, strict=True):
                w.data = value
    parameters = model.parameters()
    velocities = [0.0] * len(parameters)
    samples = list(zip(x.tolist(), y.tolist(), strict=True))

    def backward():
        total = Value(0)
        for inputs, label in samples:
            logits = model(inputs)
            total += log(sum(exp(z) for z in logits)) - logits[label]
        loss = total * (1 / len(samples))
        loss.backward()
        return loss.data

    def step():
        model.zero_grad()
        loss = backward()
        norm = math.sqrt(sum(p.grad * p.grad for p in parameters))
        clip = min(1.0, MAX_NORM / (norm + 1e-6))
        for number, p in enumerate(parameters):
            velocities[number] = MOMENTUM * velocities[number] + clip * p.grad
            p.data -= LEARNING_RATE * velocities[number]
        return loss

    def gradients():
        model.zero_grad()
        backward()
        return [
            numbers
            for layer in model.layers
            for numbers in (
                [[w.grad for w in neuron.w] for neuron in layer.neurons],
                [neuron.b.grad for neuron in layer.neurons],
            )
        ]

    return step, gradients
