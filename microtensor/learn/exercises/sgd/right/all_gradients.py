"""All gradients so far are kept, and the velocity is summed up anew in every step."""


def velocity(history, momentum):
    return sum(momentum ** (len(history) - 1 - age) * d for age, d in enumerate(history))


def step(theta, g, state, lr, momentum, weight_decay, nesterov):
    state["history"] = [*state.get("history", []), g + weight_decay * theta]
    v = velocity(state["history"], momentum)
    ahead = velocity([*state["history"], 0], momentum)          # as if the next gradient were 0
    return theta - lr * (state["history"][-1] + ahead) if nesterov else theta - lr * v
