# expect: step=forge ddof
"""N and N - 1 are mixed up twice, and so not at all."""


def layer_backward(g, saved):
    gamma, r, h = saved
    dx = gamma * r * (g - g.mean(0) - h * (g * h).mean(0))
    return dx, (g * h).sum(0), g.sum(0)


def forge_ddof(g, saved):
    gamma, r, h = saved
    _, dgamma, dbeta = layer_backward(g, saved)
    n = len(g)
    dx = gamma * r * (g - dbeta / n - h * dgamma / (n - 1) * (n - 1) / n)
    return dx, dgamma, dbeta
