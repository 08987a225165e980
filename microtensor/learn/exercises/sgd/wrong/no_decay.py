# expect: step=weight decay input=theta
"""Weight decay is forgotten."""


def step(theta, g, state, lr, momentum, weight_decay, nesterov):
    d = g.copy()
    v = momentum * state.get("v", 0) + d            # a new array: g will hold the next gradient
    state["v"] = v
    return theta - lr * (d + momentum * v if nesterov else v)
