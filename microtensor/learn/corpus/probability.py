"""Likelihoods, divergences, and what is drawn from a distribution."""

import numpy as np

from microtensor.learn.corpus.pair import Pair

# -- loss of a variational autoencoder: mu and logvar (5, 3), the decoder w (3, 7), binary x (5, 7) -------------------

NOISE = np.random.default_rng(11).standard_normal((5, 3))
BETA = 0.3


def vae_loss(mu, logvar, w, x):
    std = np.exp(0.5 * logvar)
    z = mu + std * NOISE
    logits = z @ w
    reconstruction = (np.logaddexp(0, logits) - x * logits).sum()
    kl = -0.5 * (1 + logvar - mu**2 - std**2).sum()
    return np.asarray((reconstruction + BETA * kl) / len(mu)), (mu, std, z, w, logits, x)


def vae_loss_backward(g, saved):
    mu, std, z, w, logits, x = saved
    d = g / len(mu)
    dlogits = d * (1 / (1 + np.exp(-logits)) - x)
    dw = z.T @ dlogits
    dz = dlogits @ w.T
    dmu = dz + d * BETA * mu
    dlogvar = dz * NOISE * 0.5 * std + d * BETA * 0.5 * (std**2 - 1)
    return dmu, dlogvar, dw


pair = Pair("evidence lower bound", "probability", vae_loss, vae_loss_backward,
            lambda draw: (draw(5, 3), draw(5, 3), draw(3, 7), draw.integers(2, 5, 7)), ("mu", "logvar", "w", "x"))
pair.slip("half of the root of the variance forgotten", ("NOISE * 0.5 * std", "NOISE * std"), right="path")
pair.slip("KL term of mu not averaged over the batch", ("d * BETA * mu", "g * BETA * mu"), right="decay, size",
          helpful="path, variance")
pair.slip("no KL term of mu", (" + d * BETA * mu", ""), right="path, decay", helpful="variance, overwritten")
pair.slip("beta forgotten for logvar", ("d * BETA * 0.5 *", "d * 0.5 *"), right="path, scale")
pair.slip("std for the variance in the KL term", ("(std**2 - 1)", "(std - 1)"), right="derivative")
pair.slip("sample not differentiated for logvar", ("dz * NOISE * 0.5 * std + ", ""), right="path",
          helpful="overwritten")

# -- normal likelihood with a variance for each sample, exp(x v): x (7, 3); recomputes -------------------------------


def noisy_regression(x, t, w, v):
    mean = x @ w
    s = x @ v
    return np.asarray(0.5 * np.mean(s + (t - mean)**2 * np.exp(-s)))


def noisy_regression_backward(g, x, t, w, v):
    r = t - x @ w
    precision = np.exp(-(x @ v))
    dmean = -g * r * precision / len(t)
    ds = 0.5 * g * (1 - r**2 * precision) / len(t)
    dx = np.outer(dmean, w) + np.outer(ds, v)
    dw = x.T @ dmean
    dv = x.T @ ds
    return dx, -dmean, dw, dv


pair = Pair("regression with learnt noise", "probability", noisy_regression, noisy_regression_backward,
            lambda draw: (draw(7, 3), draw(7), draw(3), 0.5 * draw(3)), ("x", "t", "w", "v"))
pair.slip("log of the variance forgotten", ("(1 - r**2 * precision)", "-r**2 * precision"), right="path",
          helpful="mean, sum, overwritten")
pair.slip("dx by the mean alone", (" + np.outer(ds, v)", ""), right="path, overwritten")
pair.slip("dmean not divided by the batch", ("r * precision / len(t)", "r * precision"), right="size",
          helpful="path, factor")
pair.slip("ds without upstream", ("ds = 0.5 * g *", "ds = 0.5 *"), right="upstream", helpful="factor")
pair.slip("dw and dv exchanged", ("dw, dv\n", "dv, dw\n"), right="exchanged", helpful="sum")
pair.slip("weighted twice for dw", ("x.T @ dmean", "x.T @ (dmean * precision)"), right="sum", helpful="scale")

# -- log likelihood of a mixture of three normals, at x (7,) ---------------------------------------------------------


def mixture(x, logits, means, log_std):
    log_pi = logits - np.logaddexp.reduce(logits)
    std = np.exp(log_std)
    z = (x[:, None] - means) / std
    joint = log_pi - log_std - 0.5 * z**2 - 0.5 * np.log(2 * np.pi)
    log_p = np.logaddexp.reduce(joint, axis=1)
    resp = np.exp(joint - log_p[:, None])
    return log_p, (resp, z, np.exp(log_pi), std)


