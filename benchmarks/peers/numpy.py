"""NumPy by hand: float32 throughout, every array allocated once.

Parameters and gradients are views into a vector each, so that clipping and the optimizer are a few calls on vectors.
"""

import numpy as np
from steps import ADAM_RATE, BETAS, EPSILON, LEARNING_RATE, MAX_NORM, MOMENTUM


class Layer:
    """Linear, then batch-norm, ReLU and dropout where the case has them: forward and backward into its own arrays."""

    def __init__(self, case, weight, last, parameters, gradients):
        outputs, inputs = weight.shape
        self.last, self.batch_norm, self.dropout = last, case.batch_norm and not last, 0 if last else case.dropout
        shapes = [(outputs, inputs), (outputs,)] + [(outputs,), (outputs,)] * self.batch_norm
        self.weight, self.bias, *self.norm = parameters.take(shapes)
        self.weight_gradient, self.bias_gradient, *self.norm_gradient = gradients.take(shapes)
        self.weight[...] = weight
        if self.norm:
            self.norm[0].fill(1)
            self.running_mean, self.running_variance = np.zeros(outputs, np.float32), np.ones(outputs, np.float32)
        self.ones = np.ones(case.batch, np.float32)  # sums over the batch are products with it, which BLAS does fast
        self.out, self.scratch = (np.empty((case.batch, outputs), np.float32) for _ in range(2))
        self.normed, self.below = np.empty_like(self.out), np.empty((case.batch, inputs), np.float32)
        self.active = np.empty(self.out.shape, bool)
        self.kept = np.empty_like(self.out)
        self.random = np.random.Generator(np.random.SFC64(0))

    def forward(self, h):
        """The layer's output, in an array of its own."""
        self.h, out = h, self.out
        np.dot(h, self.weight.T, out=out)
        out += self.bias
        if self.norm:
            self.normalize(out)
        if not self.last:
            np.greater(out, 0, out=self.active)
            np.maximum(out, 0, out=out)
        if self.dropout:
            self.random.random(dtype=np.float32, out=self.kept)
            np.greater_equal(self.kept, self.dropout, out=self.kept)
            self.kept *= 1 / (1 - self.dropout)
            out *= self.kept
        return out

    def normalize(self, out):
        """Batch-norm, in place."""
        count = len(out)
        mean = np.dot(self.ones, out)
        mean /= count
        out -= mean
        np.multiply(out, out, out=self.scratch)
        variance = np.dot(self.ones, self.scratch)
        variance /= count
        self.running_mean += 0.1 * (mean - self.running_mean)
        self.running_variance += 0.1 * (variance * (count / (count - 1)) - self.running_variance)
        variance += 1e-5
        self.scale = 1 / np.sqrt(variance)
        np.multiply(out, self.scale, out=self.normed)
        np.multiply(self.normed, self.norm[0], out=out)
        out += self.norm[1]

    def backward(self, g, first):
        """Given the gradient of the output, which it overwrites, return that of the input."""
        if self.dropout:
            g *= self.kept
        if not self.last:
            g *= self.active
        if self.norm:
            gamma_gradient, beta_gradient = self.norm_gradient
            np.multiply(g, self.normed, out=self.scratch)
            np.dot(self.ones, self.scratch, out=gamma_gradient)
            np.dot(self.ones, g, out=beta_gradient)
            np.multiply(self.normed, gamma_gradient / len(g), out=self.scratch)
            g -= self.scratch
            g -= beta_gradient / len(g)
            g *= self.norm[0] * self.scale
        np.dot(g.T, self.h, out=self.weight_gradient)
        np.dot(self.ones, g, out=self.bias_gradient)
        return None if first else np.dot(g, self.weight, out=self.below)


class Vector:
    """A vector that hands out views of itself."""

    def __init__(self, size):
        self.all, self.taken = np.zeros(size, np.float32), 0

    def take(self, shapes):
        """The next views, of these shapes."""
        views = []
        for shape in shapes:
            size = int(np.prod(shape))
            views.append(self.all[self.taken : self.taken + size].reshape(shape))
            self.taken += size
        return views


class SGD:
    """With momentum, for one vector."""

    def __init__(self, size):
        self.velocity, self.scratch = np.zeros(size, np.float32), np.empty(size, np.float32)

    def __call__(self, p, g):
        """Change the parameters."""
        velocity, scratch = self.velocity, self.scratch
        np.multiply(velocity, MOMENTUM, out=velocity)
        np.add(velocity, g, out=velocity)
        np.multiply(velocity, LEARNING_RATE, out=scratch)
        np.subtract(p, scratch, out=p)


class Adam:
    """For one vector. The corrections of the biases are numbers, so they cost no pass of their own."""

    def __init__(self, size):
        self.m, self.v, self.scratch = (np.zeros(size, np.float32) for _ in range(3))
        self.steps = 0

    def __call__(self, p, g):
        """Change the parameters; overwrites the gradient."""
        m, v, scratch = self.m, self.v, self.scratch
        self.steps += 1
        root = (1 - BETAS[1] ** self.steps) ** 0.5
        np.multiply(m, BETAS[0], out=m)
        np.multiply(g, 1 - BETAS[0], out=scratch)
        np.add(m, scratch, out=m)
        np.multiply(v, BETAS[1], out=v)
        np.multiply(g, g, out=g)
        np.multiply(g, 1 - BETAS[1], out=g)
        np.add(v, g, out=v)
        np.sqrt(v, out=scratch)
        np.add(scratch, EPSILON * root, out=scratch)
        np.divide(m, scratch, out=scratch)
        np.multiply(scratch, ADAM_RATE * root / (1 - BETAS[0] ** self.steps), out=scratch)
        np.subtract(p, scratch, out=p)


def build(case, x, y, weights):
    """The step, and the gradients."""
    size = sum(weight.size + len(weight) for weight in weights)
    if case.batch_norm:
        size += sum(2 * len(weight) for weight in weights[:-1])
    parameters, gradients = Vector(size), Vector(size)
    update = {"SGD": SGD, "Adam": Adam}[case.optimizer](size)
    layers = [Layer(case, weight, weight is weights[-1], parameters, gradients) for weight in weights]
    backwards = [(layer, layer is layers[0]) for layer in reversed(layers)]
    rows = np.arange(case.batch)
    maximum = np.empty((case.batch, 1), np.float32)
    total = np.empty((case.batch, 1), np.float32)

    def forward_and_backward():
        h = x
        for layer in layers:
            h = layer.forward(h)
        np.maximum.reduce(h, axis=1, keepdims=True, out=maximum)
        h -= maximum
        picked = h[rows, y].sum(dtype=float)
        np.exp(h, out=h)
        np.add.reduce(h, axis=1, keepdims=True, out=total)
        loss = (np.log(total).sum(dtype=float) - picked) / case.batch
        h /= total * case.batch
        h[rows, y] -= 1 / case.batch
        for layer, first in backwards:
            h = layer.backward(h, first)
        return float(loss)

    def step():
        loss = forward_and_backward()
        g, p = gradients.all, parameters.all
        norm = np.dot(g, g) ** 0.5
        if norm > MAX_NORM:
            g *= MAX_NORM / (norm + 1e-6)
        update(p, g)
        return loss

    def gradients_now():
        forward_and_backward()
        return [g for layer in layers for g in (layer.weight_gradient, layer.bias_gradient, *layer.norm_gradient)]

    return step, gradients_now
