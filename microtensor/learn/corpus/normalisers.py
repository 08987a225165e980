"""Normalisers other than batch normalisation: over features, groups, channels, norms."""

import numpy as np

from microtensor.learn.corpus.pair import Pair

EPS = 1e-3

# -- layer normalisation: x (5, 7), over the features ----------------------------------------------------------------


def layer_norm(x, gamma, beta):
    inverse = 1 / np.sqrt(x.var(1, keepdims=True) + EPS)
    x_hat = (x - x.mean(1, keepdims=True)) * inverse
    return gamma * x_hat + beta, (x_hat, inverse, gamma)


def layer_norm_backward(g, saved):
    x_hat, inverse, gamma = saved
    d_hat = g * gamma
    dx = inverse * (d_hat - d_hat.mean(1, keepdims=True) - x_hat * (d_hat * x_hat).mean(1, keepdims=True))
    dgamma = (g * x_hat).sum(0)
    dbeta = g.sum(0)
    return dx, dgamma, dbeta


pair = Pair("layer norm", "normalisers", layer_norm, layer_norm_backward,
            lambda draw: (draw(5, 7), draw.nonzero(7), draw(7)), ("x", "gamma", "beta"))
pair.slip("no term for the mean", ("- d_hat.mean(1, keepdims=True) ", ""), right="mean", helpful="path")
pair.slip("statistics as constants",
          ("inverse * (d_hat - d_hat.mean(1, keepdims=True) - x_hat * (d_hat * x_hat).mean(1, keepdims=True))",
           "inverse * d_hat"), right="statistics", helpful="path, diagonal, overwritten")
pair.slip("sum for mean in the second term", ("(d_hat * x_hat).mean(1", "(d_hat * x_hat).sum(1"),
          right="variance, size", helpful="path")
pair.slip("dgamma averaged over the batch", ("dgamma = (g * x_hat).sum(0)", "dgamma = (g * x_hat).mean(0)"),
          right="size", helpful="factor, sum")
pair.slip("dgamma without x-hat", ("dgamma = (g * x_hat).sum(0)", "dgamma = g.sum(0)"), right="sum, exchanged",
          helpful="scale")


# -- RMS normalisation: x (5, 7), over the features; recomputes ------------------------------------------------------


def rms_norm(x, gamma):
    rms = np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + EPS)
    return x / rms * gamma


def rms_norm_backward(g, x, gamma):
    d = x.shape[-1]
    rms = np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + EPS)
    dgamma = np.sum(g * x / rms, axis=0)
    d_norm = g * gamma
    dx = d_norm / rms - x * np.sum(d_norm * x, axis=-1, keepdims=True) / (d * rms**3)
    return dx, dgamma


pair = Pair("RMS norm", "normalisers", rms_norm, rms_norm_backward,
            lambda draw: (draw(5, 7), draw.nonzero(7)), ("x", "gamma"))
pair.slip("rms squared for cubed", ("rms**3", "rms**2"), right="variance")
pair.slip("second term not divided by d", ("(d * rms**3)", "rms**3"), right="variance, size", helpful="path")
pair.slip("gamma lost in the second term", ("np.sum(d_norm * x", "np.sum(g * x"), right="variance", helpful="scale")
pair.slip("centred as in layer norm", ("dx = d_norm / rms", "dx = (d_norm - d_norm.mean(-1, keepdims=True)) / rms"),
          right="mean")
pair.slip("dgamma with x for x / rms", ("np.sum(g * x / rms", "np.sum(g * x"), right="sum", helpful="scale")
pair.slip("dgamma summed over the features", ("g * x / rms, axis=0", "g * x / rms, axis=-1"), right="axis, shape",
          helpful="sum")

# -- group normalisation: x (5, 6, 7), two groups of three channels --------------------------------------------------

GROUPS = 2


def group_norm(x, gamma, beta):
    n, c, t = x.shape
    grouped = x.reshape(n, GROUPS, -1)
    centred = grouped - grouped.mean(-1, keepdims=True)
    std = np.sqrt(grouped.var(-1, keepdims=True) + EPS)
    x_hat = (centred / std).reshape(n, c, t)
    return x_hat * gamma[:, None] + beta[:, None], (x_hat, std, gamma)


def group_norm_backward(g, saved):
    x_hat, std, gamma = saved
    n, c, t = g.shape
    size = c // GROUPS * t
    dgamma = (g * x_hat).sum((0, 2))
    dbeta = g.sum((0, 2))
    d_hat = (g * gamma[:, None]).reshape(n, GROUPS, -1)
    h = x_hat.reshape(n, GROUPS, -1)
    dx = (d_hat - d_hat.sum(-1, keepdims=True) / size - h * (d_hat * h).sum(-1, keepdims=True) / size) / std
    return dx.reshape(n, c, t), dgamma, dbeta


