"""Penalties on weights and outputs, and losses with a penalty inside."""

import numpy as np

from microtensor.learn.corpus.pair import Pair

LAMBDA = 0.3
ALPHA = 0.7
BETA = 0.15
MU = 1.7
LIMIT = 2.1
X = np.random.default_rng(11).standard_normal((11, 5))
T = np.random.default_rng(12).standard_normal(11)

# -- ridge regression on fixed data (X, T): w (5,), b () -------------------------------------------------------------


def ridge(w, b):
    residual = X @ w + b - T
    return np.asarray((residual**2).mean() / 2 + LAMBDA / 2 * (w**2).sum())


def ridge_backward(g, w, b):
    residual = X @ w + b - T
    dw = X.T @ residual / len(T) + LAMBDA * w
    db = residual.mean()
    return g * dw, g * db


pair = Pair("ridge regression", "penalties", ridge, ridge_backward, lambda draw: (draw(5), draw.nonzero()), ("w", "b"))
pair.slip("penalty forgotten", (" + LAMBDA * w", ""), right="decay", helpful="path, overwritten, variance")
pair.slip("penalty divided by the batch size", ("X.T @ residual / len(T) + LAMBDA * w",
                                                "(X.T @ residual + LAMBDA * w) / len(T)"),
          right="decay", helpful="size, variance")
pair.slip("penalty without upstream", (" + LAMBDA * w", ""), ("g * dw, g * db", "g * dw + LAMBDA * w, g * db"),
          right="upstream", helpful="decay, variance")
pair.slip("bias penalised", ("residual.mean()", "residual.mean() + LAMBDA * b"), right="decay")
pair.slip("loss not averaged for dw", ("X.T @ residual / len(T)", "X.T @ residual"), right="size", helpful="sum")
pair.slip("no gradient for b", ("db = residual.mean()", "db = 0.0"), right="zero", helpful="path, mask")

# -- elastic net: w (5, 3) -------------------------------------------------------------------------------------------


def elastic_net(w):
    return np.asarray(LAMBDA * (ALPHA * np.abs(w).sum() + (1 - ALPHA) / 2 * (w**2).sum()))


def elastic_net_backward(g, w):
    return g * LAMBDA * (ALPHA * np.sign(w) + (1 - ALPHA) * w)


pair = Pair("elastic net", "penalties", elastic_net, elastic_net_backward, lambda draw: (draw.nonzero(5, 3),), ("w",))
pair.slip("1 for the sign", ("ALPHA * np.sign(w)", "ALPHA"), right="side, offset", helpful="derivative")
pair.slip("|w| for the sign", ("np.sign(w)", "np.abs(w)"), right="derivative")
pair.slip("half of the L2 part", ("(1 - ALPHA) * w", "(1 - ALPHA) / 2 * w"), right="decay",
          helpful="derivative, variance")
pair.slip("shares exchanged", ("ALPHA * np.sign(w) + (1 - ALPHA) * w", "(1 - ALPHA) * np.sign(w) + ALPHA * w"),
          right="derivative")
pair.slip("lambda forgotten", ("g * LAMBDA * ", "g * "), right="scale", helpful="factor, constant")
pair.slip("divided by the number of weights", ("(1 - ALPHA) * w)", "(1 - ALPHA) * w) / w.size"), right="size",
          helpful="factor")

# -- group lasso: rows of w (5, 7) are groups, each with the root of its size ----------------------------------------


def group_lasso(w):
    norms = np.sqrt((w**2).sum(1))
    return np.asarray(LAMBDA * np.sqrt(w.shape[1]) * norms.sum()), (w, norms)


def group_lasso_backward(g, saved):
    w, norms = saved
    return g * LAMBDA * np.sqrt(w.shape[1]) * w / norms[:, None]


