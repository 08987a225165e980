# expect: step=weight decay
"""g is changed in place."""


def step(theta, g, state, lr, momentum, weight_decay, nesterov):
    g += weight_decay * theta
    d = g
    v = momentum * state.get("v", 0) + d            # a new array: g will hold the next gradient
    state["v"] = v
    return theta - lr * (d + momentum * v if nesterov else v)
