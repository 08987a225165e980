"""Layers of papers: SwiGLU, rotary positions, FiLM, PReLU, local response, hypernetworks, label smoothing."""

import numpy as np

from microtensor.learn.corpus.pair import Pair

# -- SwiGLU: y = (silu(x w) * (x v)) u, x (5, 3), 7 hidden ------------------------------------------------------------


def swiglu(x, w, v, u):
    a, b = x @ w, x @ v
    s = 1 / (1 + np.exp(-a))
    return (a * s * b) @ u, (x, w, v, u, a, b, s)


def swiglu_backward(g, saved):
    x, w, v, u, a, b, s = saved
    dh = g @ u.T
    da = dh * b * (s + a * s * (1 - s))
    db = dh * a * s
    dx = da @ w.T + db @ v.T
    return dx, x.T @ da, x.T @ db, (a * s * b).T @ g


pair = Pair("SwiGLU", "layers_of_papers", swiglu, swiglu_backward,
            lambda draw: (draw(5, 3), draw(3, 7), draw(3, 7), draw(7, 2)), ("x", "w", "v", "u"))
pair.slip("derivative of sigmoid for that of silu", ("(s + a * s * (1 - s))", "s * (1 - s)"), right="derivative")
pair.slip("dx by the gate alone", (" + db @ v.T", ""), right="path", helpful="overwritten")
pair.slip("gate lost in db", ("db = dh * a * s", "db = dh"), right="scale", helpful="derivative")
pair.slip("du transposed", ("(a * s * b).T @ g", "g.T @ (a * s * b)"), right="transposed", helpful="shape, product")
pair.slip("dw and dv exchanged", ("x.T @ da, x.T @ db", "x.T @ db, x.T @ da"), right="exchanged")
pair.slip("du by sigmoid for silu", ("(a * s * b).T @ g", "(s * b).T @ g"), right="scale")

# -- scores of queries (5, 6) and keys (7, 6) with rotary positions ---------------------------------------------------

BASE = 100.0


def turn(x, direction):
    half = x.shape[1] // 2
    angle = np.arange(1, len(x) + 1)[:, None] * BASE ** (-np.arange(half) / half)
    c, s = np.cos(angle), direction * np.sin(angle)
    first, second = x[:, :half], x[:, half:]
    return np.hstack([first * c - second * s, first * s + second * c])


def rotary_scores(q, k):
    qr, kr = turn(q, 1), turn(k, 1)
    return qr @ kr.T / np.sqrt(q.shape[1]), (q.shape[1], qr, kr)


def rotary_scores_backward(g, saved):
    d, qr, kr = saved
    ds = g / np.sqrt(d)
    dqr = ds @ kr
    dkr = ds.T @ qr
    return turn(dqr, -1), turn(dkr, -1)


pair = Pair("rotary positions", "layers_of_papers", rotary_scores, rotary_scores_backward,
            lambda draw: (draw(5, 6), draw(7, 6)), ("q", "k"))
pair.slip("dq turned forwards again", ("turn(dqr, -1)", "turn(dqr, 1)"), right="product")
pair.slip("dk not turned back", ("turn(dkr, -1)", "dkr"), right="scale, product")
pair.slip("root of the width forgotten", ("ds = g / np.sqrt(d)", "ds = g"), right="constant",
          helpful="scale, factor")
pair.slip("divided by the width", ("g / np.sqrt(d)", "g / d"), right="constant",
          helpful="scale, factor")
pair.slip("keys saved before the turn", ("(q.shape[1], qr, kr)", "(q.shape[1], qr, k)"), right="scale",
          helpful="product, derivative")
pair.slip("gradients of q and k exchanged", ("return turn(dqr, -1), turn(dkr, -1)",
                                             "return turn(dkr, -1), turn(dqr, -1)"),
          right="exchanged", helpful="shape")

# -- FiLM: x (2, 3, 7) modulated by z (2, 5) --------------------------------------------------------------------------


def film(x, z, u, v):
    gamma, beta = z @ u, z @ v
    return (1 + gamma[:, :, None]) * x + beta[:, :, None]