pair = Pair("group lasso", "penalties", group_lasso, group_lasso_backward, lambda draw: (draw(5, 7),), ("w",))
pair.slip("root of the size forgotten", (" * np.sqrt(w.shape[1])", ""), right="constant", helpful="factor, scale")
pair.slip("not divided by the norm", (" / norms[:, None]", ""), right="column", helpful="variance")
pair.slip("sign of each weight", ("w / norms[:, None]", "np.sign(w)"), right="derivative")
pair.slip("norms of columns", ("w / norms[:, None]", "w / np.sqrt((w**2).sum(0))"), right="axis")
pair.slip("no upstream", ("g * LAMBDA", "LAMBDA"), right="upstream", helpful="factor")
pair.slip("norm of the whole matrix", ("norms[:, None]", "np.sqrt((norms**2).sum())"), right="column, axis",
          helpful="variance")

# -- soft max-norm: rows of w (7, 5) longer than LIMIT are penalised; recomputes -------------------------------------


def max_norm(w):
    norm = np.sqrt((w * w).sum(axis=1, keepdims=True))
    return np.asarray(0.5 * (np.maximum(norm - LIMIT, 0)**2).sum())


def max_norm_backward(g, w):
    norm = np.sqrt((w * w).sum(axis=1, keepdims=True))
    excess = norm - LIMIT
    excess[excess < 0] = 0
    return g * excess * w / norm


pair = Pair("max-norm penalty", "penalties", max_norm, max_norm_backward, lambda draw: (draw(7, 5),), ("w",))
pair.slip("short rows not masked", ("    excess[excess < 0] = 0\n", ""), right="mask", helpful="lines, side, variance")
pair.slip("1 for the excess", ("excess[excess < 0] = 0", "excess = 1.0 * (excess > 0)"), right="column",
          helpful="lines, side, variance")
pair.slip("mask of the wrong side", ("excess < 0", "excess > 0"), right="mask", helpful="variance")
pair.slip("direction forgotten", ("g * excess * w / norm", "g * excess"), right="unexpanded", helpful="shape")
pair.slip("half again", ("g * excess", "0.5 * g * excess"), right="two", helpful="factor, scale")
pair.slip("the row clipped to LIMIT", ("g * excess * w / norm", "g * excess * w * np.minimum(1, LIMIT / norm)"),
          right="factor", helpful="constant")

# -- cross entropy less a share of the entropy: z (5, 7), labels (5,) ------------------------------------------------


def entropy_bonus(z, labels):
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    entropy = -(p * np.log(p)).sum(1)
    loss = -np.log(p[np.arange(len(p)), labels])
    return np.asarray((loss - BETA * entropy).mean()), (p, labels)


def entropy_bonus_backward(g, saved):
    p, labels = saved
    n = len(p)
    d = p.copy()
    d[np.arange(n), labels] -= 1
    entropy = -(p * np.log(p)).sum(1, keepdims=True)
    d += BETA * p * (np.log(p) + entropy)
    return g * d / n


pair = Pair("entropy bonus", "penalties", entropy_bonus, entropy_bonus_backward,
            lambda draw: (draw(5, 7), draw.integers(7, 5)), ("z", "labels"))
pair.slip("sign of the bonus", ("d += BETA", "d -= BETA"), right="path")
pair.slip("1 for the entropy", ("np.log(p) + entropy", "np.log(p) + 1"), right="projection", helpful="path")
pair.slip("1 not taken off at the labels", ("    d[np.arange(n), labels] -= 1\n", ""), right="label",
          helpful="offset, path")
pair.slip("entropy of all rows", ("np.log(p)).sum(1, keepdims=True)", "np.log(p)).sum()"), right="axis",
          helpful="projection")
pair.slip("averaged over the classes too", ("g * d / n", "g * d / d.size"), right="size", helpful="factor")
pair.slip("bonus forgotten", ("    d += BETA * p * (np.log(p) + entropy)\n", ""), right="path", helpful="overwritten")

# -- orthogonality of the columns of w (5, 3): |w'w - 1|^2 -----------------------------------------------------------


def orthogonality(w):
    gap = w.T @ w - np.eye(w.shape[1])
    return np.asarray((gap**2).sum()), (w, gap)


def orthogonality_backward(g, saved):
    w, gap = saved
    d_gap = 2 * g * gap
    return w @ (d_gap + d_gap.T)


