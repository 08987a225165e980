"""Weights that are used more than once, and small nets of several layers."""

# ruff: noqa: N803, N806 -- weights are named as in papers

import numpy as np

from microtensor.learn.corpus.pair import Pair


def squash(x):
    return 1 / (1 + np.exp(-x))


# -- a siamese net: two inputs (5, 3), one layer of 2, the squared distance of each pair -----------------------------


def siamese(x1, x2, W, b):
    h1, h2 = np.tanh(x1 @ W + b), np.tanh(x2 @ W + b)
    return ((h1 - h2) ** 2).sum(axis=1)


def siamese_backward(g, x1, x2, W, b):
    h1, h2 = np.tanh(x1 @ W + b), np.tanh(x2 @ W + b)
    dh1 = 2 * g[:, None] * (h1 - h2)
    dh2 = -dh1
    dz1 = dh1 * (1 - h1**2)
    dz2 = dh2 * (1 - h2**2)
    dW = x1.T @ dz1 + x2.T @ dz2
    db = (dz1 + dz2).sum(axis=0)
    return dz1 @ W.T, dz2 @ W.T, dW, db


pair = Pair("siamese net", "shared_weights", siamese, siamese_backward,
            lambda draw: (draw(5, 3), draw(5, 3), draw(3, 2), draw(2)), ("x1", "x2", "W", "b"))
pair.slip("W of the first branch alone", ("x1.T @ dz1 + x2.T @ dz2", "x1.T @ dz1"),
          right="path", helpful="overwritten")
pair.slip("the second branch without its minus", ("dh2 = -dh1", "dh2 = dh1"), right="sign", helpful="path, factor")
pair.slip("2 forgotten", ("2 * g[:, None]", "g[:, None]"), right="two", helpful="factor")
pair.slip("tanh's derivative of the other branch", ("dh2 * (1 - h2**2)", "dh2 * (1 - h1**2)"),
          right="derivative", helpful="zero, mask")
pair.slip("the sum of the upstream gradients", ("2 * g[:, None] *", "2 * g.sum() *"),
          right="other upstream", helpful="column, mask, sum")
pair.slip("the bias as if the branches were one", ("(dz1 + dz2).sum(axis=0)", "(dz1 - dz2).sum(axis=0)"),
          right="sum", helpful="path")

# -- a tied autoencoder: x (5, 7), 3 hidden units --------------------------------------------------------------------


def tied_autoencoder(x, W, b, c):
    z = x @ W + b
    h = squash(z)
    return h @ W.T + c, (x, W, h)


def tied_autoencoder_backward(g, saved):
    x, W, h = saved
    dc = np.sum(g, axis=0)
    dh = g @ W
    dz = dh * h * (1 - h)
    db = np.sum(dz, axis=0)
    dW = np.dot(x.T, dz) + np.dot(g.T, h)
    return np.dot(dz, W.T), dW, db, dc


pair = Pair("tied autoencoder", "shared_weights", tied_autoencoder, tied_autoencoder_backward,
            lambda draw: (draw(5, 7), draw(7, 3), draw(3), draw(7)), ("x", "W", "b", "c"))
pair.slip("W of the encoder alone", ("np.dot(x.T, dz) + np.dot(g.T, h)", "np.dot(x.T, dz)"),
          right="path", helpful="overwritten")
pair.slip("W of the decoder alone", ("np.dot(x.T, dz) + np.dot(g.T, h)", "np.dot(g.T, h)"),
          right="path", helpful="overwritten, mask")
pair.slip("the mean of both uses", ("np.dot(x.T, dz) + np.dot(g.T, h)", "(np.dot(x.T, dz) + np.dot(g.T, h)) / 2"),
          right="two", helpful="factor")
pair.slip("no derivative of the sigmoid", ("dz = dh * h * (1 - h)", "dz = dh"), right="derivative")
pair.slip("the input of the sigmoid is saved for its output", ("(x, W, h)", "(x, W, z)"), right="derivative")
pair.slip("the bias averaged over the samples", ("db = np.sum(dz", "db = np.mean(dz"), right="size",
          helpful="factor, sum")

# -- a residual block used twice: x (5, 3), W (3, 2), V (2, 3) -------------------------------------------------------

SHARE = 0.3


def residual_twice(x, W, V):
    h1 = np.tanh(x @ W)
    x1 = x + SHARE * h1 @ V
    h2 = np.tanh(x1 @ W)
    return x1 + SHARE * h2 @ V, (x, x1, h1, h2, W, V)