pair = Pair("group norm", "normalisers", group_norm, group_norm_backward,
            lambda draw: (draw(5, 6, 7), draw.nonzero(6), draw(6)), ("x", "gamma", "beta"))
pair.slip("averages over one channel's count", ("size = c // GROUPS * t", "size = t"), right="mean, variance",
          helpful="size, path")
pair.slip("gamma not applied", ("(g * gamma[:, None]).reshape", "g.reshape"), right="scale", helpful="other upstream")
pair.slip("not divided by std", (" / size) / std", " / size)"), right="column", helpful="scale")
pair.slip("centred saved for x-hat", ("(x_hat, std, gamma)", "(centred.reshape(n, c, t), std, gamma)"),
          right="variance, sum", helpful="scale")
pair.slip("dgamma not summed over positions", ("(g * x_hat).sum((0, 2))", "(g * x_hat).sum(0)"), right="unreduced",
          helpful="shape, axis, sum")
pair.slip("mean of each channel, not of the group",
          ("- d_hat.sum(-1, keepdims=True) / size", "- (g * gamma[:, None]).mean(2).repeat(t, 1).reshape(h.shape)"),
          right="mean, axis")

# -- instance normalisation of images: x (2, 3, 5, 7); by the chain through variance and mean ------------------------


def instance_norm(x, gamma):
    mean = x.mean(axis=(2, 3), keepdims=True)
    var = x.var(axis=(2, 3), keepdims=True)
    return gamma[None, :, None, None] * (x - mean) / np.sqrt(var + EPS)


def instance_norm_backward(g, x, gamma):
    m = x.shape[2] * x.shape[3]
    centred = x - x.mean(axis=(2, 3), keepdims=True)
    std = np.sqrt(x.var(axis=(2, 3), keepdims=True) + EPS)
    dxhat = g * gamma[None, :, None, None]
    dvar = np.sum(dxhat * centred * -0.5 * std**-3, axis=(2, 3), keepdims=True)
    dmean = np.sum(-dxhat / std, axis=(2, 3), keepdims=True)
    dx = dxhat / std + dvar * 2 * centred / m + dmean / m
    dgamma = np.sum(g * centred / std, axis=(0, 2, 3))
    return dx, dgamma


pair = Pair("instance norm", "normalisers", instance_norm, instance_norm_backward,
            lambda draw: (draw(2, 3, 5, 7), draw.nonzero(3)), ("x", "gamma"))
pair.slip("2 lost in the variance's term", ("dvar * 2 * centred", "dvar * centred"), right="variance",
          helpful="projection, path")
pair.slip("power -1.5 of std, not of var", ("std**-3", "std**-1.5"), right="variance", helpful="projection, derivative")
pair.slip("dmean not divided by m", ("+ dmean / m", "+ dmean"), right="mean, size", helpful="path")
pair.slip("m counts the batch too", ("m = x.shape[2] * x.shape[3]", "m = x.size // x.shape[1]"),
          right="mean, variance", helpful="size, path")
pair.slip("sign of dmean", ("np.sum(-dxhat / std", "np.sum(dxhat / std"), right="mean", helpful="path")
pair.slip("dgamma with x not centred", ("np.sum(g * centred / std", "np.sum(g * x / std"), right="sum")

# -- weight normalisation: w = s v / |v| for each row, y = x w' ------------------------------------------------------


def weight_norm(x, v, s):
    norm = np.linalg.norm(v, axis=1, keepdims=True)
    w = s[:, None] * v / norm
    return x @ w.T, (x, v, s, norm, w)


def weight_norm_backward(dy, saved):
    x, v, s, norm, w = saved
    dx = dy @ w
    dw = dy.T @ x
    ds = (dw * v / norm).sum(axis=1)
    dv = s[:, None] / norm * dw - (s * ds)[:, None] * v / norm**2
    return dx, dv, ds


pair = Pair("weight normalisation", "normalisers", weight_norm, weight_norm_backward,
            lambda draw: (draw(7, 5), draw(3, 5), draw.nonzero(3)), ("x", "v", "s"))
pair.slip("norm as a constant", (" - (s * ds)[:, None] * v / norm**2", ""), right="variance, projection, statistics",
          helpful="path, overwritten")
pair.slip("norm for its square", ("norm**2", "norm"), right="variance", helpful="projection")
pair.slip("dx with v for w", ("dx = dy @ w", "dx = dy @ v"), right="scale", helpful="other upstream")
pair.slip("ds not divided by the norm", ("(dw * v / norm).sum", "(dw * v).sum"), right="sum, variance",
          helpful="column, projection, scale")
pair.slip("s lost in the first term", ("s[:, None] / norm * dw", "dw / norm"), right="scale")
pair.slip("norm of the whole matrix saved", ("(x, v, s, norm, w)", "(x, v, s, np.linalg.norm(v), w)"), right="axis",
          helpful="sum, column")

