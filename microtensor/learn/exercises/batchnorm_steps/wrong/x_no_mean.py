# expect: step=nodes input=x hint=factor
"""The 1/N of the mean is missing."""


def batchnorm_steps(x, gamma, beta, eps=1e-5):
    m = x.mean(0)
    d = x - m
    v = (d * d).mean(0)
    r = (v + eps) ** -0.5
    h = r * d
    return gamma * h + beta, (gamma, d, r, h)


def batchnorm_steps_backward(g, saved):
    gamma, d, r, h = saved
    n = len(g)
    dbeta = g.sum(0)
    dgamma = (g * h).sum(0)
    dh = gamma * g
    dr = (dh * d).sum(0)
    dv = -(r**3) / 2 * dr
    dd = r * dh + 2 / n * d * dv
    dm = -dd.sum(0)
    dx = dd + dm
    return {"beta": dbeta, "gamma": dgamma, "h": dh, "r": dr, "v": dv, "d": dd, "m": dm, "x": dx}