def mixture_backward(g, saved):
    resp, z, pi, std = saved
    gr = g[:, None] * resp
    dx = -(gr * z / std).sum(axis=1)
    dlogits = gr.sum(axis=0) - pi * g.sum()
    dmeans = (gr * z / std).sum(axis=0)
    dlog_std = (gr * (z**2 - 1)).sum(axis=0)
    return dx, dlogits, dmeans, dlog_std


pair = Pair("mixture of normals", "probability", mixture, mixture_backward,
            lambda draw: (draw(7), draw(3), draw(3), 0.5 * draw(3)), ("x", "logits", "means", "log_std"))
pair.slip("shares of the mixture not normalised", (" - pi * g.sum()", ""), right="path", helpful="sum, overwritten")
pair.slip("count of samples for the sum of the upstream", ("pi * g.sum()", "pi * len(g)"), right="upstream",
          helpful="sum")
pair.slip("log of the width forgotten", ("(z**2 - 1)", "z**2"), right="path, sum", helpful="overwritten")
pair.slip("dmeans not divided by the width", ("dmeans = (gr * z / std)", "dmeans = (gr * z)"), right="scale",
          helpful="column, sum")
pair.slip("responsibilities normalised over the samples",
          ("np.exp(joint - log_p[:, None])", "np.exp(joint - np.logaddexp.reduce(joint, axis=0))"), right="axis",
          helpful="sum")
pair.slip("sign of dx", ("dx = -(gr", "dx = (gr"), right="sign", helpful="factor")

# -- Gumbel softmax over a codebook: logits (5, 3), codes (3, 7) -----------------------------------------------------

GUMBEL = np.random.default_rng(12).gumbel(size=(5, 3))
TAU = 0.7


def gumbel_choice(logits, codes):
    scores = (logits + GUMBEL) / TAU
    y = np.exp(scores - scores.max(-1, keepdims=True))
    y = y / y.sum(-1, keepdims=True)
    return y @ codes, (y, codes)


def gumbel_choice_backward(grad, cache):
    y, codes = cache
    dcodes = y.T @ grad
    dy = grad @ codes.T
    dlogits = y * (dy - (y * dy).sum(-1, keepdims=True)) / TAU
    return dlogits, dcodes


pair = Pair("Gumbel choice of a code", "probability", gumbel_choice, gumbel_choice_backward,
            lambda draw: (draw(5, 3), draw(3, 7)), ("logits", "codes"))
pair.slip("temperature forgotten", (" / TAU", ""), right="scale", helpful="factor")
pair.slip("hard choice saved", ("(y, codes)\n", "(np.eye(3)[y.argmax(-1)], codes)\n"), right="zero",
          helpful="mask, path")
pair.slip("sum over the batch in the softmax", ("(y * dy).sum(-1", "(y * dy).sum(0"), right="axis", helpful="mask")
pair.slip("softmax as if elementwise", ("y * (dy - (y * dy).sum(-1, keepdims=True))", "y * (1 - y) * dy"),
          right="diagonal", helpful="path")
pair.slip("dcodes transposed", ("y.T @ grad", "grad.T @ y"), right="transposed, product", helpful="shape, permuted")

# -- policy gradient with a baseline and a bonus for entropy: logits (7, 5); recomputes -------------------------------

BONUS = 0.2


def policy_loss(logits, actions, rewards):
    logp = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    advantage = rewards - rewards.mean()
    chosen = logp[np.arange(len(logits)), actions]
    entropy = -(np.exp(logp) * logp).sum(axis=1)
    return np.asarray(-(advantage * chosen + BONUS * entropy).mean())


def policy_loss_backward(g, logits, actions, rewards):
    n = len(logits)
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    advantage = rewards - rewards.mean()
    dlogits = p * advantage[:, None]
    dlogits[np.arange(n), actions] -= advantage
    entropy = -(p * np.log(p)).sum(axis=1, keepdims=True)
    dlogits += BONUS * p * (np.log(p) + entropy)
    return dlogits * g / n


pair = Pair("policy gradient", "probability", policy_loss, policy_loss_backward,
            lambda draw: (draw(7, 5), draw.integers(5, 7), draw.integers(11, 7)), ("logits", "actions", "rewards"))
