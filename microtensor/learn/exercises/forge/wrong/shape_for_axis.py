# expect: step=forge axis input=beta hint=shape
"""The wrong axis, which has another length."""


def layer_backward(g, saved):
    gamma, r, h = saved
    dx = gamma * r * (g - g.mean(0) - h * (g * h).mean(0))
    return dx, (g * h).sum(0), g.sum(0)


def forge_ddof(g, saved):
    gamma, r, h = saved
    _, dgamma, dbeta = layer_backward(g, saved)
    n = len(g)
    dx = gamma * r * (g - dbeta / n - h * dgamma / (n - 1))
    return dx, dgamma, dbeta


def forge_mean(g, saved):
    gamma, r, h = saved
    _, dgamma, dbeta = layer_backward(g, saved)
    return gamma * r * (g - h * dgamma / len(g)), dgamma, dbeta


def forge_column(g, saved):
    gamma, _, _ = saved
    dx, dgamma, dbeta = layer_backward(g, saved)
    return dx / gamma, dgamma, dbeta


def forge_axis(g, saved):
    dx, dgamma, _ = layer_backward(g, saved)
    return dx, dgamma, g.sum(1)
