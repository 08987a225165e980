"""Element by element; the state holds a flat list."""

import numpy as np


def step(theta, g, state, lr, momentum, weight_decay, nesterov):
    if not state:
        state.update(v=[0.0] * theta.size, steps=0)
    state["steps"] += 1
    new = np.empty(theta.size)
    for i, (x, slope) in enumerate(zip(theta.flat, g.flat, strict=True)):
        d = slope + weight_decay * x
        state["v"][i] = momentum * state["v"][i] + d
        new[i] = x - lr * state["v"][i]
        if nesterov:
            new[i] = x - lr * d - lr * momentum * state["v"][i]
    return new.reshape(theta.shape)
