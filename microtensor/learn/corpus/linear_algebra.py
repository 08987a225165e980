"""Linear algebra: systems of equations, factorisations, series, iterations, least squares, Kronecker products."""

import numpy as np

from microtensor.learn.corpus.pair import Pair

STEPS = 3
TERMS = 8

# -- system of equations: a (5, 5), b (5, 3) --------------------------------------------------------------------------


def solve(a, b):
    x = np.linalg.solve(a, b)
    return x, (a, x)


def solve_backward(g, saved):
    a, x = saved
    db = np.linalg.solve(a.T, g)
    da = -db @ x.T
    return da, db


pair = Pair("system of equations", "linear algebra", solve, solve_backward,
            lambda draw: (draw(5, 5) + 4 * np.eye(5), draw(5, 3)), ("a", "b"))
pair.slip("solved with a itself", ("np.linalg.solve(a.T, g)", "np.linalg.solve(a, g)"), right="product, jvp")
pair.slip("sign of a's gradient", ("-db @ x.T", "db @ x.T"), right="sign", helpful="factor")
pair.slip("factors in the other order", ("-db @ x.T", "-x @ db.T"), right="transposed", helpful="product, permuted")
pair.slip("upstream gradient for the solution", ("-db @ x.T", "-g @ x.T"), right="product", helpful="other upstream")
pair.slip("saves b for x", ("return x, (a, x)", "return x, (a, b)"), right="product")
pair.slip("single precision", ("-db @ x.T", "-(db.astype(np.float32) @ x.astype(np.float32).T).astype(float)"),
          right="precision")

# -- likelihood of a normal distribution: x (7, 3), mu (3,), factor (3, 3) of the covariance ---------------------------


def gaussian_loss(x, mu, factor):
    low = np.tril(factor)
    z = np.linalg.solve(low, (x - mu).T)
    return np.asarray(0.5 * (z * z).sum() / len(x) + np.log(np.abs(np.diag(low))).sum()), (low, z)


def gaussian_loss_backward(g, saved):
    low, z = saved
    n = z.shape[1]
    w = np.linalg.solve(low.T, z)
    dx = g * w.T / n
    d_low = np.tril(-w @ z.T) / n + np.diag(1 / np.diag(low))
    return dx, -dx.sum(0), g * d_low


pair = Pair("likelihood of a normal distribution", "linear algebra", gaussian_loss, gaussian_loss_backward,
            lambda draw: (draw(7, 3), draw(3), 0.4 * draw(3, 3) * (1 - np.eye(3)) + np.diag(draw.positive(3))),
            ("x", "mu", "factor"))
pair.slip("gradient above the diagonal", ("np.tril(-w @ z.T)", "-w @ z.T"), right="mask")
pair.slip("determinant forgotten", (" + np.diag(1 / np.diag(low))", ""), right="path", helpful="overwritten")
pair.slip("mu averaged", ("-dx.sum(0)", "-dx.mean(0)"), right="size", helpful="factor, sum")
pair.slip("sign of mu's gradient", ("-dx.sum(0)", "dx.sum(0)"), right="sign", helpful="factor")
pair.slip("half forgotten", ("g * w.T / n", "2 * g * w.T / n"), right="two", helpful="factor")
pair.slip("factor not transposed", ("np.linalg.solve(low.T, z)", "np.linalg.solve(low, z)"), right="product")

# -- Cholesky factor of a a' + 1: a (3, 5) ----------------------------------------------------------------------------


def cholesky_of_gram(a):
    low = np.linalg.cholesky(a @ a.T + np.eye(len(a)))
    return low, (a, low)


def cholesky_of_gram_backward(g, saved):
    a, low = saved
    phi = np.tril(low.T @ g)
    phi -= np.diag(np.diag(phi)) / 2
    inverse = np.linalg.inv(low)
    ds = inverse.T @ phi @ inverse
    return (ds + ds.T) @ a


pair = Pair("Cholesky factor", "linear algebra", cholesky_of_gram, cholesky_of_gram_backward,
            lambda draw: (draw(3, 5),), ("a",))
pair.slip("diagonal not halved", ("    phi -= np.diag(np.diag(phi)) / 2\n", ""), right="path")
pair.slip("symmetric part, for one factor of a a'", ("(ds + ds.T) @ a", "(ds + ds.T) / 2 @ a"),
          right="two", helpful="factor, path")
pair.slip("one of the two factors of a a'", ("(ds + ds.T) @ a", "ds @ a"), right="path", helpful="product, overwritten")
pair.slip("taken for symmetric", ("(ds + ds.T) @ a", "2 * ds @ a"), right="product", helpful="path")
pair.slip("inverse transposed on the wrong side", ("inverse.T @ phi @ inverse", "inverse @ phi @ inverse.T"),
          right="product")

# -- power iteration: a (5, 5), start (5,) ----------------------------------------------------------------------------


def power_iteration(a, start):
    vectors, norms = [start], []
    for _ in range(STEPS):
        u = a @ vectors[-1]
        norms.append(np.sqrt(u @ u))
        vectors.append(u / norms[-1])
    return vectors[-1], (a, vectors, norms)


def power_iteration_backward(g, saved):
    a, vectors, norms = saved
    da, dv = np.zeros_like(a), g
    for k in reversed(range(STEPS)):
        v = vectors[k + 1]
        du = (dv - v * (v @ dv)) / norms[k]
        da += np.outer(du, vectors[k])
        dv = a.T @ du
    return da, dv