# -- rows of length 1: x (5, 7) --------------------------------------------------------------------------------------


def unit_rows(x):
    norm = np.sqrt((x * x).sum(axis=1, keepdims=True))
    y = x / norm
    return y, (y, norm)


def unit_rows_backward(g, saved):
    y, norm = saved
    return (g - y * (g * y).sum(axis=1, keepdims=True)) / norm


pair = Pair("unit rows", "normalisers", unit_rows, unit_rows_backward, lambda draw: (draw(5, 7),), ("x",))
pair.slip("norm as a constant", ("(g - y * (g * y).sum(axis=1, keepdims=True))", "g"), right="projection, statistics",
          helpful="variance, path, diagonal, overwritten")
pair.slip("not divided by the norm", (") / norm", ")"), right="column", helpful="scale")
pair.slip("sum over the wrong axis", ("(g * y).sum(axis=1", "(g * y).sum(axis=0"), right="axis")
pair.slip("mean for sum", ("(g * y).sum(", "(g * y).mean("), right="projection, size", helpful="variance, path")
pair.slip("second term without upstream", ("(g * y).sum(", "y.sum("), right="upstream",
          helpful="projection, variance")
pair.slip("output overwritten",
          ("return (g - y * (g * y).sum(axis=1, keepdims=True)) / norm",
           "y *= (g * y).sum(axis=1, keepdims=True)\n    return (g - y) / norm"), right="repeat, unchanged")

# -- batch normalisation of images, channels last: x (2, 5, 7, 3) ----------------------------------------------------


def batch_norm_images(x, gamma, beta):
    rows = x.reshape(-1, x.shape[-1])
    mu = rows.mean(axis=0)
    ivar = 1 / np.sqrt(rows.var(axis=0) + EPS)
    out = gamma * (rows - mu) * ivar + beta
    return out.reshape(x.shape), (rows, mu, ivar, gamma)


def batch_norm_images_backward(dout, cache):
    rows, mu, ivar, gamma = cache
    d = dout.reshape(rows.shape)
    m = len(rows)
    xmu = rows - mu
    xhat = xmu * ivar
    dbeta = d.sum(axis=0)
    dgamma = (d * xhat).sum(axis=0)
    dx = gamma * ivar / m * (m * d - dbeta - xhat * dgamma)
    return dx.reshape(dout.shape), dgamma, dbeta


pair = Pair("batch norm of images", "normalisers", batch_norm_images, batch_norm_images_backward,
            lambda draw: (draw(2, 5, 7, 3), draw.nonzero(3), draw(3)), ("x", "gamma", "beta"))
pair.slip("m is the batch size alone", ("m = len(rows)", "m = len(dout)"), right="mean, variance", helpful="size, path")
pair.slip("not divided by m", ("gamma * ivar / m *", "gamma * ivar *"), right="size", helpful="factor")
pair.slip("the formula of evaluation", ("ivar / m * (m * d - dbeta - xhat * dgamma)", "ivar * d"),
          right="eval, statistics", helpful="path, diagonal, overwritten")
pair.slip("upstream read as channels first", ("dout.reshape(rows.shape)", "dout.reshape(rows.shape[::-1]).T"),
          right="other upstream", helpful="permuted, sum")
pair.slip("gamma lost", ("dx = gamma * ivar", "dx = ivar"), right="scale", helpful="column, power")
pair.slip("dgamma and dbeta exchanged", ("dgamma, dbeta\n", "dbeta, dgamma\n"), right="exchanged", helpful="sum")

# -- standard scores of columns, with n - 1: x (7, 5) ----------------------------------------------------------------


def standardise(x):
    centred = x - x.mean(0)
    sigma = np.sqrt((centred**2).sum(0) / (len(x) - 1))
    return centred / sigma


def standardise_backward(g, x):
    n = len(x)
    sigma = x.std(0, ddof=1)
    z = (x - x.mean(0)) / sigma
    return (g - g.mean(0) - z * (g * z).sum(0) / (n - 1)) / sigma


pair = Pair("standardisation", "normalisers", standardise, standardise_backward, lambda draw: (draw(7, 5),), ("x",))
pair.slip("std with n", ("x.std(0, ddof=1)", "x.std(0)"), right="ddof")
pair.slip("n for n - 1 in the last term", ("/ (n - 1)", "/ n"), right="ddof, variance", helpful="projection, path")
pair.slip("mean of all upstream", ("g.mean(0)", "g.mean()"), right="mean, axis")
pair.slip("sigma as a constant", (" - z * (g * z).sum(0) / (n - 1)", ""), right="variance, projection",
          helpful="path, statistics")
pair.slip("x for z", ("z * (g * z).sum(0)", "x * (g * x).sum(0)"), right="variance")
pair.slip("scores in float32", ("(x - x.mean(0)) / sigma", "((x - x.mean(0)) / sigma).astype(np.float32)"),
          right="precision")
