"""Batch normalisation, node by node: dz is the sum, over all formulas that use z, of dL/d(left side) d(left side)/dz.

What is repeated for N rows gets a sum over them; each of N numbers gets 1/N of the gradient of their mean.
d stands in h and in v, x in d and in m: two terms each.
"""


def batchnorm_steps(x, gamma, beta, eps=1e-5):
    m = x.mean(0)                       # (D,)
    d = x - m                           # (N, D)
    v = (d * d).mean(0)                 # (D,)
    r = (v + eps) ** -0.5               # (D,)
    h = r * d                           # (N, D)
    return gamma * h + beta, (gamma, d, r, h)


def batchnorm_steps_backward(g, saved):
    gamma, d, r, h = saved
    n = len(g)
    dbeta = g.sum(0)                    # y = gamma h + beta
    dgamma = (g * h).sum(0)             # y
    dh = gamma * g                      # y
    dr = (dh * d).sum(0)                # h = r d
    dv = -(r**3) / 2 * dr               # r = (v + eps)^(-1/2), so dr/dv = -1/2 (v + eps)^(-3/2)
    dd = r * dh + 2 / n * d * dv        # h, and v = mean of d^2
    dm = -dd.sum(0)                     # d = x - m
    dx = dd + dm / n                    # d, and m = mean of x
    return {"beta": dbeta, "gamma": dgamma, "h": dh, "r": dr, "v": dv, "d": dd, "m": dm, "x": dx}
