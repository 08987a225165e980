"""Forge.                                                      about 25 minutes

microtensor's checker compares the gradients of a backward pass with differences. Where they disagree, it looks for a
formula that turns the right gradient into the wrong one at every element, and then names the mistake by a hint. Each
kind of hint has a key. Here you make the mistakes: who knows what each of them looks like, finds it in other code.

Below are a layer, batch normalisation, and its backward pass, which is right. Write six backward passes that are
wrong, one for each key, such that the report has hints of this key and no others:

    forge_ddof          "ddof"          where the variance is differentiated, N stands for N - 1, or the other way round
    forge_mean          "mean"          the error is the same number all along an axis: a term like - mean(g) is lost
                                        or wrong
    forge_column        "column"        a factor is wrong that is the same along an axis, and another one for the next
                                        column (or row)
    forge_axis          "axis"          a sum, or both means, go over everything, and not over the rows alone
    forge_nonlinear     "nonlinear"     the gradient is not linear in g: what is done depends on the values in g
    forge_repeat        "repeat"        a second backward pass gives another gradient than the first

x has the shape (N, D), here (7, 3); gamma and beta have the shape (D,). Each function is called as layer_backward is,
with g and with what layer saved. g is the upstream gradient dL/dy: the derivative of a number L, the loss, with
respect to every element of y, the output of layer. Each returns (dx, dgamma, dbeta), the derivatives of L with
respect to x, gamma and beta. It is enough that one of the three is wrong; each one that is wrong must have the hint.
Your functions may call layer_backward.

The check uses layer as it is given here, whatever you do to it. It shows the report where it is not as it should be.
"""

import numpy as np

EPS = 1e-3


def layer(x, gamma, beta):
    centred = x - x.mean(0)                                     # (N, D)
    r = 1 / np.sqrt((centred * centred).mean(0) + EPS)          # (D,)
    h = centred * r                                             # (N, D), the normalised x
    return gamma * h + beta, (gamma, r, h)


def layer_backward(g, saved):
    gamma, r, h = saved
    dx = gamma * r * (g - g.mean(0) - h * (g * h).mean(0))
    return dx, (g * h).sum(0), g.sum(0)


def forge_ddof(g, saved):
    raise NotImplementedError


def forge_mean(g, saved):
    raise NotImplementedError


def forge_column(g, saved):
    raise NotImplementedError


def forge_axis(g, saved):
    raise NotImplementedError


def forge_nonlinear(g, saved):
    raise NotImplementedError


def forge_repeat(g, saved):
    raise NotImplementedError


if __name__ == "__main__":
    from microtensor import learn

    learn.main(__file__)
