"""Buffers that are changed in place, and branches for every option."""

import numpy as np


def step(theta, g, state, lr, momentum, weight_decay, nesterov):
    d = np.array(g)
    if weight_decay > 0:
        d += weight_decay * theta
    if momentum == 0:
        return theta - lr * d
    if "velocity" not in state:
        state["velocity"] = d.copy()
    else:
        state["velocity"] *= momentum
        state["velocity"] += d
    if nesterov:
        d += momentum * state["velocity"]
    else:
        d = state["velocity"]
    return theta - lr * d