def film_backward(dout, x, z, u, v):
    gamma = z @ u
    dx = dout * (1 + gamma[:, :, None])
    dgamma = np.sum(dout * x, axis=2)
    dbeta = np.sum(dout, axis=2)
    dz = dgamma @ u.T
    dz += dbeta @ v.T
    du = z.T @ dgamma
    dv = z.T @ dbeta
    return dx, dz, du, dv


pair = Pair("FiLM", "layers_of_papers", film, film_backward,
            lambda draw: (draw(2, 3, 7), draw(2, 5), draw(5, 3), draw(5, 3)), ("x", "z", "u", "v"))
pair.slip("dgamma averaged over positions", ("np.sum(dout * x, axis=2)", "np.mean(dout * x, axis=2)"), right="size",
          helpful="factor, path")
pair.slip("1 + lost", ("(1 + gamma[:, :, None])", "gamma[:, :, None]"), right="path, scale",
          helpful="column, overwritten, derivative")
pair.slip("= for +=", ("dz += dbeta", "dz = dbeta"), right="overwritten", helpful="path")
pair.slip("dgamma without x", ("np.sum(dout * x, axis=2)", "np.sum(dout, axis=2)"), right="exchanged, sum",
          helpful="scale")
pair.slip("sum of a product as a product of sums", ("np.sum(dout * x, axis=2)", "np.sum(dout, 2) * np.sum(x, 2)"),
          right="sum", helpful="other upstream")
pair.slip("bias learns from the last position", ("dbeta = np.sum(dout, axis=2)", "dbeta = dout[:, :, -1]"),
          right="overwritten, sum", helpful="other upstream, path")

# -- PReLU: x (2, 3, 5), a slope for each channel ---------------------------------------------------------------------


def prelu(x, slope):
    return np.where(x > 0, x, slope[:, None] * x), (x, slope)


def prelu_backward(g, saved):
    x, slope = saved
    dslope = (g * np.where(x > 0, 0, x)).sum(axis=(0, 2))
    dx = g * np.where(x > 0, 1, slope[:, None])
    return dx, dslope


pair = Pair("PReLU", "layers_of_papers", prelu, prelu_backward, lambda draw: (draw.nonzero(2, 3, 5), draw.positive(3)),
            ("x", "slope"))
pair.slip("derivative of ReLU", ("np.where(x > 0, 1, slope[:, None])", "np.where(x > 0, 1, 0)"),
          right="derivative, side, mask", helpful="sides, scale, path")
pair.slip("sides exchanged", ("np.where(x > 0, 1, slope[:, None])", "np.where(x < 0, 1, slope[:, None])"),
          right="derivative, sides")
pair.slip("slope learns where x > 0 too", ("np.where(x > 0, 0, x)", "x"), right="sum", helpful="mask")
pair.slip("dslope not summed over positions", ("axis=(0, 2)", "axis=0"), right="unreduced", helpful="shape, axis, sum")
pair.slip("condition on the upstream", ("dx = g * np.where(x > 0", "dx = g * np.where(g > 0"), right="nonlinear",
          helpful="derivative")
pair.slip("upstream overwritten", ("dx = g *", "dx = g\n    dx *="), right="unchanged", helpful="repeat")

# -- local response normalisation: x (2, 7, 3), over five channels; recomputes ----------------------------------------

KAPPA, ALPHA, BETA, SPAN = 2.0, 1.5, 0.75, 5


def neighbours(x, axis):
    near = np.abs(np.subtract.outer(np.arange(x.shape[axis]), np.arange(x.shape[axis]))) <= SPAN // 2
    return np.moveaxis(np.tensordot(near.astype(float), x, axes=(1, axis)), 0, axis)


def local_response(x):
    s = KAPPA + ALPHA / SPAN * neighbours(x**2, 1)
    return x / s**BETA


def local_response_backward(g, x):
    s = KAPPA + ALPHA / SPAN * neighbours(x**2, 1)
    ds = g * x * -BETA * s ** (-BETA - 1)
    dx = g / s**BETA
    dx += 2 * x * ALPHA / SPAN * neighbours(ds, 1)
    return dx


pair = Pair("local response normalisation", "layers_of_papers", local_response, local_response_backward,
            lambda draw: (draw(2, 7, 3),), ("x",))
