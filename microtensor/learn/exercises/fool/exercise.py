"""Fool.                                                       about 25 minutes

Below are five checkers of gradients, as courses and tests have them. Each one compares a backward pass with
differences, each one accepts what is right, and each one can be fooled. Show how: write a wrong backward pass for each.

    checker         layer           yours               what to look at
    ones            softmax         fool_ones           the upstream gradient is 1 everywhere
    one_element     mean_square     fool_one_element    one element of x is compared, and may be off by 0.01
    square          row_mean        fool_square         x has as many rows as columns
    positive        leaky_relu      fool_positive       no element of x is below 0
    once            tanh            fool_once           backward is called once

Each layer is called with x, an array of floats with two axes, and returns the output y and what backward needs. Its
backward pass is called with g and with what the layer saved, and returns dx, of the shape of x: the derivative of a
number L, the loss, with respect to x. g is the upstream gradient dL/dy: the derivative of L with respect to every
element of y. The right backward passes are here as well.

Yours are called in the same way. For each, three things must be so:

    - The checker accepts it, whatever numbers it draws.
    - microtensor's checker rejects it. This one draws g at random, and x, too, with both signs; it takes 5 rows and 3
      columns, compares every element to 7 digits or more, calls backward several times, and looks whether g and what
      was saved are still the same.
    - Of the first four the numbers are wrong. It is not enough that they do something besides, such as to write into g.

The check uses the layers and the checkers as they are given here, whatever you do to them.
"""

import numpy as np

SLOPE = 0.1


def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    y = e / e.sum(1, keepdims=True)
    return y, y


def softmax_backward(g, y):
    return y * (g - (g * y).sum(1, keepdims=True))


def mean_square(x):
    return np.asarray((x * x).mean()), x


def mean_square_backward(g, x):
    return g * 2 * x / x.size


def row_mean(x):
    return x.mean(1), x


def row_mean_backward(g, x):
    return np.repeat(g[:, None], x.shape[1], axis=1) / x.shape[1]


def leaky_relu(x):
    return np.where(x > 0, x, SLOPE * x), x


def leaky_relu_backward(g, x):
    return g * np.where(x > 0, 1, SLOPE)


def tanh(x):
    y = np.tanh(x)
    return y, y


def tanh_backward(g, y):
    return g * (1 - y * y)


# -- the checkers: True is "accepted"; random is a generator of NumPy, as np.random.default_rng() gives one -----------


def difference(forward, x, g, i):
    """The central difference for element i of x."""
    move = np.zeros(x.shape)
    move[i] = 1e-5
    return np.sum(g * (forward(x + move)[0] - forward(x - move)[0])) / 2e-5


def is_gradient(dx, forward, x, g):
    right = np.array([difference(forward, x, g, i) for i in np.ndindex(x.shape)]).reshape(x.shape)
    return np.allclose(dx, right, rtol=1e-6, atol=1e-8)


def ones(forward, backward, random):
    x = random.standard_normal((5, 3))
    y, saved = forward(x)
    g = np.ones(y.shape)
    return is_gradient(backward(g, saved), forward, x, g)


def one_element(forward, backward, random):
    x = random.standard_normal((31, 61))
    _, saved = forward(x)
    g = np.asarray(random.uniform(0.5, 2))
    i = tuple(random.integers(x.shape))
    return abs(backward(g, saved)[i] - difference(forward, x, g, i)) < 0.01


def square(forward, backward, random):
    x = random.standard_normal((5, 5))
    y, saved = forward(x)
    g = random.standard_normal(y.shape)
    return is_gradient(backward(g, saved), forward, x, g)


def positive(forward, backward, random):
    x = random.random((5, 3))                           # between 0 and 1
    y, saved = forward(x)
    g = random.standard_normal(y.shape)
    return is_gradient(backward(g, saved), forward, x, g)


def once(forward, backward, random):
    x = random.standard_normal((5, 3))
    y, saved = forward(x)
    g = random.standard_normal(y.shape)
    return is_gradient(backward(g.copy(), saved), forward, x, g)


# -- yours ---------------------------------------------------------------------------------------------------------


def fool_ones(g, y):
    raise NotImplementedError


def fool_one_element(g, x):
    raise NotImplementedError


def fool_square(g, x):
    raise NotImplementedError


def fool_positive(g, x):
    raise NotImplementedError


def fool_once(g, y):
    raise NotImplementedError


if __name__ == "__main__":
    from microtensor import learn

    learn.main(__file__)
