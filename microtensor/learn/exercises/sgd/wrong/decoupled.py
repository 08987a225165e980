# expect: step=weight decay input=theta hint=decoupled
"""Weight decay past the velocity, as AdamW has it."""


def step(theta, g, state, lr, momentum, weight_decay, nesterov):
    d = g
    v = momentum * state.get("v", 0) + d            # a new array: g will hold the next gradient
    state["v"] = v
    return theta * (1 - lr * weight_decay) - lr * (d + momentum * v if nesterov else v)
