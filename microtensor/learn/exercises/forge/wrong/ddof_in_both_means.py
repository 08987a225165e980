# expect: step=forge ddof input=x
"""N - 1 in the mean as well, which has nothing to do with a variance."""


def layer_backward(g, saved):
    gamma, r, h = saved
    dx = gamma * r * (g - g.mean(0) - h * (g * h).mean(0))
    return dx, (g * h).sum(0), g.sum(0)


def forge_ddof(g, saved):
    gamma, r, h = saved
    _, dgamma, dbeta = layer_backward(g, saved)
    n = len(g) - 1
    return gamma * r * (g - dbeta / n - h * dgamma / n), dgamma, dbeta