def residual_twice_backward(g, saved):
    x, x1, h1, h2, W, V = saved
    dW, dV, d = np.zeros_like(W), np.zeros_like(V), g
    for inp, h in [(x1, h2), (x, h1)]:
        branch = SHARE * d
        dV += h.T @ branch
        dz = (branch @ V.T) * (1 - h**2)
        dW += inp.T @ dz
        d = d + dz @ W.T
    return d, dW, dV


pair = Pair("residual block used twice", "shared_weights", residual_twice, residual_twice_backward,
            lambda draw: (draw(5, 3), draw(3, 2), draw(2, 3)), ("x", "W", "V"))
pair.slip("W of one use alone", ("dW += inp", "dW = inp"), right="overwritten", helpful="path")
pair.slip("the skip is forgotten", ("d = d + dz @ W.T", "d = dz @ W.T"), right="path", helpful="overwritten")
pair.slip("the residual's share is forgotten", ("branch = SHARE * d", "branch = d"),
          right="scale")
pair.slip("the first block's activations in both", ("(x1, h2), (x, h1)", "(x, h1), (x, h1)"), right="derivative")
pair.slip("blocks in the order of forward", ("[(x1, h2), (x, h1)]", "[(x, h1), (x1, h2)]"),
          right="derivative")
pair.slip("d is added to g in place", ("d = d + dz @ W.T", "d += dz @ W.T"), right="unchanged", helpful="repeat")

# -- power iteration, unrolled 3 times: A (5, 5), v (5,) -------------------------------------------------------------


def power_iteration(A, v):
    steps = []
    for _ in range(3):
        u = A @ v
        norm = np.sqrt(np.sum(u * u))
        steps.append((v, u / norm, norm))
        v = u / norm
    return v, (A, steps)


def power_iteration_backward(g, saved):
    A, steps = saved
    dA = np.zeros_like(A)
    for before, after, norm in steps[::-1]:
        du = (g - after * np.dot(after, g)) / norm
        dA += np.outer(du, before)
        g = A.T @ du
    return dA, g


pair = Pair("power iteration", "shared_weights", power_iteration, power_iteration_backward,
            lambda draw: (draw(5, 5), draw(5)), ("A", "v"))
pair.slip("A of one step alone", ("dA += np", "dA = np"), right="overwritten", helpful="path")
pair.slip("norms as constants", ("(g - after * np.dot(after, g))", "g"), right="projection", helpful="path")
pair.slip("not divided by the norms", (" / norm\n", "\n"), right="factor", helpful="scale")
pair.slip("A itself on the way back", ("g = A.T @ du", "g = A @ du"), right="product")
pair.slip("the outer product exchanged", ("np.outer(du, before)", "np.outer(before, du)"),
          right="transposed", helpful="product, permuted")
pair.slip("the vector after the step in dA", ("np.outer(du, before)", "np.outer(du, after)"), right="derivative")

# -- a mixture of 2 experts: x (5, 3), a gate (3, 2), experts (2, 3, 7) ----------------------------------------------


def mixture(x, gate, experts):
    s = np.exp(x @ gate)
    p = s / s.sum(axis=1, keepdims=True)
    outs = [x @ W for W in experts]
    return sum(p[:, [k]] * outs[k] for k in range(2)), (x, gate, experts, p, outs)


def mixture_backward(g, saved):
    x, gate, experts, p, outs = saved
    dp = np.stack([np.sum(g * out, axis=1) for out in outs], axis=1)
    ds = p * (dp - np.sum(dp * p, axis=1, keepdims=True))
    dx = ds @ gate.T
    dexperts = np.zeros_like(experts)
    for k in range(len(experts)):
        dexperts[k] = x.T @ (p[:, [k]] * g)
        dx += p[:, [k]] * (g @ experts[k].T)
    return dx, x.T @ ds, dexperts


pair = Pair("mixture of experts", "shared_weights", mixture, mixture_backward,
            lambda draw: (draw(5, 3), draw(3, 2), draw(2, 3, 7)), ("x", "gate", "experts"))
pair.slip("x without the gate", ("dx = ds @ gate.T", "dx = np.zeros_like(x)"), right="path", helpful="overwritten")
pair.slip("x of the last expert alone", ("dx += p[:", "dx = p[:"), right="overwritten", helpful="path")
pair.slip("experts not weighted", ("x.T @ (p[:, [k]] * g)", "x.T @ g"), right="scale", helpful="other upstream")
pair.slip("the gate's softmax is skipped", ("ds = p * (dp - np.sum(dp * p, axis=1, keepdims=True))", "ds = dp"),
          right="derivative")
