"""Convolutions by loops and by im2col, correlation, transposed and depthwise convolution, pooling and upsampling."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from microtensor.learn.corpus.pair import Pair

STRIDE = 2
PAD = 1

# -- 1-d convolution by a loop over time: x (2, 3, 11), w (5, 3, 7); recomputes --------------------------------------


def conv1d(x, w, b):
    padded = np.pad(x, ((0, 0), (0, 0), (PAD, PAD)))
    k = w.shape[2]
    steps = (padded.shape[2] - k) // STRIDE + 1
    y = np.zeros((len(x), len(w), steps))
    for t in range(steps):
        window = padded[:, :, t * STRIDE:t * STRIDE + k]
        y[:, :, t] = np.tensordot(window, w, ([1, 2], [1, 2])) + b
    return y


def conv1d_backward(g, x, w, b):
    padded = np.pad(x, ((0, 0), (0, 0), (PAD, PAD)))
    k = w.shape[2]
    dpadded = np.zeros_like(padded)
    dw = np.zeros_like(w)
    for t in range(g.shape[2]):
        start = t * STRIDE
        dpadded[:, :, start:start + k] += np.tensordot(g[:, :, t], w, (1, 0))
        dw += np.tensordot(g[:, :, t], padded[:, :, start:start + k], (0, 0))
    return dpadded[:, :, PAD:-PAD], dw, g.sum((0, 2))


pair = Pair("conv1d by loops", "convolution", conv1d, conv1d_backward,
            lambda draw: (draw(2, 3, 11), draw(5, 3, 7), draw(5)), ("x", "w", "b"))
pair.slip("windows overwrite each other", ("dpadded[:, :, start:start + k] +=", "dpadded[:, :, start:start + k] ="),
          right="overwritten", helpful="lines, path")
pair.slip("padding cut off at one end", ("dpadded[:, :, PAD:-PAD]", "dpadded[:, :, :-2 * PAD]"), right="shifted")
pair.slip("stride forgotten", ("start = t * STRIDE", "start = t"), right="shifted", helpful="mask")
pair.slip("dw of the last step only", ("dw += np", "dw = np"), right="overwritten", helpful="path, other upstream")
pair.slip("dx clipped", ("return dpadded[:, :, PAD:-PAD]", "return dpadded[:, :, PAD:-PAD].clip(-1, 1)"),
          right="nonlinear")
pair.slip("db summed over the channels too", ("g.sum((0, 2))", "g.sum()"), right="axis, shape", helpful="sum")

# -- 2-d convolution by im2col, stride 2: x (2, 3, 5, 7), w (5, 3, 2, 3) ---------------------------------------------


def conv2d_im2col(x, w, b):
    n, _, height, width = x.shape
    f, c, kh, kw = w.shape
    oh, ow = (height - kh) // STRIDE + 1, (width - kw) // STRIDE + 1
    i = STRIDE * np.repeat(np.arange(oh), ow)[:, None] + np.repeat(np.arange(kh), kw)
    j = STRIDE * np.tile(np.arange(ow), oh)[:, None] + np.tile(np.arange(kw), kh)
    columns = x[:, :, i, j].transpose(0, 2, 1, 3).reshape(n * oh * ow, c * kh * kw)
    y = columns @ w.reshape(f, -1).T + b
    return y.reshape(n, oh, ow, f).transpose(0, 3, 1, 2), (x.shape, columns, i, j, w)


def conv2d_im2col_backward(g, saved):
    shape, columns, i, j, w = saved
    n, f, oh, ow = g.shape
    dy = g.transpose(0, 2, 3, 1).reshape(-1, f)
    dw = (dy.T @ columns).reshape(w.shape)
    db = dy.sum(0)
    dcolumns = (dy @ w.reshape(f, -1)).reshape(n, oh * ow, shape[1], -1).transpose(0, 2, 1, 3)
    dx = np.zeros(shape)
    np.add.at(dx, (slice(None), slice(None), i, j), dcolumns)
    return dx, dw, db


pair = Pair("conv2d by im2col", "convolution", conv2d_im2col, conv2d_im2col_backward,
            lambda draw: (draw(2, 3, 5, 7), draw(5, 3, 2, 3), draw(5)), ("x", "w", "b"))
pair.slip("+= with repeated indices", ("np.add.at(dx, (slice(None), slice(None), i, j), dcolumns)",
                                       "dx[:, :, i, j] += dcolumns"), right="overwritten", helpful="lines, path")
pair.slip("upstream not transposed", ("g.transpose(0, 2, 3, 1).reshape(-1, f)", "g.reshape(-1, f)"),
          right="other upstream", helpful="permuted, sum")
pair.slip("columns reshaped, not transposed", ("reshape(n, oh * ow, shape[1], -1).transpose(0, 2, 1, 3)",
                                               "reshape(n, shape[1], oh * ow, -1)"), right="permuted")
pair.slip("product for dw transposed", ("(dy.T @ columns).reshape", "(columns.T @ dy).reshape"), right="permuted",
          helpful="transposed, product")
pair.slip("one column to the left", ("slice(None), i, j), dcolumns", "slice(None), i, j - 1), dcolumns"),
          right="shifted", helpful="permuted")
pair.slip("db not summed over the width", ("db = dy.sum(0)", "db = g.sum((0, 2))"), right="unreduced",
          helpful="shape, axis, sum")

# -- 2-d correlation of an image with a kernel, as large as the image: (7, 11), (3, 5) -------------------------------


def correlate(image, kernel):
    h, w = image.shape
    kh, kw = kernel.shape
    padded = np.pad(image, ((kh // 2, kh // 2), (kw // 2, kw // 2)))
    out = np.zeros_like(image)
    for u in range(kh):
        for v in range(kw):
            out += kernel[u, v] * padded[u:u + h, v:v + w]
    return out


def correlate_backward(g, image, kernel):
    h, w = image.shape
    kh, kw = kernel.shape
    border = ((kh // 2, kh // 2), (kw // 2, kw // 2))
    padded, g_padded = np.pad(image, border), np.pad(g, border)
    flipped = kernel[::-1, ::-1]
    d_image, d_kernel = np.zeros_like(image), np.zeros_like(kernel)
    for u in range(kh):
        for v in range(kw):
            d_image += flipped[u, v] * g_padded[u:u + h, v:v + w]
            d_kernel[u, v] = (g * padded[u:u + h, v:v + w]).sum()
    return d_image, d_kernel


pair = Pair("correlation", "convolution", correlate, correlate_backward,
            lambda draw: (draw(7, 11), draw(3, 5)), ("image", "kernel"))
pair.slip("kernel not flipped", ("kernel[::-1, ::-1]", "kernel"), right="flipped, jvp")
pair.slip("kernel flipped along one axis", ("kernel[::-1, ::-1]", "kernel[::-1]"), right="flipped")
pair.slip("d_kernel flipped", ("d_kernel[u, v] =", "d_kernel[-1 - u, -1 - v] ="), right="flipped",
          helpful="permuted")
pair.slip("all padding on the left", ("np.pad(g, border)", "np.pad(g, (border[0], (kw - 1, 0)))"), right="shifted",
          helpful="other upstream")
pair.slip("last column of taps left out", ("range(kw)", "range(kw - 1)"), right="lines", helpful="mask, path")
pair.slip("mean for sum", ("padded[u:u + h, v:v + w]).sum()", "padded[u:u + h, v:v + w]).mean()"), right="size",
          helpful="factor")

# -- transposed 1-d convolution: x (2, 3, 5), w (3, 7, 3), y (2, 7, 11); recomputes ----------------------------------


def conv_transpose(x, w, b):
    n, _, t = x.shape
    k = w.shape[2]
    y = np.zeros((n, w.shape[1], (t - 1) * STRIDE + k))
    for s in range(t):
        y[:, :, STRIDE * s:STRIDE * s + k] += np.tensordot(x[:, :, s], w, (1, 0))
    return y + b[:, None]


def conv_transpose_backward(dy, x, w, b):
    k = w.shape[2]
    dx = np.empty_like(x)
    dw = np.zeros_like(w)
    db = dy.sum((0, 2))
    for s in range(x.shape[2]):
        window = dy[:, :, STRIDE * s:STRIDE * s + k]
        dx[:, :, s] = np.einsum("nok,cok->nc", window, w)
        dw += np.einsum("nc,nok->cok", x[:, :, s], window)
    return dx, dw, db


pair = Pair("transposed convolution", "convolution", conv_transpose, conv_transpose_backward,
            lambda draw: (draw(2, 3, 5), draw(3, 7, 3), draw(7)), ("x", "w", "b"))
pair.slip("time reversed", ("dx[:, :, s] =", "dx[:, :, -1 - s] ="), right="flipped", helpful="permuted, lines")
pair.slip("stride forgotten", ("dy[:, :, STRIDE * s:STRIDE * s + k]", "dy[:, :, s:s + k]"), right="shifted",
          helpful="lines, other upstream")
pair.slip("db summed over windows that overlap",
          ("db = dy.sum((0, 2))", "db = np.zeros_like(b)"), ("dw += np", "db += window.sum((0, 2))\n        dw += np"),
          right="sum", helpful="path")
pair.slip("overlap of windows left out",
          ("STRIDE * s + k]", "STRIDE * (s + 1)]"), ("window, w)", "window, w[:, :, :STRIDE])"),
          ("dw += np", "dw[:, :, :STRIDE] += np"), right="path", helpful="mask, lines")
pair.slip("negative upstream dropped", ("window = dy[:, :, STRIDE * s:STRIDE * s + k]",
                                        "window = np.maximum(dy[:, :, STRIDE * s:STRIDE * s + k], 0)"),
          right="nonlinear", helpful="other upstream")
pair.slip("dw divided by the batch size", ("return dx, dw, db", "return dx, dw / len(x), db"), right="size",
          helpful="factor, two")

# -- causal depthwise convolution over time: x (2, 5, 11), w (5, 3) --------------------------------------------------


def causal_depthwise(x, w, b):
    k = w.shape[1]
    padded = np.concatenate([np.zeros((*x.shape[:2], k - 1)), x], axis=2)
    windows = sliding_window_view(padded, k, axis=2)
    return (windows * w[:, None]).sum(-1) + b[:, None], (windows, w)


def causal_depthwise_backward(g, saved):
    windows, w = saved
    k, steps = w.shape[1], g.shape[2]
    dw = (g[..., None] * windows).sum((0, 2))
    db = g.sum((0, 2))
    dpadded = np.zeros((*g.shape[:2], steps + k - 1))
    for tap in range(k):
        dpadded[:, :, tap:tap + steps] += g * w[:, tap, None]
    return dpadded[:, :, k - 1:], dw, db


pair = Pair("causal depthwise convolution", "convolution", causal_depthwise, causal_depthwise_backward,
            lambda draw: (draw(2, 5, 11), draw(5, 3), draw(5)), ("x", "w", "b"))
pair.slip("the end cut off for the padding", ("dpadded[:, :, k - 1:]", "dpadded[:, :, :1 - k]"), right="shifted")
pair.slip("taps overwrite each other", ("tap + steps] +=", "tap + steps] ="), right="overwritten",
          helpful="diagonal, path, lines")
pair.slip("first tap left out", ("range(k)", "range(1, k)"), right="path", helpful="lines")
pair.slip("taps in reversed order", ("w[:, tap, None]", "w[:, -1 - tap, None]"), right="flipped")
pair.slip("dw summed over the channels too", ("windows).sum((0, 2))", "windows).sum((0, 1, 2))"), right="axis, shape")
pair.slip("db not summed over the batch", ("db = g.sum((0, 2))", "db = g.sum(2)"), right="unreduced",
          helpful="shape, axis, sum")

# -- max pooling over time, windows of 3 that overlap: x (2, 3, 11) --------------------------------------------------


def max_pool(x):
    steps = (x.shape[2] - 3) // STRIDE + 1
    windows = np.stack([x[:, :, STRIDE * t:STRIDE * t + 3] for t in range(steps)], axis=2)
    return windows.max(-1), (x.shape, windows.argmax(-1))


def max_pool_backward(g, saved):
    shape, winner = saved
    dx = np.zeros(shape)
    n, c, t = np.indices(g.shape)
    np.add.at(dx, (n, c, STRIDE * t + winner), g)
    return dx


pair = Pair("max pooling", "convolution", max_pool, max_pool_backward, lambda draw: (draw.distinct(2, 3, 11),), ("x",))
pair.slip("= for +=", ("np.add.at(dx, (n, c, STRIDE * t + winner), g)", "dx[n, c, STRIDE * t + winner] = g"),
          right="overwritten", helpful="path, lines")
pair.slip("stride forgotten", ("STRIDE * t + winner", "t + winner"), right="shifted", helpful="mask")
pair.slip("winner counted from 1", ("t + winner)", "t + winner - 1)"), right="shifted", helpful="mask, permuted")
pair.slip("all of the window gets a third",
          ("np.add.at(dx, (n, c, STRIDE * t + winner), g)",
           "for k in range(3):\n        np.add.at(dx, (n, c, STRIDE * t + k), g / 3)"), right="mask")
pair.slip("largest by its absolute value", ("windows.argmax(-1)", "np.abs(windows).argmax(-1)"), right="mask")
pair.slip("ones for upstream", ("winner), g)", "winner), 1)"), right="upstream", helpful="nonlinear, other upstream")

# -- detail of an image: x less its average pooling, upsampled: x (3, 5, 7), blocks of 2 by 2, cut at the edge -------


def detail(x):
    n, h, w = x.shape
    coarse = np.zeros((n, (h + 1) // 2, (w + 1) // 2))
    for i, j in np.ndindex(coarse.shape[1:]):
        coarse[:, i, j] = x[:, 2 * i:2 * i + 2, 2 * j:2 * j + 2].mean((1, 2))
    return x - coarse.repeat(2, axis=1).repeat(2, axis=2)[:, :h, :w]


def detail_backward(g, x):
    h, w = x.shape[1:]
    dx = g.copy()
    for i in range((h + 1) // 2):
        for j in range((w + 1) // 2):
            block = np.s_[:, 2 * i:2 * i + 2, 2 * j:2 * j + 2]
            d_coarse = -g[block].sum((1, 2), keepdims=True)
            dx[block] += d_coarse / x[block][0].size
    return dx


pair = Pair("detail by pooling and upsampling", "convolution", detail, detail_backward, lambda draw: (draw(3, 5, 7),),
            ("x",))
pair.slip("blocks at the edge divided by 4", ("x[block][0].size", "4"), right="lines, size")
pair.slip("one pixel's upstream for the sum",
          ("-g[block].sum((1, 2), keepdims=True)", "-g[:, 2 * i, 2 * j, None, None]"),
          right="overwritten", helpful="path, other upstream, unreduced")
pair.slip("one pixel gets all of the pooling's", ("dx[block] += d_coarse / x[block][0].size",
                                                  "dx[:, 2 * i, 2 * j] += d_coarse[:, 0, 0] / x[block][0].size"),
          right="unexpanded", helpful="path")
pair.slip("path around the pooling lost", ("dx = g.copy()", "dx = np.zeros_like(x)"), right="path",
          helpful="overwritten")
pair.slip("last row of blocks left out", ("range((h + 1) // 2)", "range(h // 2)"), right="lines", helpful="path")
pair.slip("upstream not copied", ("dx = g.copy()", "dx = g"), right="unchanged")

# -- squeeze and excitation: a gate for each channel from global average pooling: x (2, 3, 5, 7) ---------------------


def squeeze_excite(x, w, b):
    pooled = x.mean((2, 3))
    gate = 1 / (1 + np.exp(-(pooled @ w.T + b)))
    return x * gate[:, :, None, None], (x, pooled, gate, w)


def squeeze_excite_backward(g, saved):
    x, pooled, gate, w = saved
    dgate = (g * x).sum((2, 3))
    dz = dgate * gate * (1 - gate)
    dw = dz.T @ pooled
    db = dz.sum(0)
    dpooled = dz @ w
    dx = g * gate[:, :, None, None] + dpooled[:, :, None, None] / (x.shape[2] * x.shape[3])
    return dx, dw, db


pair = Pair("squeeze and excitation", "convolution", squeeze_excite, squeeze_excite_backward,
            lambda draw: (draw(2, 3, 5, 7), draw(3, 3), draw(3)), ("x", "w", "b"))
pair.slip("gate as a constant", (" + dpooled[:, :, None, None] / (x.shape[2] * x.shape[3])", ""), right="path",
          helpful="mean, overwritten, statistics")
pair.slip("pooling not divided by its size", (" / (x.shape[2] * x.shape[3])", ""), right="size, mean")
pair.slip("w transposed", ("dz @ w", "dz @ w.T"), right="product", helpful="mean")
pair.slip("derivative of tanh", ("gate * (1 - gate)", "(1 - gate**2)"), right="derivative", helpful="sum, mean")
pair.slip("gate's upstream averaged", ("(g * x).sum((2, 3))", "(g * x).mean((2, 3))"), right="size",
          helpful="mean, factor")
pair.slip("dw transposed", ("dz.T @ pooled", "pooled.T @ dz"), right="transposed", helpful="product, permuted")
