# expect: step=forge mean input=x hint=statistics
"""Both terms are lost."""


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
    gamma, r, _ = saved
    _, dgamma, dbeta = layer_backward(g, saved)
    return gamma * r * g, dgamma, dbeta