pair.slip("the other expert's share for x", ("dx += p[:, [k]]", "dx += p[:, [1 - k]]"),
          right="scale", helpful="exchanged")
pair.slip("softmax without its second term", ("(dp - np.sum(dp * p, axis=1, keepdims=True))", "dp"),
          right="projection", helpful="path, overwritten")

# -- a moving average, channel by channel: x (7, 3), the share kept a (3,) -------------------------------------------


def moving_average(x, a):
    y, state = np.empty_like(x), np.zeros_like(a)
    for t in range(len(x)):
        state = a * state + (1 - a) * x[t]
        y[t] = state
    return y, (x, a, y)


def moving_average_backward(g, saved):
    x, a, y = saved
    dx, da, d = np.zeros_like(x), np.zeros_like(a), np.zeros_like(a)
    for t in range(len(x) - 1, -1, -1):
        d = g[t] + a * d
        prev = y[t - 1] if t else np.zeros_like(a)
        dx[t] = (1 - a) * d
        da += d * (prev - x[t])
    return dx, da


pair = Pair("moving average", "shared_weights", moving_average, moving_average_backward,
            lambda draw: (draw(7, 3), draw.probability(3)), ("x", "a"))
pair.slip("time runs forwards", ("in range(len(x) - 1, -1, -1)", "in range(len(x))"), right="jvp", helpful="path, mask")
pair.slip("each step alone", ("g[t] + a * d", "g[t]"), right="diagonal", helpful="path, lines, mask, overwritten")
pair.slip("1 - a forgotten", ("dx[t] = (1 - a) * d", "dx[t] = d"), right="column, scale", helpful="power")
pair.slip("a only as the share of the state", ("(prev - x[t])", "prev"), right="path", helpful="sum, mask, overwritten")
pair.slip("the first step looks back at the last", ("y[t - 1] if t else np.zeros_like(a)", "y[t - 1]"),
          right="sum", helpful="path")
pair.slip("a summed over the channels too", ("return dx, da", "return dx, da.sum()"),
          right="axis", helpful="shape, sum")
pair.slip("the state's gradient carried without a", ("g[t] + a * d", "g[t] + d"),
          right="scale", helpful="lines")

# -- a net of two layers with its loss and penalty: x (5, 3), 7 hidden units, 2 classes ------------------------------

PENALTY = 0.1


def two_layers(x, labels, W1, b1, W2, b2):
    h = np.maximum(0, x @ W1 + b1)
    scores = h @ W2 + b2
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    loss = -np.log(p[range(len(x)), labels]).mean()
    loss += 0.5 * PENALTY * ((W1**2).sum() + (W2**2).sum())
    return np.asarray(loss), (x, labels, W1, W2, h, p)


def two_layers_backward(g, cache):
    x, labels, W1, W2, h, p = cache
    dscores = p.copy()
    dscores[range(len(x)), labels] -= 1
    dscores *= g / len(x)
    dW2 = h.T @ dscores + g * PENALTY * W2
    db2 = dscores.sum(axis=0)
    dh = dscores @ W2.T
    dh = dh * (h > 0)
    dW1 = x.T @ dh + g * PENALTY * W1
    db1 = dh.sum(axis=0)
    dx = dh @ W1.T
    return dx, None, dW1, db1, dW2, db2


pair = Pair("two layers with loss", "shared_weights", two_layers, two_layers_backward,
            lambda draw: (draw(5, 3), draw.integers(2, 5), draw(3, 7), draw(7), draw(7, 2), draw(2)),
            ("x", "labels", "W1", "b1", "W2", "b2"))
pair.slip("the penalty of W1 forgotten", ("x.T @ dh + g * PENALTY * W1", "x.T @ dh"), right="decay",
          helpful="path, overwritten, variance")
pair.slip("the penalty without its half", ("g * PENALTY * W2", "2 * g * PENALTY * W2"), right="decay",
          helpful="path, variance")
pair.slip("relu by the sign of the gradient", ("(h > 0)", "(dh > 0)"), right="nonlinear, mask")
pair.slip("relu forgotten", ("    dh = dh * (h > 0)\n", ""), right="mask, derivative", helpful="lines")
pair.slip("activations saved as float32", ("(x, labels, W1, W2, h, p)\n", "(x, labels, W1, W2, h, np.float32(p))\n"),
          right="precision")
pair.slip("averaged over the classes too", ("g / len(x)", "g / p.size"), right="size, two", helpful="factor")
pair.slip("the penalty without the upstream gradient", ("g * PENALTY * W1", "PENALTY * W1"),
          right="upstream", helpful="decay, variance")
