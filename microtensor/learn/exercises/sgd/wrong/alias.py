# expect: step=momentum input=theta hint=alias
# corpus: SGD: the buffer aliases the gradient
"""The first velocity is the array g itself, which is then changed in place."""


def step(theta, g, state, lr, momentum, weight_decay, nesterov):
    d = g + weight_decay * theta if weight_decay else g
    if "v" not in state:
        state["v"] = d
    else:
        state["v"] *= momentum
        state["v"] += d
    v = state["v"]
    return theta - lr * (d + momentum * v if nesterov else v)
