# expect: step=weight decay input=theta
"""The gradient of weight_decay theta^2, without the half."""


def step(theta, g, state, lr, momentum, weight_decay, nesterov):
    d = g + 2 * weight_decay * theta
    v = momentum * state.get("v", 0) + d            # a new array: g will hold the next gradient
    state["v"] = v
    return theta - lr * (d + momentum * v if nesterov else v)
