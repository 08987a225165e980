"""Indexing: look-ups, groups, strides, reflected edges, the largest of a row, rolls and joins, repetition."""

import numpy as np

from microtensor.learn.corpus.pair import Pair

NODES = 5
LARGEST = 3
TIMES = 3

# -- scaled embedding with positions: table (7, 2), positions (5, 2), ids (3, 5) --------------------------------------


def embedding(table, positions, ids):
    return table[ids] * np.sqrt(table.shape[1]) + positions


def embedding_backward(g, table, positions, ids):
    d_table = np.zeros_like(table)
    np.add.at(d_table, ids, g * np.sqrt(table.shape[1]))
    return d_table, g.sum(0), None


def embedding_inputs(draw):
    ids = draw.integers(7, 3, 5)
    ids[0, :3] = 0, 4, 0
    return draw(7, 2), draw(5, 2), ids


pair = Pair("embedding with positions", "indexing", embedding, embedding_backward, embedding_inputs,
            ("table", "positions", "ids"))
pair.slip("repeated ids counted once", ("np.add.at(d_table, ids, g * np.sqrt(table.shape[1]))",
                                        "d_table[ids] += g * np.sqrt(table.shape[1])"),
          right="overwritten", helpful="path, lines, sum, side")
pair.slip("scale forgotten", ("g * np.sqrt(table.shape[1])", "g"), right="constant", helpful="scale, factor")
pair.slip("positions not summed over the batch", ("g.sum(0)", "g"), right="unreduced, shape")
pair.slip("ids counted from 1", ("d_table, ids,", "d_table, ids - 1,"), right="shifted", helpful="permuted")
pair.slip("row of the padding set to 0", ("    return d_table, g", "    d_table[0] = 0\n    return d_table, g"),
          right="lines, mask", helpful="column")
pair.slip("positions averaged over the batch", ("g.sum(0)", "g.mean(0)"), right="size", helpful="factor, sum")

# -- mean of messages at each of five nodes: x (11, 3), node (11,) ----------------------------------------------------


def node_mean(x, node):
    count = np.maximum(np.bincount(node, minlength=NODES), 1)[:, None]
    y = np.zeros((NODES, x.shape[1]))
    np.add.at(y, node, x)
    return y / count, (node, count)


def node_mean_backward(g, saved):
    node, count = saved
    return (g / count)[node], None


def node_mean_inputs(draw):
    node = draw.integers(5, 11)
    node[:4] = 3, 0, 3, 1
    return draw(11, 3), node


pair = Pair("mean at nodes", "indexing", node_mean, node_mean_backward, node_mean_inputs, ("x", "node"))
pair.slip("not divided by the count", ("(g / count)[node]", "g[node]"), right="column", helpful="lines, scale, side")
pair.slip("in the order of the nodes", ("(g / count)[node]", "(g / count)[np.sort(node)]"),
          right="permuted")
pair.slip("nodes counted from 1", ("(g / count)[node]", "(g / count)[node - 1]"), right="other upstream")
pair.slip("divided by the root of the count", ("g / count", "g / np.sqrt(count)"), right="column",
          helpful="lines, side")
pair.slip("first message of each node alone",
          ("(g / count)[node]",
           "(g / count)[node] * [[node[i] not in node[:i]] for i in range(len(node))]"), right="mask",
          helpful="lines, side, column")

# -- every second column in reversed order, with a gain: x (3, 11), gain (5,) -----------------------------------------


def reversed_columns(x, gain):
    return x[:, 1::2][:, ::-1] * gain


def reversed_columns_backward(g, x, gain):
    dx = np.zeros_like(x)
    dx[:, 1::2] = (g * gain)[:, ::-1]
    d_gain = (g * x[:, -2::-2]).sum(0)
    return dx, d_gain


pair = Pair("every second column, reversed", "indexing", reversed_columns, reversed_columns_backward,
            lambda draw: (draw(3, 11), draw.nonzero(5)), ("x", "gain"))
pair.slip("not reversed", ("(g * gain)[:, ::-1]", "g * gain"), right="flipped", helpful="permuted, lines")
pair.slip("from the first column", ("dx[:, 1::2]", "dx[:, :-1:2]"), right="shifted", helpful="mask, permuted, lines")
pair.slip("gain's columns not reversed", ("x[:, -2::-2]", "x[:, 1::2]"), right="sum", helpful="lines")
pair.slip("gain forgotten", ("(g * gain)[:, ::-1]", "g[:, ::-1]"), right="column", helpful="power, scale, lines")
pair.slip("gain reversed once too often", ("(g * gain)[:, ::-1]", "g[:, ::-1] * gain"), right="column", helpful="lines")
pair.slip("columns between filled as well", ("dx[:, 1::2] = (", "dx[:, 1::2] = dx[:, 2::2] = ("),
          right="mask", helpful="lines")

# -- reflected edges: x (3, 7) to (3, 11) -----------------------------------------------------------------------------


def reflect(x):
    return np.pad(x, ((0, 0), (2, 2)), mode="reflect")


