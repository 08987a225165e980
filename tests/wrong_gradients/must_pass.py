"""Correct variants: other formulas for the same gradient, conventions at kinks, numbers that are hard on a checker."""

import numpy as np

from wrong_gradients import activations, losses, normalisation
from wrong_gradients.activations import ALPHA, SCALE, SELU_ALPHA, activation, elu, leaky_relu, relu, s, selu
from wrong_gradients.entry import right

right("Linear")(lambda draw: (
    lambda x, w, b: x @ w + b, lambda g, x, w, b: (g @ w.T, x.T @ g, g.sum(0)), [draw(5, 3), draw(3, 7), draw(7)],
    ("x", "w", "b")))
right("Sigmoid: y(1-y)")(activation(s, lambda x, y: y * (1 - y)))
right("Sigmoid: e^-x / (1 + e^-x)^2")(activation(s, lambda x, y: np.exp(-x) / (1 + np.exp(-x)) ** 2))
right("Tanh")(activation(np.tanh, lambda x, y: 1 - y * y))
right("ReLU")(activation(relu, lambda x, y: 1.0 * (x > 0)))
right("LeakyReLU")(activation(leaky_relu, lambda x, y: np.where(x > 0, 1, activations.LEAK)))
right("ELU: y + alpha")(activation(elu, lambda x, y: np.where(x > 0, 1, y + ALPHA)))
right("ELU: alpha e^x")(activation(elu, lambda x, y: np.where(x > 0, 1, ALPHA * np.exp(x))))
right("SELU")(activation(selu, lambda x, y: np.where(x > 0, SCALE, y + SCALE * SELU_ALPHA)))
right("Dropout")(lambda draw: (activations.drop, lambda g, mask: g * mask / (1 - activations.P), [draw(7, 5)], ("x",)))
right("Cross-entropy")(losses.case(losses.right))


@right("Softmax")
def softmax(draw):
    def backward(g, x):
        y = losses.softmax(x)
        return y * (g - (g * y).sum(1, keepdims=True))

    return losses.softmax, backward, [draw(3, 5)], ("x",)


@right("Add: one array returned for both inputs")
def add(draw):
    return (lambda a, b: a + b), (lambda g, a, b: (g, g)), [draw(3, 5), draw(3, 5)], ("a", "b")


# -- kinks -----------------------------------------------------------------------------------------------------

for slope in (0.0, 0.5, 1.0):

    @right(f"ReLU at 0 with relu'(0) = {slope:g}")
    def relu_at_zero(draw, slope=slope):
        x = draw.nonzero(3, 5)
        x[1, 2] = x[0, 0] = 0
        return relu, (lambda g, x: g * np.where(x > 0, 1, np.where(x < 0, 0, slope))), [x], ("x",)


@right("SELU at 0")
def selu_at_zero(draw):
    x = draw.nonzero(3, 5)
    x[1, 2] = 0
    return selu, (lambda g, x: g * np.where(x > 0, SCALE, SCALE * SELU_ALPHA * np.exp(x))), [x], ("x",)


def tied(draw):
    x = draw.distinct(3, 5)
    x[:, 1] = x[:, 3] = x.max(1) + 0.5
    return x


@right("Max: a tie divided evenly")
def max_even(draw):
    def backward(g, x):
        ties = x == x.max(1, keepdims=True)
        return ties / ties.sum(1, keepdims=True) * g[:, None]

    return (lambda x: x.max(1)), backward, [tied(draw)], ("x",)


@right("Max: all of g to the first of a tie")
def max_first(draw):
    def backward(g, x):
        dx = np.zeros_like(x)
        dx[np.arange(len(x)), x.argmax(1)] = g
        return dx

    return (lambda x: x.max(1)), backward, [tied(draw)], ("x",)


# -- normalisation -----------------------------------------------------------------------------------------------

right("BatchNorm")(lambda draw: (
    normalisation.batch_norm, normalisation.backward, [draw(7, 3), draw.nonzero(3), draw(3)], normalisation.NAMES))


@right("BatchNorm: without the term that is identically zero")
def batch_norm_shorter(draw):
    """d var/d mu = -2/N sum(x - mu) = 0: some leave that path out."""

    def backward(g, x, gamma, beta):
        x_hat, inverse = normalisation.statistics(x)
        mu, n = x.mean(0), len(x)
        d_hat = g * gamma
        dvar = (d_hat * (x - mu) * -0.5 * inverse**3).sum(0)
        dmu = (-d_hat * inverse).sum(0)                                    # and not + dvar sum(-2 (x - mu)) / N
        return d_hat * inverse + dvar * 2 * (x - mu) / n + dmu / n, (g * x_hat).sum(0), g.sum(0)

    return normalisation.batch_norm, backward, [draw(7, 3), draw.nonzero(3), draw(3)], normalisation.NAMES


@right("BatchNorm around a mean of 1e4")
def batch_norm_far(draw):
    return (normalisation.batch_norm, normalisation.backward, [1e4 + draw(7, 3), draw.nonzero(3), draw(3)],
            normalisation.NAMES)


@right("A bias before BatchNorm, its gradient declared to be zero", zero_gradient=("b",))
def bias_before_batch_norm(draw):
    def forward(x, b):
        return normalisation.statistics(x + b)[0]

    def backward(g, x, b):
        dx, _, _ = normalisation.backward(g, x + b, 1.0, 0.0)
        return dx, dx.sum(0)

    return forward, backward, [draw(7, 3), draw(3)], ("x", "b")


# -- hard numbers --------------------------------------------------------------------------------------------------

right("log at 1e-9")(lambda draw: (np.log, lambda g, x: g / x, [1e-9 * draw.positive(3, 5)], ("x",)))
right("sin at 2e4")(lambda draw: (np.sin, lambda g, x: g * np.cos(x), [2e4 + draw(3, 5)], ("x",)))
right("exp at 30")(lambda draw: (np.exp, lambda g, x: g * np.exp(x), [30 + draw(3, 5)], ("x",)))


@right("Cross-entropy with logits over 1e3")
def large_logits(draw):
    """Two scores of each row compete, at 1000; the others are far below."""
    x = 100 * draw(7, 5)
    t = draw.integers(5, 7)
    rows = np.arange(7)
    x[rows, t] = 1000 + draw(7)
    x[rows, (t + 1) % 5] = 1000 + draw(7)
    return losses.cross_entropy, losses.right, [x, t], losses.NAMES
