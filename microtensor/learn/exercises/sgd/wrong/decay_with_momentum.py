# expect: step=weight decay input=theta hint=decay
# corpus: SGD: decay skipped where momentum is 0
"""The branch without momentum forgets weight decay."""


def step(theta, g, state, lr, momentum, weight_decay, nesterov):
    if momentum == 0:
        return theta - lr * g
    d = g + weight_decay * theta
    v = momentum * state.get("v", 0) + d
    state["v"] = v
    return theta - lr * (d + momentum * v if nesterov else v)
