# expect: step=state
"""theta is changed in place."""


def step(theta, g, state, lr, momentum, weight_decay, nesterov):
    d = g + weight_decay * theta
    v = momentum * state.get("v", 0) + d            # a new array: g will hold the next gradient
    state["v"] = v
    theta -= lr * (d + momentum * v if nesterov else v)
    return theta
