"""Nesterov's three lines as they are, without the simplification."""

import numpy as np


def step(theta, g, state, lr, momentum, weight_decay, nesterov):
    old = state.setdefault("v", np.zeros(theta.shape))
    state["v"] = new = momentum * old + (g + weight_decay * theta)
    if not nesterov:
        return theta - lr * new
    phi = theta + lr * momentum * old
    phi = phi - lr * new
    return phi - lr * momentum * new
