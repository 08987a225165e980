"""Everything from scratch; uniform weights; parameters and velocities are changed in place."""

import numpy as np


class ReLU:
    def __init__(self):
        self.params, self.grads = {}, {}

    def forward(self, x, training):
        self.mask = x > 0
        return np.where(self.mask, x, 0.0)

    def backward(self, g):
        return g * self.mask


class Linear:
    def __init__(self, inputs, outputs, rng):
        limit = np.sqrt(6.0 / inputs)           # the variance of uniform numbers is limit^2 / 3
        self.params = {"w": rng.uniform(-limit, limit, size=(outputs, inputs)), "b": np.zeros((outputs,))}
        self.grads = {"w": np.zeros((outputs, inputs)), "b": np.zeros((outputs,))}

    def forward(self, x, training):
        self.x = x
        return np.dot(x, np.transpose(self.params["w"])) + self.params["b"][None, :]

    def backward(self, g):
        self.grads["w"] = np.einsum("no,ni->oi", g, self.x)
        self.grads["b"] = np.ones(len(g)) @ g
        return np.einsum("no,oi->ni", g, self.params["w"])


class BatchNorm:
    def __init__(self, size):
        self.params = {"gamma": np.ones(size), "beta": np.zeros(size)}
        self.grads = {}
        self.average, self.spread = np.zeros(size), np.ones(size)

    def forward(self, x, training):
        if training:
            n = x.shape[0]
            mu = x.sum(axis=0) / n
            centred = x - mu
            var = (centred**2).sum(axis=0) / n
            self.average += 0.1 * (mu - self.average)
            self.spread += 0.1 * (var * n / (n - 1) - self.spread)
        else:
            centred, var = x - self.average, self.spread
        self.std = np.sqrt(var + 1e-5)
        self.hat = centred / self.std
        self.training = training
        return self.hat * self.params["gamma"] + self.params["beta"]

    def backward(self, g):
        self.grads = {"gamma": np.sum(g * self.hat, axis=0), "beta": np.sum(g, axis=0)}
        d = g * self.params["gamma"]
        if self.training:
            n = len(g)
            d = (n * d - d.sum(axis=0) - self.hat * (d * self.hat).sum(axis=0)) / n
        return d / self.std


class Dropout:
    def __init__(self, p, rng):
        self.params, self.grads = {}, {}
        self.p, self.rng = p, rng

    def forward(self, x, training):
        keep = self.rng.binomial(1, 1 - self.p, size=x.shape) if training else np.full(x.shape, 1 - self.p)
        self.factor = keep / (1 - self.p)
        return x * self.factor

    def backward(self, g):
        return g * self.factor


class CrossEntropy:
    def forward(self, x, t):
        self.t = np.eye(x.shape[1])[t]
        top = x.max(axis=1, keepdims=True)
        log_sum = top + np.log(np.exp(x - top).sum(axis=1, keepdims=True))
        self.p = np.exp(x - log_sum)
        return float(np.sum(self.t * (log_sum - x)) / len(x))

    def backward(self):
        return (self.p - self.t) / len(self.t)


class SGD:
    def __init__(self, layers, lr, momentum=0.0, weight_decay=0.0):
        self.layers, self.lr, self.momentum, self.weight_decay = layers, lr, momentum, weight_decay
        self.v = {(i, key): np.zeros_like(theta)
                  for i, layer in enumerate(layers) for key, theta in layer.params.items()}

    def step(self):
        for (i, key), v in self.v.items():
            theta = self.layers[i].params[key]
            v *= self.momentum
            v += self.layers[i].grads[key]
            v += self.weight_decay * theta
            theta -= self.lr * v


def train(layers, x, t, optimizer, epochs, batch, rng):
    losses, criterion = [], CrossEntropy()
    for _epoch in range(epochs):
        index = np.arange(len(x))
        rng.shuffle(index)
        while len(index):
            now, index = index[:batch], index[batch:]
            out = x[now]
            for layer in layers:
                out = layer.forward(out, True)
            losses.append(criterion.forward(out, t[now]))
            d = criterion.backward()
            for layer in layers[::-1]:
                d = layer.backward(d)
            optimizer.step()
    return losses


def predict(layers, x):
    for layer in layers:
        x = layer.forward(x, False)
    return np.array([int(np.argmax(row)) for row in x])
