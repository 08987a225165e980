"""Batch normalisation: x (7, 3), gamma and beta (3,); y = gamma x-hat + beta, x-hat = (x - mu) / sqrt(var + eps)."""

import numpy as np

from wrong_gradients.entry import wrong

EPS = 1e-3
NAMES = ("x", "gamma", "beta")


def statistics(x):
    mu, var = x.mean(0), x.var(0)
    return (x - mu) / np.sqrt(var + EPS), 1 / np.sqrt(var + EPS)


def batch_norm(x, gamma, beta):
    return gamma * statistics(x)[0] + beta


def backward(g, x, gamma, beta):
    """The right one."""
    x_hat, inverse = statistics(x)
    dx = gamma * inverse * (g - g.mean(0) - x_hat * (g * x_hat).mean(0))
    return dx, (g * x_hat).sum(0), g.sum(0)


def case(dx=None, dgamma=None, forward=batch_norm):
    """A case in which one of the gradients is another: dx(g, x_hat, scale, N), dgamma(g, x, x_hat)."""

    def faulty(g, x, gamma, beta):
        x_hat, inverse = statistics(x)
        d, dg, db = backward(g, x, gamma, beta)
        if dx is not None:
            d = dx(g, x_hat, gamma * inverse, len(x))
        if dgamma is not None:
            dg = dgamma(g, x, x_hat)
        return d, dg, db

    return lambda draw: (forward, faulty, [draw(7, 3), draw.nonzero(3), draw(3)], NAMES)


wrong("BatchNorm: mean and variance as constants", "statistics")(case(lambda g, h, scale, n: scale * g))
wrong("BatchNorm: no path through the mean", "mean")(
    case(lambda g, h, scale, n: scale * (g - h * (g * h).mean(0))))
wrong("BatchNorm: no path through the variance", "variance")(case(lambda g, h, scale, n: scale * (g - g.mean(0))))
wrong("BatchNorm: N-1 in backward only", "ddof")(
    case(lambda g, h, scale, n: scale * (g - g.mean(0) - h * (g * h).sum(0) / (n - 1))))
wrong("BatchNorm: sum(g x) for sum(g x-hat)", "sum")(case(dgamma=lambda g, x, h: (g * x).sum(0)))
wrong("BatchNorm: means without an axis", "axis")(
    case(lambda g, h, scale, n: scale * (g - g.mean() - h * (g * h).mean())))
wrong("BatchNorm: dgamma summed without an axis", "axis")(case(dgamma=lambda g, x, h: np.asarray((g * h).sum())))


@wrong("BatchNorm: eps outside the root in backward only", "column")
def eps_outside(draw):
    def faulty(g, x, gamma, beta):
        x_hat, _ = statistics(x)
        inverse = 1 / (np.sqrt(x.var(0)) + EPS)
        dx = gamma * inverse * (g - g.mean(0) - x_hat * (g * x_hat).mean(0))
        return dx, (g * x_hat).sum(0), g.sum(0)

    return batch_norm, faulty, [draw(7, 3), draw.nonzero(3), draw(3)], NAMES


@wrong("BatchNorm: the formula of training in evaluation", "eval")
def eval_formula(draw):
    mean, variance = 0.3 * draw(3), draw.positive(3)

    def forward(x, gamma, beta):
        return gamma * (x - mean) / np.sqrt(variance + EPS) + beta

    def faulty(g, x, gamma, beta):
        x_hat = (x - mean) / np.sqrt(variance + EPS)
        dx = gamma / np.sqrt(variance + EPS) * (g - g.mean(0) - x_hat * (g * x_hat).mean(0))
        return dx, (g * x_hat).sum(0), g.sum(0)

    return forward, faulty, [draw(7, 3), draw.nonzero(3), draw(3)], NAMES
