"""Activations: x (3, 5), some of it negative, some positive."""

import numpy as np

from wrong_gradients.entry import wrong


def s(x):
    return 1 / (1 + np.exp(-x))


def activation(forward, derivative):
    """A case of y = forward(x), dx = g derivative(x, y)."""
    return lambda draw: (forward, lambda g, x: g * derivative(x, forward(x)), [draw.nonzero(3, 5)], ("x",))


wrong("Sigmoid: x(1-x)", "derivative")(activation(s, lambda x, y: x * (1 - x)))
wrong("Sigmoid: s(y)(1-s(y))", "derivative")(activation(s, lambda x, y: s(y) * (1 - s(y))))
wrong("Sigmoid: sign", "sign")(activation(s, lambda x, y: -y * (1 - y)))
wrong("Tanh: 1-x^2", "derivative")(activation(np.tanh, lambda x, y: 1 - x**2))
wrong("Tanh: (1-y)^2", "derivative")(activation(np.tanh, lambda x, y: (1 - y) ** 2))


@wrong("Sigmoid: the upstream gradient is overwritten", "unchanged")
def sigmoid_in_place(draw):
    def backward(g, x):
        y = s(x)
        g *= y
        g *= 1 - y
        return g

    return s, backward, [draw(3, 5)], ("x",)


LEAK, ALPHA = 0.1, 1.3
SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


def relu(x):
    return np.maximum(x, 0)


def leaky_relu(x):
    return np.where(x > 0, x, LEAK * x)


def elu(x):
    return np.where(x > 0, x, ALPHA * np.expm1(x))


def selu(x):
    return SCALE * np.where(x > 0, x, SELU_ALPHA * np.expm1(x))


wrong("ReLU: mask of g for mask of x", "nonlinear", "mask")(
    lambda draw: (relu, lambda g, x: g * (g > 0), [draw.nonzero(3, 5)], ("x",)))
wrong("ReLU: mask without g", "upstream")(
    lambda draw: (relu, lambda g, x: (x > 0) * 1.0, [draw.nonzero(3, 5)], ("x",)))
wrong("LeakyReLU: 0 on the left", "mask", "side")(activation(leaky_relu, lambda x, y: 1.0 * (x > 0)))
wrong("LeakyReLU: slopes swapped", "sides")(activation(leaky_relu, lambda x, y: np.where(x > 0, LEAK, 1)))
wrong("ELU: y + 1 with alpha not 1", "side")(activation(elu, lambda x, y: np.where(x > 0, 1, y + 1)))
wrong("ELU: x + alpha", "side")(activation(elu, lambda x, y: np.where(x > 0, 1, x + ALPHA)))
wrong("SELU: scale (y + alpha)", "side")(
    activation(selu, lambda x, y: np.where(x > 0, SCALE, SCALE * (y + SELU_ALPHA))))
wrong("SELU: 1 on the right", "side")(activation(selu, lambda x, y: np.where(x > 0, 1, y + SCALE * SELU_ALPHA)))


@wrong("ReLU: mask of an x that was overwritten", "mask")
def relu_overwritten(draw):
    def forward(x):
        z = x * 2
        y = np.maximum(z, 0)
        saved = z
        z -= z.mean()                       # the buffer is used again
        return y, saved

    def backward(g, saved):
        return 2 * g * (saved > 0)

    x = draw.positive(3, 5)                 # many lie between 0 and the mean
    x[0, 0], x[1, 2] = -0.7, -1.1
    return forward, backward, [x], ("x",)


@wrong("Softmax: the diagonal only", "diagonal")
def softmax_diagonal(draw):
    def forward(x):
        e = np.exp(x - x.max(1, keepdims=True))
        return e / e.sum(1, keepdims=True)

    def backward(g, x):
        y = forward(x)
        return g * y * (1 - y)

    return forward, backward, [draw(3, 5)], ("x",)


# -- dropout ---------------------------------------------------------------------------------------------------

P = 0.3


def keep(seed, shape):
    return np.random.default_rng(seed).random(shape) >= P


def drop(x):
    mask = keep(7, x.shape)
    return x * mask / (1 - P), mask


wrong("Dropout: no 1/(1-p)", "scale")(
    lambda draw: (drop, lambda g, mask: g * mask, [draw.nonzero(7, 5)], ("x",)))
wrong("Dropout: a fresh mask in backward", "mask")(
    lambda draw: (drop, lambda g, mask: g * keep(8, g.shape) / (1 - P), [draw.nonzero(7, 5)], ("x",)))
wrong("Dropout: masks in evaluation", "mask")(
    lambda draw: (lambda x: x * 1.0, lambda g, x: g * keep(7, x.shape) / (1 - P), [draw.nonzero(7, 5)], ("x",)))
