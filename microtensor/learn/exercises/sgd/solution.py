"""SGD: d = g + weight_decay theta, and v_new = momentum v_old + d, so that momentum v_old = v_new - d. With Nesterov

    theta_new = theta + lr momentum v_old - lr v_new - lr momentum v_new = theta - lr (d + momentum v_new)
"""


def step(theta, g, state, lr, momentum, weight_decay, nesterov):
    d = g + weight_decay * theta
    v = momentum * state.get("v", 0) + d            # a new array: g will hold the next gradient
    state["v"] = v
    return theta - lr * (d + momentum * v if nesterov else v)