pair = Pair("orthogonality", "penalties", orthogonality, orthogonality_backward, lambda draw: (draw(5, 3),), ("w",))
pair.slip("one of the two factors", ("w @ (d_gap + d_gap.T)", "w @ d_gap"), right="two",
          helpful="path, overwritten, factor")
pair.slip("the unit matrix forgotten", ("(w, gap)", "(w, w.T @ w)"), right="decay", helpful="path, variance")
pair.slip("derivative of the absolute value", ("2 * g * gap", "g * np.sign(gap)"), right="derivative")
pair.slip("product transposed", ("w @ (d_gap + d_gap.T)", "(d_gap + d_gap.T) @ w.T"), right="transposed",
          helpful="shape, product, permuted")
pair.slip("lengths of the columns left out", ("2 * g * gap", "2 * g * gap * (1 - np.eye(len(gap)))"), right="path",
          helpful="variance")
pair.slip("of the norm, not of its square", ("2 * g * gap", "g * gap / np.sqrt((gap**2).sum())"), right="factor",
          helpful="power")

# -- smoothness: squared differences of neighbours in x (5, 7); recomputes -------------------------------------------


def smoothness(x):
    return np.asarray(0.5 * (MU * (np.diff(x, axis=0)**2).sum() + (np.diff(x, axis=1)**2).sum()))


def smoothness_backward(g, x):
    dx = np.zeros_like(x)
    down = MU * (x[1:] - x[:-1])
    across = x[:, 1:] - x[:, :-1]
    dx[1:] += down
    dx[:-1] -= down
    dx[:, 1:] += across
    dx[:, :-1] -= across
    return g * dx


pair = Pair("smoothness", "penalties", smoothness, smoothness_backward, lambda draw: (draw(5, 7),), ("x",))
pair.slip("the left neighbour's part lost", ("    dx[:, :-1] -= across\n", ""), right="path", helpful="lines")
pair.slip("= for +=", ("dx[:, 1:] += across", "dx[:, 1:] = across"), right="overwritten", helpful="path, lines")
pair.slip("neighbours around the edge", ("dx[:, 1:] += across", "dx += 2 * x - np.roll(x, 1, 1) - np.roll(x, -1, 1)"),
          ("    dx[:, :-1] -= across\n", ""), right="lines", helpful="path")
pair.slip("weight of the rows forgotten", ("MU * (x[1:] - x[:-1])", "x[1:] - x[:-1]"), right="scale")
pair.slip("sign of the Laplacian", ("g * dx", "-g * dx"), right="sign", helpful="factor")
pair.slip("summed in float32", ("np.zeros_like(x)", "np.zeros(x.shape, np.float32)"), right="precision")

# -- spectral normalisation: w (5, 3) over its largest singular value ------------------------------------------------


def spectral_normalise(w):
    u, s, vt = np.linalg.svd(w, full_matrices=False)
    return w / s[0], (w, u[:, 0], s[0], vt[0])


def spectral_normalise_backward(g, saved):
    w, u, sigma, v = saved
    d_sigma = -(g * w).sum() / sigma**2
    return g / sigma + d_sigma * np.outer(u, v)


pair = Pair("spectral normalisation", "penalties", spectral_normalise, spectral_normalise_backward,
            lambda draw: (draw(5, 3),), ("w",))
pair.slip("sigma as a constant", (" + d_sigma * np.outer(u, v)", ""), right="path",
          helpful="statistics, diagonal, overwritten, mask")
pair.slip("v a column of V'", ("s[0], vt[0])", "s[0], vt[:, 0])"), right="product", helpful="path, lines")
pair.slip("derivative of the Frobenius norm", ("np.outer(u, v)", "w / np.sqrt((w**2).sum())"), right="derivative",
          helpful="path")
pair.slip("sum along the rows only", ("(g * w).sum()", "(g * w).sum(1, keepdims=True)"), right="axis",
          helpful="path, mask")
pair.slip("upstream lost in the sum", ("(g * w).sum()", "w.sum()"), right="upstream", helpful="path")
pair.slip("not divided by sigma", ("g / sigma", "g"), right="scale")
