# expect: step=nesterov input=theta
"""The look-ahead starts at the velocity, which holds d already."""


def step(theta, g, state, lr, momentum, weight_decay, nesterov):
    d = g + weight_decay * theta
    v = momentum * state.get("v", 0) + d            # a new array: g will hold the next gradient
    state["v"] = v
    return theta - lr * (v + momentum * v if nesterov else v)
