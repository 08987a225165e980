"""The loss computes everything twice; train shuffles pairs of rows and classes, and takes batches from a queue."""

from collections import deque

import numpy as np

from microtensor.learn.given import (
    batchnorm_layer,
    batchnorm_layer_backward,
    cross_entropy,
    cross_entropy_backward,
    dropout,
    dropout_backward,
    relu,
    relu_backward,
)


class Base:
    def __init__(self):
        self.params = {}
        self.grads = {}

    def forward(self, x, training):
        y, self.memory = self.run(x, training)
        return y


class ReLU(Base):
    def run(self, x, training):
        return relu(x)

    def backward(self, g):
        return relu_backward(g, self.memory)


class Linear(Base):
    def __init__(self, inputs, outputs, rng):
        super().__init__()
        w = rng.standard_normal((inputs, outputs)).T
        self.params["w"] = w * np.sqrt(2) / np.sqrt(inputs)
        self.params["b"] = np.array([0.0] * outputs)

    def run(self, x, training):
        w, b = self.params.values()
        return (w @ x.T).T + b, (x, w)

    def backward(self, g):
        x, w = self.memory
        self.grads["w"] = (x.T @ g).T
        self.grads["b"] = g.sum(axis=0)
        return g @ w


class BatchNorm(Base):
    def __init__(self, size):
        super().__init__()
        self.params.update(gamma=np.ones(size), beta=np.zeros(size))
        self.running = {"mean": np.zeros(size), "var": np.ones(size)}

    def run(self, x, training):
        return batchnorm_layer(x, running=self.running, training=training, **self.params)

    def backward(self, g):
        dx, *others = batchnorm_layer_backward(g, self.memory)
        self.grads = dict(zip(("gamma", "beta"), others, strict=True))
        return dx


class Dropout(Base):
    def __init__(self, p, rng):
        super().__init__()
        self.options = p, rng

    def run(self, x, training):
        p, rng = self.options
        return dropout(x, p, training, rng)

    def backward(self, g):
        return dropout_backward(g, self.memory)


class CrossEntropy:
    def forward(self, scores, t):
        self.scores, self.t = scores, t
        return cross_entropy(scores, t)[0]

    def backward(self):
        return cross_entropy_backward(1.0, cross_entropy(self.scores, self.t)[1])


class SGD:
    def __init__(self, layers, lr, momentum=0.0, weight_decay=0.0):
        self.lr, self.momentum, self.weight_decay = lr, momentum, weight_decay
        self.places = [(layer, name) for layer in layers for name in layer.params]
        self.velocity = [0.0 for _ in self.places]

    def step(self):
        for k, (layer, name) in enumerate(self.places):
            theta = layer.params[name]
            self.velocity[k] = self.momentum * self.velocity[k] + layer.grads[name] + self.weight_decay * theta
            layer.params[name] = theta - self.lr * self.velocity[k]


def train(layers, x, t, optimizer, epochs, batch, rng):
    losses = []
    for _ in range(epochs):
        together = list(zip(x.tolist(), t.tolist(), strict=True))
        rng.shuffle(together)
        queue = deque(together[i : i + batch] for i in range(0, len(together), batch))
        while queue:
            rows, labels = map(np.array, zip(*queue.popleft(), strict=True))
            criterion = CrossEntropy()
            hidden = [rows]
            for layer in layers:
                hidden.append(layer.forward(hidden[-1], True))
            losses.append(criterion.forward(hidden[-1], labels))
            g = criterion.backward()
            for k in range(len(layers) - 1, -1, -1):
                g = layers[k].backward(g)
            optimizer.step()
    return losses


def predict(layers, x):
    scores = x
    for layer in layers:
        scores = layer.forward(scores, False)
    return np.argmax(scores, -1)
