"""Penalties: L1, L2, and the proximal step.                  about 30 minutes

A penalty is a term that is added to the loss of a model, so that training keeps the parameters small. Here theta is
an array of parameters, floats of any shape, and lam, the weight of the penalty, is a number that is at least 0.

    l1(theta, lam):     y = lam * sum of |theta_i|              over all elements theta_i of theta
    l2(theta, lam):     y = lam / 2 * sum of theta_i^2

1. Write both forward passes and both backward passes.

Forward returns a pair: the number y, and `saved`, whatever backward will need; that may be one array, or a tuple of
several things.

Backward is called with g and with what forward saved. g is the upstream gradient dL/dy: the derivative of a number L,
the loss, with respect to y. It is a single number here, as y is one. Backward returns dtheta = dL/dtheta, an array of
the shape of theta. lam is a constant, and has no gradient.

|theta_i| has a kink at 0: its slope is -1 to the left of it, and 1 to the right. Any number from -1 to 1, both
included, may stand for the derivative there; it is called a subgradient. Another number, or nan, may not.

A model has many arrays of parameters, and calls forward for all of them before the first backward pass. So what
backward needs must be in `saved`, and not in a variable that all calls share.

2. Write shrink(theta, t), which returns an array z of the shape of theta. t is a number that is at least 0. Each
element z_i is the number z that minimises

    (z - theta_i)^2 / 2  +  t |z|

The derivative of this is of no use at z = 0, where |z| has its kink. So look for a minimum among the positive z,
among the negative z, and at z = 0, one after the other. Where it is at 0, z_i must be 0 exactly, and not 1e-17.

3. Write proximal_step(theta, g, lr, lam), one step of training for the loss L(theta) + lam * sum of |theta_i|. Here g
is dL/dtheta, an array of the shape of theta: the gradient of L alone, without the penalty. lr is the learning rate, a
number above 0. Return an array of the shape of theta: the z that minimises

    sum over i of   g_i (z_i - theta_i)  +  (z_i - theta_i)^2 / (2 lr)  +  lam |z_i|

The first term says how L changes, the second keeps z near theta, and without the third the minimum is a step of
gradient descent, z = theta - lr g. With the third, complete the square: what is left is what shrink minimises, for
some t.

The last check trains a linear model with L1, once with your proximal_step and once with a step along the gradient of
the whole loss, lam * sign(theta) for the penalty, and counts the parameters that become 0 exactly.

Do not change theta or g: make new arrays.
"""

import numpy as np


def l1(theta, lam):
    raise NotImplementedError


def l1_backward(g, saved):
    raise NotImplementedError


def l2(theta, lam):
    raise NotImplementedError


def l2_backward(g, saved):
    raise NotImplementedError


def shrink(theta, t):
    raise NotImplementedError


def proximal_step(theta, g, lr, lam):
    raise NotImplementedError


if __name__ == "__main__":
    from microtensor import learn

    learn.main(__file__)