pair.slip("divisor as a constant", ("    dx += 2 * x * ALPHA / SPAN * neighbours(ds, 1)\n", ""),
          right="path, statistics", helpful="overwritten")
pair.slip("a channel's own share alone", ("neighbours(ds, 1)", "ds"), right="diagonal", helpful="path, overwritten")
pair.slip("2 of the square lost", ("dx += 2 * x", "dx += x"), right="two, path")
pair.slip("power of s not lowered", ("(-BETA - 1)", "-BETA"), right="power, derivative")
pair.slip("neighbours along the positions", ("neighbours(ds, 1)", "neighbours(ds, 2)"), right="axis")
pair.slip("term of the neighbours subtracted", ("dx += 2", "dx -= 2"), right="path")

# -- hypernetwork: the weights of y = x w come from z, w = tanh(z h + c) ----------------------------------------------


def hypernetwork(x, z, h, c):
    w = np.tanh(z @ h + c)
    return x @ w.reshape(x.shape[1], -1), (x, z, h, w)


def hypernetwork_backward(g, saved):
    x, z, h, w = saved
    dx = g @ w.reshape(x.shape[1], -1).T
    dw = (x.T @ g).ravel()
    da = dw * (1 - w**2)
    dz = h @ da
    dh = np.outer(z, da)
    return dx, dz, dh, da


pair = Pair("hypernetwork", "layers_of_papers", hypernetwork, hypernetwork_backward,
            lambda draw: (draw(2, 3), draw.nonzero(5), 0.5 * draw(5, 21), draw(21)), ("x", "z", "h", "c"))
pair.slip("generated weights' gradient in the other order", ("(x.T @ g).ravel()", "(g.T @ x).ravel()"),
          right="transposed, permuted", helpful="product, other upstream, column")
pair.slip("derivative of tanh lost", ("da = dw * (1 - w**2)", "da = dw"), right="derivative", helpful="column")
pair.slip("square of tanh lost", ("(1 - w**2)", "(1 - w)"), right="derivative", helpful="column")
pair.slip("dh without z", ("np.outer(z, da)", "np.tile(da, (len(z), 1))"), right="power, scale",
          helpful="column, exchanged")
pair.slip("dz averaged over the generated weights", ("dz = h @ da", "dz = (h * da).mean(axis=1)"), right="size",
          helpful="factor, sum")
pair.slip("weights saved before the tanh", ("(x, z, h, w)", "(x, z, h, z @ h + c)"), right="derivative",
          helpful="scale, column")

# -- cross-entropy with smoothed labels: logits (7, 5) ----------------------------------------------------------------

SMOOTHING = 0.1


def smoothed_cross_entropy(logits, labels):
    n = len(logits)
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    at_labels = log_p[np.arange(n), labels].mean()
    return np.asarray(-(1 - SMOOTHING) * at_labels - SMOOTHING * log_p.mean()), (log_p, labels)


def smoothed_cross_entropy_backward(g, saved):
    log_p, labels = saved
    n, classes = log_p.shape
    d = np.exp(log_p)
    d -= SMOOTHING / classes
    d[np.arange(n), labels] -= 1 - SMOOTHING
    return g * d / n, None


pair = Pair("label smoothing", "layers_of_papers", smoothed_cross_entropy, smoothed_cross_entropy_backward,
            lambda draw: (draw(7, 5), draw.integers(5, 7)), ("logits", "labels"))
pair.slip("smoothed towards no class", ("    d -= SMOOTHING / classes\n", ""), right="mean", helpful="offset, path")
pair.slip("whole 1 at the labels", ("-= 1 - SMOOTHING", "-= 1"), right="label", helpful="offset, scale")
pair.slip("smoothed over the other classes", ("SMOOTHING / classes", "SMOOTHING / (classes - 1)"), right="ddof, mean",
          helpful="offset")
pair.slip("not divided by the batch", ("g * d / n", "g * d"), right="size", helpful="factor")
pair.slip("upstream forgotten", ("g * d / n", "d / n"), right="upstream", helpful="factor, nonlinear")
pair.slip("saved probabilities overwritten", ("d = np.exp(log_p)", "d = log_p"),
          ("(log_p, labels)", "(np.exp(log_p), labels)"), right="repeat", helpful="unchanged")
