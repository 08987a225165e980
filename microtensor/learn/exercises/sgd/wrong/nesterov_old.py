# expect: step=nesterov input=theta hint=nesterov
"""The look-ahead with the old velocity, which is momentum without any."""


def step(theta, g, state, lr, momentum, weight_decay, nesterov):
    d = g + weight_decay * theta
    old = state.get("v", 0)
    v = momentum * old + d
    state["v"] = v
    return theta - lr * (d + momentum * old if nesterov else v)
