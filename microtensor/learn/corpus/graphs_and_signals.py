"""Graphs and signals: convolution, maximum and attention over neighbours; filters, spectra, lags, resampling."""

import numpy as np

from microtensor.learn.corpus.pair import Pair

# -- graph convolution: x (7, 5), seven nodes of a directed graph, rows of its adjacency divided by the degree --------


def graph_convolution(adjacency, x, w):
    a = adjacency + np.eye(len(x))
    degree = a.sum(axis=1, keepdims=True)
    a_hat = a / degree
    z = a_hat @ x @ w
    return np.maximum(z, 0), (a_hat, x, w, z)


def graph_convolution_backward(g, saved):
    a_hat, x, w, z = saved
    dz = g * (z > 0)
    dx = a_hat.T @ dz @ w.T
    dw = (a_hat @ x).T @ dz
    return None, dx, dw


pair = Pair("graph convolution", "graphs_and_signals", graph_convolution, graph_convolution_backward,
            lambda draw: (draw.integers(4, 7, 7) // 3, draw(7, 5), draw(5, 3)), ("adjacency", "x", "w"))
pair.slip("adjacency not transposed", ("a_hat.T @ dz", "a_hat @ dz"), right="product")
pair.slip("activation's derivative lost", ("g * (z > 0)", "g"), right="derivative, mask", helpful="other upstream")
pair.slip("dw without the adjacency", ("(a_hat @ x).T @ dz", "x.T @ dz"), right="scale, product", helpful="sum")
pair.slip("adjacency saved before the division", ("(a_hat, x, w, z)", "(a, x, w, z)"), right="scale",
          helpful="other upstream")
pair.slip("a node's own edge lost", ("dx = a_hat.T @ dz", "dx = (a_hat - np.diag(a_hat.diagonal())).T @ dz"),
          right="path", helpful="overwritten")

# -- the largest neighbour, by feature: x (7, 3), 17 edges; no edge leads to the last node ----------------------------

SHARE = 0.3


def neighbour_maximum(x, source, target):
    best = np.full(x.shape, -np.inf)
    winner = np.full(x.shape, -1)
    for s, t in zip(source, target, strict=True):
        better = x[s] > best[t]
        best[t] = np.where(better, x[s], best[t])
        winner[t] = np.where(better, s, winner[t])
    return x + SHARE * np.where(winner >= 0, best, 0), winner


def neighbour_maximum_backward(g, winner):
    dx = np.zeros(g.shape)
    node, feature = np.nonzero(winner >= 0)
    np.add.at(dx, (winner[node, feature], feature), SHARE * g[node, feature])
    return dx + g, None, None


pair = Pair("maximum over neighbours", "graphs_and_signals", neighbour_maximum, neighbour_maximum_backward,
            lambda draw: (draw.distinct(7, 3), draw.integers(7, 17), draw.integers(6, 17)), ("x", "source", "target"))
pair.slip("= for +=",
          ("np.add.at(dx, (winner[node, feature], feature), SHARE * g[node, feature])",
           "dx[winner[node, feature], feature] = SHARE * g[node, feature]"), right="overwritten", helpful="path")
pair.slip("to the node, not to its neighbour", ("(winner[node, feature], feature)", "(node, feature)"),
          right="path", helpful="permuted")
pair.slip("share lost", ("SHARE * g", "g"), right="scale", helpful="path")
pair.slip("path from the node itself lost", ("dx + g", "dx"), right="path", helpful="overwritten")
pair.slip("first neighbour saved for the largest",
          ("np.where(better, s, winner[t])", "np.where(winner[t] < 0, s, winner[t])"), right="mask")
pair.slip("node without neighbours counts as the last's", ("winner >= 0", "winner >= -1"), right="lines",
          helpful="path")

# -- graph attention with one head: x (7, 5) -> h (7, 3) --------------------------------------------------------------

SLOPE = 0.2


def graph_attention(adjacency, x, w, a, b):
    h = x @ w
    e = (h @ a)[:, None] + (h @ b)[None, :]
    s = np.where(e > 0, e, SLOPE * e)
    s = np.where(adjacency + np.eye(len(x)) > 0, s, -np.inf)
    p = np.exp(s - s.max(axis=1, keepdims=True))
    p = p / p.sum(axis=1, keepdims=True)
    return p @ h, (x, w, a, b, h, e, p)


def graph_attention_backward(dout, cache):
    x, w, a, b, h, e, p = cache
    dp = dout @ h.T
    ds = p * (dp - (dp * p).sum(axis=1, keepdims=True))
    de = ds * np.where(e > 0, 1, SLOPE)
    to, of = de.sum(axis=1), de.sum(axis=0)
    dh = p.T @ dout
    dh += np.outer(to, a) + np.outer(of, b)
    return None, dh @ w.T, x.T @ dh, h.T @ to, h.T @ of


pair = Pair("graph attention", "graphs_and_signals", graph_attention, graph_attention_backward,
            lambda draw: (draw.integers(2, 7, 7), draw(7, 5), 0.5 * draw(5, 3), 0.3 * draw(3), draw(3)),
            ("adjacency", "x", "w", "a", "b"))
pair.slip("weights of attention as constants", ("    dh += np.outer(to, a) + np.outer(of, b)\n", ""), right="path",
          helpful="overwritten, statistics")
pair.slip("sums over rows and columns exchanged", ("to, of = ", "of, to = "), right="axis, exchanged", helpful="sum")
pair.slip("slope of the scores lost", ("ds * np.where(e > 0, 1, SLOPE)", "ds"), right="derivative",
          helpful="scale, zero")
pair.slip("p not transposed", ("p.T @ dout", "p @ dout"), right="product")
pair.slip("softmax by its diagonal alone", (" - (dp * p).sum(axis=1, keepdims=True)", " - dp * p"),
          right="diagonal, projection", helpful="path")
pair.slip("b's path to h lost", (" + np.outer(of, b)", ""), right="path", helpful="overwritten")

# -- FIR filter, causal: x (3, 11), five taps -------------------------------------------------------------------------


def fir(x, taps):
    n = x.shape[1]
    y = np.zeros_like(x)
    for k, tap in enumerate(taps):
        y[:, k:] += tap * x[:, :n - k]
    return y


def fir_backward(g, x, taps):
    n = x.shape[1]
    dx = np.zeros_like(x)
    dtaps = np.zeros_like(taps)
    for k in range(len(taps)):
        dx[:, :n - k] += taps[k] * g[:, k:]
        dtaps[k] = np.sum(g[:, k:] * x[:, :n - k])
    return dx, dtaps


pair = Pair("FIR filter", "graphs_and_signals", fir, fir_backward, lambda draw: (draw(3, 11), draw.nonzero(5)),
            ("x", "taps"))
pair.slip("filtered forwards in time", ("dx[:, :n - k] += taps[k] * g[:, k:]", "dx[:, k:] += taps[k] * g[:, :n - k]"),
          right="jvp", helpful="product")
pair.slip("taps in reversed order", ("dtaps[k] =", "dtaps[-1 - k] ="), right="flipped", helpful="permuted, lines")
pair.slip("= for +=", ("dx[:, :n - k] +=", "dx[:, :n - k] ="), right="overwritten", helpful="path, lines")
pair.slip("lag off by one", ("np.sum(g[:, k:] * x[:, :n - k])", "np.sum(g[:, k + 1:] * x[:, :n - k - 1])"),
          right="shifted", helpful="sum")
pair.slip("dtaps of the first signal alone", ("np.sum(g[:, k:] * x[:, :n - k])", "np.dot(g[0, k:], x[0, :n - k])"),
          right="sum", helpful="other upstream, overwritten, path, unreduced")
pair.slip("last tap forgotten", ("range(len(taps))", "range(len(taps) - 1)"), right="lines, path",
          helpful="overwritten, mask")

# -- power spectrum of windowed signals: x (7, 5), three frequencies; recomputes --------------------------------------


def power_spectrum(x, window):
    n = x.shape[1]
    angle = 2 * np.pi * np.outer(np.arange(n), np.arange(n // 2 + 1)) / n
    real = (x * window) @ np.cos(angle)
    imag = -(x * window) @ np.sin(angle)
    return (real**2 + imag**2) / n


def power_spectrum_backward(g, x, window):
    n = x.shape[1]
    angle = 2 * np.pi * np.outer(np.arange(n), np.arange(n // 2 + 1)) / n
    cos, sin = np.cos(angle), np.sin(angle)
    xw = x * window
    d_power = g / n
    d_real = 2 * d_power * (xw @ cos)
    d_imag = 2 * d_power * (-xw @ sin)
    dxw = d_real @ cos.T - d_imag @ sin.T
    return dxw * window, np.sum(dxw * x, axis=0)


pair = Pair("power spectrum", "graphs_and_signals", power_spectrum, power_spectrum_backward,
            lambda draw: (draw(7, 5), draw.positive(5)), ("x", "window"))
pair.slip("2 of the squares lost", ("2 * d_power * (xw @ cos)", "d_power * (xw @ cos)"),
          ("2 * d_power * (-xw @ sin)", "d_power * (-xw @ sin)"), right="two", helpful="factor")
pair.slip("sign of the imaginary part", ("- d_imag @ sin.T", "+ d_imag @ sin.T"), right="path", helpful="lines")
pair.slip("imaginary part lost", (" - d_imag @ sin.T", ""), right="path", helpful="overwritten, lines")
pair.slip("dx without the window", ("return dxw * window", "return dxw"), right="scale, power", helpful="column")
pair.slip("not divided by n", ("d_power = g / n", "d_power = g"), right="size", helpful="factor, scale")
pair.slip("cosines in float32", ("np.cos(angle), np.sin(angle)", "np.cos(angle).astype(np.float32), np.sin(angle)"),
          right="precision")

# -- autocorrelation: x (3, 11), lags 0 to 4 --------------------------------------------------------------------------

LAGS = 5


def autocorrelation(x):
    n = x.shape[1]
    return np.stack([(x[:, :n - k] * x[:, k:]).sum(axis=1) / n for k in range(LAGS)], axis=1)


def autocorrelation_backward(g, x):
    n = x.shape[1]
    dx = np.zeros_like(x)
    for k in range(LAGS):
        share = g[:, k:k + 1] / n
        dx[:, :n - k] += share * x[:, k:]
        dx[:, k:] += share * x[:, :n - k]
    return dx


pair = Pair("autocorrelation", "graphs_and_signals", autocorrelation, autocorrelation_backward,
            lambda draw: (draw(3, 11),), ("x",))
pair.slip("the later factor as a constant", ("        dx[:, k:] += share * x[:, :n - k]\n", ""), right="path",
          helpful="overwritten")
pair.slip("lag 0 counted once", ("dx[:, k:] += share", "dx[:, k:] += (k > 0) * share"), right="path",
          helpful="variance, overwritten, decay, other upstream")
pair.slip("divided by what overlaps", ("g[:, k:k + 1] / n", "g[:, k:k + 1] / (n - k)"), right="size",
          helpful="other upstream")
pair.slip("upstream of another lag", ("g[:, k:k + 1] / n", "g[:, [k - 1]] / n"), right="other upstream")
pair.slip("second term without upstream", ("dx[:, k:] += share * x", "dx[:, k:] += x"), right="upstream",
          helpful="path, nonlinear")
pair.slip("upstream summed over the lags", ("share = g[:, k:k + 1] / n", "share = g.sum(axis=1, keepdims=True) / n"),
          right="other upstream", helpful="axis")

# -- resampling with learnt positions, linear: x (5, 7), 11 positions -------------------------------------------------


def resample(x, position):
    left = np.floor(position).astype(int)
    t = position - left
    return (1 - t) * x[:, left] + t * x[:, left + 1], (x, left, t)


def resample_backward(g, saved):
    x, left, t = saved
    dx = np.zeros_like(x)
    np.add.at(dx.T, left, ((1 - t) * g).T)
    np.add.at(dx.T, left + 1, (t * g).T)
    dposition = np.sum(g * (x[:, left + 1] - x[:, left]), axis=0)
    return dx, dposition


pair = Pair("resampling", "graphs_and_signals", resample, resample_backward,
            lambda draw: (draw(5, 7), draw.integers(6, 11) + draw.probability(11)), ("x", "position"))
pair.slip("right neighbour lost", ("    np.add.at(dx.T, left + 1, (t * g).T)\n", ""), right="path",
          helpful="overwritten")
pair.slip("= for += at the left neighbour", ("np.add.at(dx.T, left, ((1 - t) * g).T)", "dx[:, left] = (1 - t) * g"),
          right="overwritten", helpful="path, lines")
pair.slip("left minus right", ("(x[:, left + 1] - x[:, left])", "(x[:, left] - x[:, left + 1])"), right="sign",
          helpful="factor")
pair.slip("both shares to the left", ("left + 1, (t * g)", "left, (t * g)"), right="shifted",
          helpful="path")
pair.slip("averaged over the signals", ("np.sum(g * (x", "np.mean(g * (x"), right="size", helpful="factor, sum")
pair.slip("weight of the left neighbour lost", ("((1 - t) * g).T", "g.T"), right="scale")
