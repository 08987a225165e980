"""Forward leaves a function that is the backward pass; one class of layers makes all others."""

import numpy as np

from microtensor.learn.given import (
    batchnorm,
    batchnorm_backward,
    cross_entropy,
    cross_entropy_backward,
    linear,
    linear_backward,
)


class Layer:
    def __init__(self, **params):
        self.params, self.grads, self.back = params, {}, None

    def forward(self, x, training):
        y, self.back = self.compute(x, training)
        return y

    def backward(self, g):
        dx, self.grads = self.back(g)
        return dx


class ReLU(Layer):
    def compute(self, x, training):
        return np.maximum(x, 0), lambda g: (g * (x >= 0), {})


class Linear(Layer):
    def __init__(self, inputs, outputs, rng):
        super().__init__(w=rng.normal(0, (2 / inputs) ** 0.5, (outputs, inputs)), b=np.zeros(outputs))

    def compute(self, x, training):
        y, saved = linear(x, self.params["w"], self.params["b"])

        def back(g):
            dx, dw, db = linear_backward(g, saved)
            return dx, {"w": dw, "b": db}

        return y, back


class BatchNorm(Layer):
    def __init__(self, size):
        super().__init__(gamma=np.ones(size), beta=np.zeros(size))
        self.running = np.zeros(size), np.ones(size)

    def compute(self, x, training):
        gamma, beta = self.params["gamma"], self.params["beta"]
        if training:
            now = np.mean(x, 0), np.var(x, 0, ddof=1)
            self.running = tuple(0.9 * old + 0.1 * new for old, new in zip(self.running, now, strict=True))
            y, saved = batchnorm(x, gamma, beta)

            def back(g):
                dx, dgamma, dbeta = batchnorm_backward(g, saved)
                return dx, {"gamma": dgamma, "beta": dbeta}

            return y, back
        mean, var = self.running
        scale = 1 / np.sqrt(var + 1e-5)
        h = (x - mean) * scale
        return gamma * h + beta, lambda g: (g * gamma * scale, {"gamma": (g * h).sum(0), "beta": g.sum(0)})


class Dropout(Layer):
    def __init__(self, p, rng):
        super().__init__()
        self.p, self.rng = p, rng

    def compute(self, x, training):
        if not training or not self.p:
            return x.copy(), lambda g: (g, {})
        mask = (self.rng.random(x.shape) >= self.p) / (1 - self.p)
        return x * mask, lambda g: (g * mask, {})


class CrossEntropy:
    def forward(self, x, t):
        loss, saved = cross_entropy(x, t)
        self.backward = lambda: cross_entropy_backward(np.array(1.0), saved)
        return loss


class SGD:
    def __init__(self, layers, lr, momentum=0.0, weight_decay=0.0):
        self.layers, self.velocities = layers, [None] * len(layers)
        self.lr, self.momentum, self.weight_decay = lr, momentum, weight_decay

    def step(self):
        for k, layer in enumerate(self.layers):
            d = {name: layer.grads[name] + self.weight_decay * theta for name, theta in layer.params.items()}
            before = self.velocities[k] or dict.fromkeys(d, 0)
            self.velocities[k] = {name: self.momentum * before[name] + d[name] for name in d}
            layer.params.update({name: theta - self.lr * self.velocities[k][name]
                                 for name, theta in layer.params.items()})


def train(layers, x, t, optimizer, epochs, batch, rng):
    return [one_step(layers, x[rows], t[rows], optimizer)
            for _ in range(epochs)
            for rows in batches(rng.permutation(len(t)), batch)]


def batches(order, size):
    return np.split(order, range(size, len(order), size))


def one_step(layers, x, t, optimizer):
    loss = CrossEntropy()
    for layer in layers:
        x = layer.forward(x, training=True)
    value = loss.forward(x, t)
    g = loss.backward()
    for layer in reversed(layers):
        g = layer.backward(g)
    optimizer.step()
    return value


def predict(layers, x):
    for layer in layers:
        x = layer.forward(x, training=False)
    return np.argsort(x, axis=1)[:, -1]