def reflect_backward(g, x):
    dx = g[:, 2:-2].copy()
    for k in (1, 2):
        dx[:, k] += g[:, 2 - k]
        dx[:, -1 - k] += g[:, k - 3]
    return dx


pair = Pair("reflected edges", "indexing", reflect, reflect_backward, lambda draw: (draw(3, 7),), ("x",))
pair.slip("edges forgotten", ("for k in (1, 2)", "for k in ()"), right="path, lines", helpful="overwritten")
pair.slip("edge itself repeated", ("dx[:, k] += g", "dx[:, k - 1] += g"), right="lines", helpful="shifted")
pair.slip("= for +=", ("dx[:, k] += g", "dx[:, k] = g"), right="overwritten, lines", helpful="path")
pair.slip("middle cut off by one", ("g[:, 2:-2]", "g[:, 1:-3]"), right="shifted", helpful="other upstream")
pair.slip("right edge not reflected", ("g[:, k - 3]", "g[:, -k]"), right="lines", helpful="flipped, other upstream")

# -- the three largest of each row, weighted: x (5, 7), weights (3,) --------------------------------------------------


def largest(x, weights):
    order = np.argsort(-x, 1)[:, :LARGEST]
    top = np.take_along_axis(x, order, 1)
    return top * weights, (x, weights, order, top)


def largest_backward(g, saved):
    x, weights, order, top = saved
    dx = np.zeros_like(x)
    np.put_along_axis(dx, order, g * weights, 1)
    return dx, (g * top).sum(0)


pair = Pair("largest of a row", "indexing", largest, largest_backward,
            lambda draw: (draw.distinct(5, 7), draw.nonzero(3)), ("x", "weights"))
pair.slip("the smallest", ("(dx, order, g", "(dx, np.argsort(x, 1)[:, :LARGEST], g"), right="mask", helpful="permuted")
pair.slip("first columns of x", ("g * top", "g * x[:, :LARGEST]"), right="sum")
pair.slip("weights forgotten", ("g * weights", "g"), right="power", helpful="scale")
pair.slip("in rising order", ("g * weights, 1)", "(g * weights)[:, ::-1], 1)"), right="permuted", helpful="side")
pair.slip("not put back in place", ("np.put_along_axis(dx, order, g * weights, 1)", "dx[:, :LARGEST] = g * weights"),
          right="permuted", helpful="mask")
pair.slip("weights averaged", ("(g * top).sum(0)", "(g * top).mean(0)"), right="size", helpful="factor, sum")

# -- difference on a ring, joined with other columns: x (3, 7), z (3, 5) ----------------------------------------------


def ring_difference(x, z):
    return np.concatenate([x - np.roll(x, 1, axis=1), z], axis=1)


def ring_difference_backward(g, x, z):
    gx, gz = np.split(g, [x.shape[1]], axis=1)
    return gx - np.roll(gx, -1, axis=1), gz


pair = Pair("difference on a ring", "indexing", ring_difference, ring_difference_backward,
            lambda draw: (draw(3, 7), draw(3, 5)), ("x", "z"))
pair.slip("rolled as in forward", ("np.roll(gx, -1", "np.roll(gx, 1"), right="jvp", helpful="shifted, path")
pair.slip("rolled path forgotten", ("gx - np.roll(gx, -1, axis=1)", "gx"),
          right="path", helpful="diagonal, overwritten")
pair.slip("other columns cut one too early", (", gz\n", ", g[:, x.shape[1] - 1 : -1]\n"),
          right="shifted, other upstream")
pair.slip("rolled along rows", ("np.roll(gx, -1, axis=1)", "np.roll(gx, -1, axis=0)"), right="axis", helpful="path")
pair.slip("sign of the rolled path", ("gx - np.roll", "gx + np.roll"), right="path")

# -- elements repeated, and a row tiled beneath: x (3, 5), row (5,) to (3, 15) ----------------------------------------


def repeat_and_tile(x, row):
    return np.repeat(x, TIMES, axis=1) + np.tile(row, TIMES)


def repeat_and_tile_backward(g, x, row):
    dx = g.reshape(len(x), -1, TIMES).sum(2)
    d_row = g.reshape(len(x), TIMES, -1).sum((0, 1))
    return dx, d_row


pair = Pair("elements repeated and a row tiled", "indexing", repeat_and_tile, repeat_and_tile_backward,
            lambda draw: (draw(3, 5), draw(5)), ("x", "row"))
pair.slip("repeated as if tiled", ("g.reshape(len(x), -1, TIMES).sum(2)", "g.reshape(len(x), TIMES, -1).sum(1)"),
          right="other upstream", helpful="axis, sum")
pair.slip("first copy alone", ("g.reshape(len(x), -1, TIMES).sum(2)", "g[:, ::TIMES]"),
          right="overwritten, path", helpful="sum, other upstream")
pair.slip("mean of the copies", (".sum(2)", ".mean(2)"), right="size", helpful="factor")
pair.slip("row not summed over the batch", (".sum((0, 1))", ".sum(1)"), right="unreduced, shape", helpful="axis, sum")
pair.slip("row summed over its own places", (".sum((0, 1))", ".sum((0, 2))"), right="axis, shape", helpful="sum")