pair.slip("1 for the advantage at the action", ("actions] -= advantage", "actions] -= 1"), right="label")
pair.slip("likeliest action for the one taken", ("np.arange(n), actions", "np.arange(n), p.argmax(axis=1)"),
          right="label", helpful="lines")
pair.slip("averaged over actions too", ("dlogits * g / n", "dlogits * g / dlogits.size"), right="size",
          helpful="factor")
pair.slip("sign of the bonus", ("dlogits += BONUS", "dlogits -= BONUS"), right="path")
pair.slip("clipped on the way", ("return dlogits * g / n", "return np.clip(dlogits * g / n, -0.02, 0.02)"),
          right="nonlinear")
pair.slip("no baseline", ("rewards - rewards.mean()", "rewards"), right="path")

# -- Poisson regression with an exposure in days: x (7, 3) -----------------------------------------------------------


def poisson_loss(x, w, b, days, counts):
    eta = x @ w + b + np.log(days)
    rate = np.exp(eta)
    return np.asarray(np.mean(rate - counts * eta)), (x, w, rate, counts)


def poisson_loss_backward(g, cache):
    x, w, rate, counts = cache
    deta = g * (rate - counts) / len(counts)
    dx = deta[:, None] * w
    dw = x.T @ deta
    db = deta.sum()
    return dx, dw, db


pair = Pair("Poisson regression", "probability", poisson_loss, poisson_loss_backward,
            lambda draw: (0.5 * draw(7, 3), draw(3), draw(), 1 + draw.integers(5, 7), draw.integers(7, 7)),
            ("x", "w", "b", "days", "counts"))
pair.slip("link not differentiated", ("(rate - counts)", "(1 - counts / rate)"), right="derivative, column",
          helpful="sum")
pair.slip("db averaged", ("deta.sum()", "deta.mean()"), right="size", helpful="sum, factor")
pair.slip("db for each sample", ("deta.sum()", "deta"), right="unreduced", helpful="shape")
pair.slip("rate saved in float32", ("(x, w, rate, counts)\n", "(x, w, rate.astype(np.float32), counts)\n"),
          right="precision")
pair.slip("counts subtracted in place",
          ("deta = g * (rate - counts) / len(counts)", "rate -= counts\n    deta = g * rate / len(counts)"),
          right="repeat, unchanged")
pair.slip("rate without the days", ("(x, w, rate, counts)\n", "(x, w, rate / days, counts)\n"), right="column",
          helpful="sum, scale, lines, side, derivative")

# -- KL divergence of a normal for each row from one prior: m1 and s1 (5, 3), m2 and s2 (3,); s are logs of std -------


def prior_kl(m1, s1, m2, s2):
    ratio = (np.exp(2 * s1) + (m1 - m2)**2) / np.exp(2 * s2)
    return (s2 - s1 + 0.5 * ratio - 0.5).sum(axis=1)


def prior_kl_backward(g, m1, s1, m2, s2):
    gk = g[:, None]
    precision = np.exp(-2 * s2)
    dm = gk * (m1 - m2) * precision
    ds1 = gk * (np.exp(2 * s1) * precision - 1)
    ds2 = gk * (1 - (np.exp(2 * s1) + (m1 - m2)**2) * precision)
    return dm, ds1, -dm.sum(axis=0), ds2.sum(axis=0)


pair = Pair("KL divergence from a shared prior", "probability", prior_kl, prior_kl_backward,
            lambda draw: (draw(5, 3), 0.5 * draw(5, 3), draw(3), 0.5 * draw(3)), ("m1", "s1", "m2", "s2"))
pair.slip("prior's mean not summed over rows", ("-dm.sum(axis=0)", "-dm"), right="unreduced", helpful="shape")
pair.slip("precision of the wrong normal", ("(m1 - m2) * precision\n", "(m1 - m2) * np.exp(-2 * s1)\n"),
          right="derivative", helpful="sum")
pair.slip("entropy's term forgotten", (" * precision - 1)", " * precision)"), right="path",
          helpful="mean, overwritten, derivative")
pair.slip("means forgotten in ds2", ("(np.exp(2 * s1) + (m1 - m2)**2)", "np.exp(2 * s1)"), right="path, sum")
pair.slip("s1 as the log of a variance", ("ds1 = gk *", "ds1 = 0.5 * gk *"), right="two", helpful="factor")
pair.slip("mean upstream for each row's", ("gk = g[:, None]", "gk = g.mean()"), right="other upstream",
          helpful="column, sum, mask")
