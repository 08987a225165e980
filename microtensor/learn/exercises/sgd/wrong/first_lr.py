# expect: step=momentum input=theta hint=first lr
"""The learning rate of the first step is kept."""


def step(theta, g, state, lr, momentum, weight_decay, nesterov):
    lr = state.setdefault("lr", lr)
    d = g + weight_decay * theta
    v = momentum * state.get("v", 0) + d            # a new array: g will hold the next gradient
    state["v"] = v
    return theta - lr * (d + momentum * v if nesterov else v)
