"""Embeddings: lookups with repeats, bags, positions, one table used twice, features of categories, hashing."""

# ruff: noqa: N803, N806 -- weights are named as in papers

import numpy as np

from microtensor.learn.corpus.pair import Pair

# -- a lookup: a table (7, 3), 11 indices below 6, so that some repeat -----------------------------------------------


def lookup(table, ids):
    return table[ids], (table.shape, ids)


def lookup_backward(g, saved):
    shape, ids = saved
    d = np.zeros(shape)
    np.add.at(d, ids, g)
    return d


def lookup_inputs(draw):
    return draw(7, 3), draw.stream.permutation([0, 0, 0, 1, 2, 2, 3, 4, 4, 4, 4])


pair = Pair("embedding lookup", "embedding", lookup, lookup_backward, lookup_inputs, ("table", "ids"))
pair.slip("+= with repeated indices", ("np.add.at(d, ids, g)", "d[ids] += g"),
          right="overwritten", helpful="lines, path, mask, other upstream")
pair.slip("averaged over the repeats",
          ("return d", "return d / np.maximum(np.bincount(ids, minlength=len(d)), 1)[:, None]"),
          right="column, size", helpful="lines")
pair.slip("ids start at 1", ("ids, g)", "ids - 1, g)"), right="shifted", helpful="permuted, mask")
pair.slip("row 0 treated as padding", ("return d", "d[0] = 0\n    return d"), right="lines, mask", helpful="path")
pair.slip("ids sorted, the gradients not", ("ids, g)", "np.sort(ids), g)"),
          right="other upstream", helpful="lines, mask")
pair.slip("rows only up to the largest id", ("np.zeros(shape)", "np.zeros((ids.max() + 1, shape[1]))"), right="shape")

# -- bags: a table (11, 3), 7 weighted indices in 5 bags, averaged over the bag --------------------------------------


def bag(table, weights, ids, bags):
    y, counts = np.zeros((5, table.shape[1])), np.zeros((5, 1))
    np.add.at(y, bags, weights[:, None] * table[ids])
    np.add.at(counts, bags, 1)
    return y / np.maximum(counts, 1)


def bag_backward(g, table, weights, ids, bags):
    counts = np.maximum(np.bincount(bags, minlength=5), 1)
    rows = (g / counts[:, None])[bags]
    d_table = np.zeros_like(table)
    for k, i in enumerate(ids):
        d_table[i] += weights[k] * rows[k]
    d_weights = (rows * table[ids]).sum(1)
    return d_table, d_weights


def bag_inputs(draw):
    ids = draw.stream.permutation([0, 2, 2, 5, 8, 8, 8])
    return draw(11, 3), draw.positive(7), ids, np.array([0, 0, 1, 2, 2, 2, 4])


pair = Pair("embedding bag", "embedding", bag, bag_backward, bag_inputs, ("table", "weights", "ids", "bags"))
pair.slip("not divided by the size of the bag", ("(g / counts[:, None])[bags]", "g[bags]"),
          right="size", helpful="other upstream, lines, scale")
pair.slip("divided by the number of bags", ("(g / counts[:, None])", "(g / len(counts))"),
          right="size", helpful="other upstream")
pair.slip("weights left out for the table", ("+= weights[k] * rows[k]", "+= rows[k]"),
          right="scale", helpful="power")
pair.slip("the last use of a row alone", ("d_table[i] +=", "d_table[i] ="),
          right="overwritten", helpful="lines, path, mask")
pair.slip("the weights' gradient averaged over the features", (".sum(1)", ".mean(1)"),
          right="size", helpful="factor")
pair.slip("rows of the table by bag", ("(rows * table[ids])", "(rows * table[bags])"), right="sum")

# -- tokens and learned positions: tokens (2, 5), a table (11, 3) with padding in row 0, positions (7, 3) ------------


def with_positions(tokens, table, positions):
    real = (tokens != 0)[:, :, None]
    return real * table[tokens] * np.sqrt(table.shape[1]) + positions[: tokens.shape[1]]


def with_positions_backward(g, tokens, table, positions):
    d_table, d_positions = np.zeros_like(table), np.zeros_like(positions)
    real = (tokens != 0)[:, :, None]
    np.add.at(d_table, tokens, g * real * np.sqrt(table.shape[1]))
    steps = tokens.shape[1]
    d_positions[:steps] = g.sum(axis=0)
    return None, d_table, d_positions


