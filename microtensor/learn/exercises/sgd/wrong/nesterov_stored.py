# expect: step=nesterov input=theta
"""The look-ahead is kept as the velocity."""


def step(theta, g, state, lr, momentum, weight_decay, nesterov):
    d = g + weight_decay * theta
    v = momentum * state.get("v", 0) + d
    if nesterov:
        v = d + momentum * v
    state["v"] = v
    return theta - lr * v
