# expect: step=momentum input=theta hint=alias once
"""The first velocity is the array g itself."""


def step(theta, g, state, lr, momentum, weight_decay, nesterov):
    d = g + weight_decay * theta if weight_decay else g
    v = momentum * state["v"] + d if "v" in state else d
    state["v"] = v
    return theta - lr * (d + momentum * v if nesterov else v)
