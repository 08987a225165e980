# expect: step=train
"""The order does not come from rng."""

import numpy as np

from microtensor.learn.given import (
    batchnorm_layer,
    batchnorm_layer_backward,
    cross_entropy,
    cross_entropy_backward,
    dropout,
    dropout_backward,
    linear,
    linear_backward,
    relu,
    relu_backward,
)
from microtensor.learn.given import step as new_theta


class ReLU:
    def __init__(self):
        self.params, self.grads = {}, {}

    def forward(self, x, training):
        y, self.saved = relu(x)
        return y

    def backward(self, g):
        return relu_backward(g, self.saved)


class Linear:
    def __init__(self, inputs, outputs, rng):
        w = np.sqrt(2 / inputs) * rng.standard_normal((outputs, inputs))
        self.params, self.grads = {"w": w, "b": np.zeros(outputs)}, {}

    def forward(self, x, training):
        y, self.saved = linear(x, self.params["w"], self.params["b"])
        return y

    def backward(self, g):
        dx, self.grads["w"], self.grads["b"] = linear_backward(g, self.saved)
        return dx


class BatchNorm:
    def __init__(self, size):
        self.params, self.grads = {"gamma": np.ones(size), "beta": np.zeros(size)}, {}
        self.running = {"mean": np.zeros(size), "var": np.ones(size)}

    def forward(self, x, training):
        y, self.saved = batchnorm_layer(x, self.params["gamma"], self.params["beta"], self.running, training)
        return y

    def backward(self, g):
        dx, self.grads["gamma"], self.grads["beta"] = batchnorm_layer_backward(g, self.saved)
        return dx


class Dropout:
    def __init__(self, p, rng):
        self.p, self.rng, self.params, self.grads = p, rng, {}, {}

    def forward(self, x, training):
        y, self.saved = dropout(x, self.p, training, self.rng)
        return y

    def backward(self, g):
        return dropout_backward(g, self.saved)


class CrossEntropy:
    def forward(self, x, t):
        y, self.saved = cross_entropy(x, t)
        return y

    def backward(self):
        return cross_entropy_backward(1.0, self.saved)


class SGD:
    def __init__(self, layers, lr, momentum=0.0, weight_decay=0.0):
        self.layers, self.options = layers, (lr, momentum, weight_decay, False)
        self.states = [{name: {} for name in layer.params} for layer in layers]

    def step(self):
        for layer, states in zip(self.layers, self.states, strict=True):
            for name, theta in layer.params.items():
                layer.params[name] = new_theta(theta, layer.grads[name], states[name], *self.options)


def train(layers, x, t, optimizer, epochs, batch, rng):
    loss, losses = CrossEntropy(), []
    for _ in range(epochs):
        order = np.random.permutation(len(x))
        for first in range(0, len(x), batch):
            rows = order[first : first + batch]
            losses.append(loss.forward(outputs(layers, x[rows], True), t[rows]))
            g = loss.backward()
            for layer in reversed(layers):
                g = layer.backward(g)
            optimizer.step()
    return losses


def predict(layers, x):
    return outputs(layers, x, False).argmax(1)


def outputs(layers, x, training):
    for layer in layers:
        x = layer.forward(x, training)
    return x
