# expect: step=momentum input=theta
"""The step is made with the old velocity."""


def step(theta, g, state, lr, momentum, weight_decay, nesterov):
    d = g + weight_decay * theta
    v = state.get("v", 0 * d)
    state["v"] = momentum * v + d
    return theta - lr * (d + momentum * v if nesterov else v)
