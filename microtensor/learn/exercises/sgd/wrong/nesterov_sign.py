# expect: step=nesterov input=theta hint=nesterov sign
# corpus: Nesterov: sign
"""Looks back instead of ahead."""


def step(theta, g, state, lr, momentum, weight_decay, nesterov):
    d = g + weight_decay * theta
    v = momentum * state.get("v", 0) + d            # a new array: g will hold the next gradient
    state["v"] = v
    return theta - lr * (d - momentum * v if nesterov else v)
