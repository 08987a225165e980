"""Forge: one slip each, as people make it; what it does to the numbers is what the hint tells."""


def layer_backward(g, saved):
    gamma, r, h = saved
    dx = gamma * r * (g - g.mean(0) - h * (g * h).mean(0))
    return dx, (g * h).sum(0), g.sum(0)


def forge_ddof(g, saved):
    gamma, r, h = saved
    _, dgamma, dbeta = layer_backward(g, saved)
    n = len(g)
    dx = gamma * r * (g - dbeta / n - h * dgamma / (n - 1))     # the variance in forward is divided by n
    return dx, dgamma, dbeta


def forge_mean(g, saved):
    gamma, r, h = saved
    _, dgamma, dbeta = layer_backward(g, saved)
    return gamma * r * (g - h * dgamma / len(g)), dgamma, dbeta     # x is in the mean, too


def forge_column(g, saved):
    gamma, _, _ = saved
    dx, dgamma, dbeta = layer_backward(g, saved)
    return dx / gamma, dgamma, dbeta                            # as if gamma had been forgotten


def forge_axis(g, saved):
    dx, dgamma, _ = layer_backward(g, saved)
    return dx, dgamma, g.sum()                                  # a sum without its axis


def forge_nonlinear(g, saved):
    dx, dgamma, dbeta = layer_backward(g, saved)
    return dx * (g > 0), dgamma, dbeta                          # a condition on g in place of one on x


def forge_repeat(g, saved):
    _, _, h = saved
    dx, _, dbeta = layer_backward(g, saved)
    h *= g                                                      # writes into what forward saved
    return dx, h.sum(0), dbeta
