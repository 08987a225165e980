"""All nodes are kept in a dictionary; keyword axes; the gradients of d and x are added up with +=."""

import numpy as np


def batchnorm_steps(x, gamma, beta, eps=1e-5):
    node = {"x": x, "gamma": gamma, "beta": beta}
    node["m"] = np.mean(x, axis=0)
    node["d"] = x - node["m"]
    node["v"] = np.mean(node["d"] ** 2, axis=0)
    node["r"] = 1 / np.sqrt(node["v"] + eps)
    node["h"] = node["r"] * node["d"]
    return gamma * node["h"] + beta, node


def batchnorm_steps_backward(g, node):
    n = g.shape[0]
    grad = {name: np.zeros_like(value) for name, value in node.items()}
    grad["beta"] += np.sum(g, axis=0)
    grad["gamma"] += np.sum(g * node["h"], axis=0)
    grad["h"] += g * node["gamma"]
    grad["r"] += np.sum(grad["h"] * node["d"], axis=0)
    grad["d"] += grad["h"] * node["r"]
    grad["v"] += grad["r"] * -0.5 * node["r"] ** 3
    grad["d"] += grad["v"] * 2 * node["d"] / n
    grad["x"] += grad["d"]
    grad["m"] -= np.sum(grad["d"], axis=0)
    grad["x"] += np.ones((n, 1)) / n * grad["m"]
    return grad
