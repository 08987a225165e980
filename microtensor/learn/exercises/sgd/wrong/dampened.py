# expect: step=momentum input=theta hint=dampened
# corpus: SGD: (1-mu) g in the velocity
"""A running mean of the gradients, as in Adam."""


def step(theta, g, state, lr, momentum, weight_decay, nesterov):
    d = g + weight_decay * theta
    v = momentum * state.get("v", 0) + (1 - momentum) * d
    state["v"] = v
    return theta - lr * (d + momentum * v if nesterov else v)