def positions_inputs(draw):
    return draw.stream.permutation([0, 0, 3, 3, 3, 5, 7, 7, 9, 10]).reshape(2, 5), draw(11, 3), draw(7, 3)


pair = Pair("tokens and positions", "embedding", with_positions, with_positions_backward, positions_inputs,
            ("tokens", "table", "positions"))
pair.slip("no sqrt(d)", ("g * real * np.sqrt(table.shape[1])", "g * real"),
          right="constant", helpful="scale, factor")
pair.slip("padding has a gradient", ("g * real * np", "g * np"), right="mask, lines", helpful="scale")
pair.slip("only padding has a gradient", ("(tokens != 0)", "(tokens == 0)"), right="mask", helpful="lines")
pair.slip("positions of the first sample alone", ("g.sum(axis=0)", "g[0]"),
          right="unreduced", helpful="overwritten, other upstream, path, mask")
pair.slip("a mean over the samples", ("g.sum(axis=0)", "g.mean(axis=0)"), right="size, two", helpful="factor")
pair.slip("positions from the end of the table", ("d_positions[:steps]", "d_positions[-steps:]"),
          right="shifted", helpful="lines, permuted, mask")

# -- sinusoidal features: times (5,), frequencies (3,), sines and then cosines ---------------------------------------


def sinusoidal(times, frequencies):
    angles = np.outer(times, frequencies)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)


def sinusoidal_backward(g, times, frequencies):
    angles = np.outer(times, frequencies)
    n = len(frequencies)
    da = g[:, :n] * np.cos(angles) - g[:, n:] * np.sin(angles)
    return (da * frequencies).sum(1), da.T @ times


pair = Pair("sinusoidal features", "embedding", sinusoidal, sinusoidal_backward,
            lambda draw: (draw(5), draw.positive(3)), ("times", "frequencies"))
pair.slip("the cosine's minus forgotten", ("- g[:, n:]", "+ g[:, n:]"), right="derivative, path",
          helpful="other upstream")
pair.slip("the cosines forgotten", (" - g[:, n:] * np.sin(angles)", ""), right="path",
          helpful="mask, other upstream, sum")
pair.slip("halves exchanged", ("g[:, :n] * np.cos(angles) - g[:, n:]", "g[:, n:] * np.cos(angles) - g[:, :n]"),
          right="other upstream")
pair.slip("times without their frequencies", ("(da * frequencies).sum(1)", "da.sum(1)"),
          right="sum, scale")
pair.slip("frequencies not summed over the times", ("da.T @ times", "da * times[:, None]"),
          right="unreduced, shape")
pair.slip("the sine of the upstream", ("g[:, :n] * np.cos(angles)", "np.sin(g[:, :n]) * np.cos(angles)"),
          right="nonlinear", helpful="other upstream")

# -- one table for input and output: tokens and targets (5,), a table E (7, 3), a layer W between --------------------


def tied_model(tokens, targets, E, W):
    h = np.tanh(E[tokens] @ W)
    logits = h @ E.T
    logits = logits - logits.max(axis=1, keepdims=True)
    logp = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    loss = -logp[np.arange(len(targets)), targets].mean()
    return np.asarray(loss), (tokens, targets, E, W, h, np.exp(logp))


def tied_model_backward(g, saved):
    tokens, targets, E, W, h, p = saved
    n = len(targets)
    d = p.copy()
    d[np.arange(n), targets] -= 1
    d *= g / n
    dE = d.T @ h
    dz = (d @ E) * (1 - h**2)
    dW = E[tokens].T @ dz
    np.add.at(dE, tokens, dz @ W.T)
    return None, None, dE, dW


def tied_inputs(draw):
    return draw.stream.permutation([0, 1, 1, 1, 4]), draw.stream.permutation([1, 2, 2, 5, 6]), draw(7, 3), draw(3, 3)


pair = Pair("tied embeddings", "embedding", tied_model, tied_model_backward, tied_inputs,
            ("tokens", "targets", "E", "W"))
pair.slip("the table as the input alone", ("dE = d.T @ h", "dE = np.zeros_like(E)"),
          right="path", helpful="overwritten, mask")
pair.slip("the table as the output alone", ("    np.add.at(dE, tokens, dz @ W.T)\n", ""),
          right="path", helpful="overwritten, lines")