pair = Pair("power iteration", "linear algebra", power_iteration, power_iteration_backward,
            lambda draw: (draw(5, 5) + np.eye(5), draw(5)), ("a", "start"))
pair.slip("norm as a constant", ("(dv - v * (v @ dv)) / norms[k]", "dv / norms[k]"),
          right="projection", helpful="path, statistics")
pair.slip("= for +=", ("da += np", "da = np"), right="overwritten", helpful="path")
pair.slip("not divided by the norm", (" / norms[k]", ""), right="factor", helpful="scale")
pair.slip("vector after the step", ("np.outer(du, vectors[k])", "np.outer(du, v)"), right="product")
pair.slip("outer product turned round", ("np.outer(du, vectors[k])", "np.outer(vectors[k], du)"),
          right="transposed", helpful="product, permuted")
pair.slip("a not transposed", ("a.T @ du", "a @ du"), right="product")

# -- ridge regression: x (7, 3), y (7,), strength () ------------------------------------------------------------------


def ridge(x, y, strength):
    h = x.T @ x + strength * np.eye(x.shape[1])
    w = np.linalg.solve(h, x.T @ y)
    return w, (x, y, h, w)


def ridge_backward(g, saved):
    x, y, h, w = saved
    z = np.linalg.solve(h, g)
    residual = y - x @ w
    dx = np.outer(residual, z) - np.outer(x @ z, w)
    dy = x @ z
    return dx, dy, -(z @ w)


pair = Pair("ridge regression", "linear algebra", ridge, ridge_backward,
            lambda draw: (draw(7, 3), draw(7), draw.positive()), ("x", "y", "strength"))
pair.slip("x through the right side alone", ("np.outer(residual, z) - np.outer(x @ z, w)", "np.outer(y, z)"),
          right="path", helpful="overwritten")
pair.slip("x without the second half of x' x", (" - np.outer(x @ z, w)", ""), right="path", helpful="overwritten")
pair.slip("sign of the strength's gradient", ("-(z @ w)", "z @ w"), right="sign", helpful="factor")
pair.slip("strength cut off", ("-(z @ w)", "0.0"), right="zero", helpful="path, mask")
pair.slip("y without the inverse", ("dy = x @ z", "dy = x @ g"), right="product", helpful="other upstream")
pair.slip("outer products of the wrong vectors", ("np.outer(x @ z, w)", "np.outer(x @ w, z)"), right="product")

# -- series of the matrix exponential: a (3, 3) -----------------------------------------------------------------------


def exponential_series(a):
    term = total = np.eye(len(a))
    terms = [term]
    for k in range(1, TERMS):
        term = term @ a / k
        total = total + term
        terms.append(term)
    return total, (a, terms)


def exponential_series_backward(g, saved):
    a, terms = saved
    da, d_term = np.zeros_like(a), np.zeros_like(a)
    for k in range(TERMS - 1, 0, -1):
        d_term = d_term + g
        da += terms[k - 1].T @ d_term / k
        d_term = d_term @ a.T / k
    return da


pair = Pair("series of the matrix exponential", "linear algebra", exponential_series, exponential_series_backward,
            lambda draw: (0.6 * draw(3, 3),), ("a",))
pair.slip("term of the wrong index", ("terms[k - 1]", "terms[k]"), right="product")
pair.slip("index not divided by", ("d_term / k", "d_term"), right="path", helpful="scale")
pair.slip("= for +=", ("da += terms", "da = terms"), right="overwritten", helpful="path")
pair.slip("rule of numbers", ("return da", "return sum(terms).T @ g"), right="product", helpful="derivative")
pair.slip("term not transposed", ("terms[k - 1].T", "terms[k - 1]"), right="product")
pair.slip("factors in the wrong order", ("d_term @ a.T", "a.T @ d_term"), right="product")

# -- Kronecker product: a (2, 3), b (5, 7) ----------------------------------------------------------------------------


def kronecker(a, b):
    return np.kron(a, b)


def kronecker_backward(g, a, b):
    blocks = g.reshape(len(a), len(b), a.shape[1], b.shape[1]).transpose(0, 2, 1, 3)
    da, db = (blocks * b).sum((2, 3)), np.zeros_like(b)
    for i in range(len(a)):
        for j in range(a.shape[1]):
            db += a[i, j] * blocks[i, j]
    return da, db


pair = Pair("Kronecker product", "linear algebra", kronecker, kronecker_backward, lambda draw: (draw(2, 3), draw(5, 7)),
            ("a", "b"))
pair.slip("blocks cut from rows", ("g.reshape(len(a), len(b), a.shape[1], b.shape[1]).transpose(0, 2, 1, 3)",
                                   "g.reshape(*a.shape, *b.shape)"), right="other upstream", helpful="sum")
pair.slip("mean over the block", (".sum((2, 3))", ".mean((2, 3))"), right="size", helpful="factor")
pair.slip("= for +=", ("db += a", "db = a"), right="overwritten", helpful="path, sum, other upstream")
pair.slip("sum over the blocks", (".sum((2, 3))", ".sum((0, 1))"), right="axis, shape", helpful="sum")
pair.slip("blocks not weighted", ("a[i, j] * blocks", "blocks"), right="sum", helpful="path, scale")
