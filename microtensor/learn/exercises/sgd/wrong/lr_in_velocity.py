# expect: step=momentum input=theta hint=lr
"""The velocity holds lr d, as in Sutskever's form."""


def step(theta, g, state, lr, momentum, weight_decay, nesterov):
    d = g + weight_decay * theta
    v = momentum * state.get("v", 0) + lr * d
    state["v"] = v
    return theta - (lr * d + momentum * v if nesterov else v)