pair.slip("a token's last use alone", ("np.add.at(dE, tokens, dz @ W.T)", "dE[tokens] += dz @ W.T"),
          right="overwritten", helpful="lines, path")
pair.slip("1 not subtracted at the targets", ("    d[np.arange(n), targets] -= 1\n", ""),
          right="label", helpful="lines, path")
pair.slip("no mean over the tokens", ("d *= g / n", "d *= g"), right="size", helpful="factor")
pair.slip("1 subtracted at the tokens", ("targets] -= 1", "tokens] -= 1"), right="label", helpful="lines")
pair.slip("W not transposed", ("dz @ W.T", "dz @ W"), right="product", helpful="lines")

# -- a factorization machine: 3 categories out of 11 in each of 5 samples --------------------------------------------


def factorization_machine(ids, b, w, V):
    v = V[ids]
    total = v.sum(axis=1)
    return b + w[ids].sum(axis=1) + 0.5 * (total**2 - (v**2).sum(axis=1)).sum(axis=1)


def factorization_machine_backward(g, ids, b, w, V):
    v = V[ids]
    total = v.sum(axis=1, keepdims=True)
    db = g.sum()
    dw = np.zeros_like(w)
    np.add.at(dw, ids, g[:, None])
    dV = np.zeros_like(V)
    np.add.at(dV, ids, g[:, None, None] * (total - v))
    return db, dw, dV


def factorization_inputs(draw):
    ids = draw.stream.permutation([0, 1, 1, 1, 2, 2, 3, 4, 5, 6, 7, 7, 8, 9, 10]).reshape(3, 5).T
    return ids, draw(), draw(11), draw(11, 2)


pair = Pair("factorization machine", "embedding", factorization_machine, factorization_machine_backward,
            factorization_inputs, ("ids", "b", "w", "V"))
pair.slip("a category's product with itself is not taken away", ("(total - v)", "total"),
          right="path", helpful="decay, variance, overwritten")
pair.slip("twice the factors' gradient", ("g[:, None, None] * (total", "2 * g[:, None, None] * (total"),
          right="two", helpful="factor, scale")
pair.slip("repeats count once in w", ("np.add.at(dw, ids, g[:, None])", "dw[ids] += g[:, None]"),
          right="overwritten", helpful="lines, path, mask")
pair.slip("w counts without the upstream gradient", ("np.add.at(dw, ids, g[:, None])", "np.add.at(dw, ids, 1)"),
          right="upstream", helpful="nonlinear, other upstream")
pair.slip("the sum over the samples in V", ("v.sum(axis=1, keepdims=True)", "v.sum(axis=0, keepdims=True)"),
          right="axis")
pair.slip("b averaged", ("g.sum()", "g.mean()"), right="size", helpful="factor")

# -- hashed embeddings: 5 ids below 13, each the mean of two signed rows of a table (7, 3) ---------------------------


def hashed(ids, table):
    first, second = (5 * ids + 3) % 7, (3 * ids + 1) % 7
    sign = np.where(ids % 3 == 0, -1.0, 1.0)[:, None]
    return (sign * table[first] + table[second]) / 2, (first, second, sign, table.shape)


def hashed_backward(g, saved):
    first, second, sign, shape = saved
    d = np.zeros(shape)
    half = g / 2
    np.add.at(d, first, sign * half)
    np.add.at(d, second, half)
    return None, d


def hashed_inputs(draw):
    return draw.stream.permutation([3, 10, 10, 4, 12]), draw(7, 3)


pair = Pair("hashed embedding", "embedding", hashed, hashed_backward, hashed_inputs, ("ids", "table"))
pair.slip("the sign is forgotten", ("sign * half)", "half)"), right="scale", helpful="lines")
pair.slip("the second hash is forgotten", ("    np.add.at(d, second, half)\n", ""),
          right="path", helpful="lines, overwritten, mask")
pair.slip("no mean of the two", ("half = g / 2", "half = g"), right="two", helpful="factor, size, scale")
pair.slip("the second hash in both places", ("first, sign * half", "second, sign * half"),
          right="path, lines", helpful="mask")
pair.slip("repeats count once for the first hash", ("np.add.at(d, first, sign * half)", "d[first] += sign * half"),
          right="overwritten", helpful="lines, path, mask")
pair.slip("the row after", ("d, second, half", "d, (second + 1) % shape[0], half"),
          right="shifted", helpful="lines, mask")
