# expect: step=forge ddof input=gamma hint=size
"""A mean for a sum is a factor 1/N."""


def layer_backward(g, saved):
    gamma, r, h = saved
    dx = gamma * r * (g - g.mean(0) - h * (g * h).mean(0))
    return dx, (g * h).sum(0), g.sum(0)


def forge_ddof(g, saved):
    dx, dgamma, dbeta = layer_backward(g, saved)
    return dx, dgamma / len(g), dbeta
