# expect: step=momentum input=theta hint=first
"""The first gradient enters as (1 - momentum) d, the others in full."""


def step(theta, g, state, lr, momentum, weight_decay, nesterov):
    d = g + weight_decay * theta
    v = momentum * state["v"] + d if "v" in state else (1 - momentum) * d
    state["v"] = v
    return theta - lr * (d + momentum * v if nesterov else v)
