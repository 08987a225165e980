"""Signals in a deep network.                                 about 40 minutes

A network of L layers without biases computes, from a batch x of shape (N, n_0),

    h_0 = x,        z_l = h_(l-1) W_l^T,        h_l = f(z_l)        for l = 1, ..., L

W_l has the shape (n_l, n_(l-1)); z_l and h_l have the shape (N, n_l). f is applied to each element by itself. Here
the second moment of an array is the mean of the squares of all its elements. It says how large the signals h_l are,
and how large the gradients are that come back.

1. Measure. Write three functions. weights is the list [W_1, ..., W_L]; L is at least 1.

    forward_moments(x, weights, f)              returns an array of L + 1 floats: the second moments of h_0, ..., h_L

    backward_moments(x, weights, f, slope, g)   returns an array of L + 1 floats: the second moments of the gradients
                                                of the loss with respect to h_0, ..., h_L, in this order

        f and slope are functions: for an array z, f(z) is h, and slope(z) is the derivative f'(z), element by
        element. g is the gradient of the loss with respect to h_L, an array of shape (N, n_L). The loss depends on
        h_0, ..., h_(L-1) through h_L alone.

    dead_units(x, weights)                      returns an array of L floats: which share of the units of each layer,
                                                from the first to the last, is dead in this batch

        Here f is ReLU, max(0, z). Unit j of layer l is column j of h_l. It is dead in a batch if its output is 0 in
        all N rows; then its weights get no gradient.

Do not change x, g, or the list weights and the arrays in it.

2. Predict. Put a number in the place of each None in PREDICTED. Think first, and measure afterwards, with what you
have written and with init of the exercise before, which is given: init(kind, fan_in, fan_out, rng) returns an array of
shape (fan_out, fan_in). Its elements are independent and normal, with mean 0 and standard deviation s:

    "small":  s = 0.01      "xavier_normal":  s^2 = 2 / (fan_in + fan_out)      "he_normal":  s^2 = 2 / fan_in

All elements of x and of g are independent and standard normal. A factor says how many times as large a second moment
is as the one before it, on average over many networks.

    "he"        All layers have the width 100, f is ReLU, and the weights are "he_normal". What is the factor from
                h_(l-1) to h_l?
    "xavier"    The same with "xavier_normal".
    "small"     The same with "small".
    "narrow"    One layer with 150 inputs and 50 outputs, ReLU, "he_normal". What is the factor from g, the gradient
                with respect to h_1, back to the gradient with respect to x?
    "sigmoid"   All layers have the width 100, f is the sigmoid 1 / (1 + e^-z), and the weights are "xavier_normal".
                Suppose that every slope f'(z) were the largest that a sigmoid has. What would be the factor from the
                gradient with respect to h_l back to that with respect to h_(l-1)? The true factor is below it.
    "dead"      One layer, ReLU, "he_normal", and N = 3 rows. Which share of the units is dead in the batch?
    "spread"    20 layers of width 20, ReLU, "he_normal", and N = 1 row. The second moment of h_20, divided by that of
                h_0, differs from network to network. What is about the variance of its logarithm? (Networks in which
                a whole layer is dead are left out.)

For "spread": given h_(l-1), the elements of z_l are independent and normal with mean 0. The logarithm of a product
is a sum, and log(1 + u) is about u for a small u. For a standard normal number e, the mean of e^2 is 1, and that of
e^4 is 3.

The grader draws such networks, too, and tells you what it has measured. A prediction may differ from that by as much
as chance may explain.
"""

import numpy as np

from microtensor.learn.given import init


def forward_moments(x, weights, f):
    raise NotImplementedError


def backward_moments(x, weights, f, slope, g):
    raise NotImplementedError


def dead_units(x, weights):
    raise NotImplementedError


PREDICTED = {"he": None, "xavier": None, "small": None, "narrow": None, "sigmoid": None, "dead": None, "spread": None}


if __name__ == "__main__":
    from microtensor import learn

    learn.main(__file__)
