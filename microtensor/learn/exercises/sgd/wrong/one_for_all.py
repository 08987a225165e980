# expect: step=state
"""One velocity for all parameters."""


memory = {}


def step(theta, g, state, lr, momentum, weight_decay, nesterov):
    d = g + weight_decay * theta
    v = momentum * memory.get(theta.shape, 0) + d
    memory[theta.shape] = state["v"] = v
    return theta - lr * (d + momentum * v if nesterov else v)
