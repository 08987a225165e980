"""Reductions and scans: deviations, soft and weighted means, norms, returns, running maxima, gated sums."""

import numpy as np

from microtensor.learn.corpus.pair import Pair

SHARPNESS = 1.7
DISCOUNT = 0.8
P = 3.0

# -- standard deviation over rows: x (7, 3) ---------------------------------------------------------------------------


def sample_std(x):
    centred = x - x.mean(0)
    std = np.sqrt((centred * centred).sum(0) / (len(x) - 1))
    return std, (centred, std)


def sample_std_backward(g, saved):
    centred, std = saved
    return g * centred / (std * (len(centred) - 1))


pair = Pair("standard deviation", "reductions", sample_std, sample_std_backward, lambda draw: (draw(7, 3) + 0.7,),
            ("x",))
pair.slip("n for n - 1", ("(len(centred) - 1)", "len(centred)"), right="ddof", helpful="factor, variance")
pair.slip("saves x itself", ("(centred, std)", "(x, std)"), right="mean")
pair.slip("divided by the variance", ("(std * (", "(std**2 * ("), right="power", helpful="column, variance")
pair.slip("root not differentiated", ("g * centred / (std * (len(centred) - 1))",
                                       "g * 2 * centred / (len(centred) - 1)"),
          right="power", helpful="column, variance")
pair.slip("half of the root forgotten", ("g * centred", "2 * g * centred"), right="two", helpful="factor, variance")
pair.slip("upstream gradient forgotten", ("g * centred", "centred"), right="upstream", helpful="column, variance, mask")

# -- soft maximum, a log of a mean of exponentials: x (3, 5, 7), over the middle axis ---------------------------------


def soft_maximum(x):
    top = x.max(1, keepdims=True)
    return (top + np.log(np.exp(SHARPNESS * (x - top)).mean(1, keepdims=True)) / SHARPNESS)[:, 0]


def soft_maximum_backward(g, x):
    e = np.exp(SHARPNESS * (x - x.max(1, keepdims=True)))
    return g[:, None] * e / e.sum(1, keepdims=True)


pair = Pair("soft maximum", "reductions", soft_maximum, soft_maximum_backward, lambda draw: (draw(3, 5, 7),), ("x",))
pair.slip("normalised along the last axis", ("e.sum(1, keepdims=True)", "e.sum(2, keepdims=True)"), right="axis")
pair.slip("normalised over all", ("e.sum(1, keepdims=True)", "e.sum()"), right="axis", helpful="column")
pair.slip("mean for sum", ("e.sum(1, keepdims=True)", "e.mean(1, keepdims=True)"), right="size", helpful="factor")
pair.slip("times the sharpness once more", ("g[:, None] * e /", "SHARPNESS * g[:, None] * e /"),
          right="scale", helpful="factor")
pair.slip("weights without the sharpness", ("SHARPNESS * (x - x.max(1, keepdims=True))", "x - x.max(1, keepdims=True)"),
          right="derivative")
pair.slip("not repeated along the axis", ("g[:, None] * e / e.sum(1, keepdims=True)",
                                          "(g[:, None] * e / e.sum(1, keepdims=True)).sum(1)"),
          right="unexpanded, shape")

# -- weighted mean over the middle axis: x (3, 5, 2), weights (5,) ----------------------------------------------------


def weighted_mean(x, weights):
    total = weights.sum()
    y = np.einsum("bnd,n->bd", x, weights) / total
    return y, (x, weights, y)


def weighted_mean_backward(g, saved):
    x, weights, y = saved
    total = weights.sum()
    dx = g[:, None, :] * weights[:, None] / total
    d_weights = (g[:, None, :] * (x - y[:, None, :])).sum((0, 2)) / total
    return dx, d_weights


pair = Pair("weighted mean", "reductions", weighted_mean, weighted_mean_backward,
            lambda draw: (draw(3, 5, 2), draw.positive(5)), ("x", "weights"))
pair.slip("total as a constant", ("(x - y[:, None, :])", "x"), right="mean, path", helpful="overwritten, sum")
pair.slip("weights as if all were 1", ("* weights[:, None] / total", "/ len(weights) * np.ones((len(weights), 1))"),
          right="column", helpful="power, scale")
pair.slip("weights not normalised", ("weights[:, None] / total", "weights[:, None]"), right="factor", helpful="scale")
pair.slip("gradient of the mean, not repeated", ("g[:, None, :] * weights[:, None] / total", "g[:, None, :] / total"),
          right="unexpanded, shape")
pair.slip("weights' gradient summed over the batch alone", (".sum((0, 2))", ".sum(0)"), right="unreduced, shape",
          helpful="axis")
pair.slip("weights' gradient averaged", (".sum((0, 2)) / total", ".mean((0, 2)) / total"), right="size",
          helpful="factor, sum")

# -- norm of order 3 along rows: x (5, 7) -----------------------------------------------------------------------------


def cubic_norm(x):
    return (np.abs(x) ** P).sum(1) ** (1 / P)


def cubic_norm_backward(g, x):
    norm = (np.abs(x) ** P).sum(1, keepdims=True) ** (1 / P)
    return g[:, None] * np.sign(x) * (np.abs(x) / norm) ** (P - 1)


pair = Pair("norm of order 3", "reductions", cubic_norm, cubic_norm_backward,
            lambda draw: (draw.nonzero(5, 7),), ("x",))
pair.slip("sign forgotten", ("np.sign(x) * ", ""), right="sides, side", helpful="derivative")
pair.slip("norm not raised to a power", ("(np.abs(x) / norm) ** (P - 1)", "np.abs(x) ** (P - 1) / norm"),
          right="power", helpful="column")
pair.slip("exponent not lowered", ("** (P - 1)", "** P"), right="derivative", helpful="power")
pair.slip("exponent brought down", ("g[:, None] *", "P * g[:, None] *"), right="factor")
pair.slip("norm of the whole array", (".sum(1, keepdims=True)", ".sum()"), right="axis", helpful="column, power")
pair.slip("sign of the upstream gradient", ("np.sign(x)", "np.sign(g)[:, None]"), right="nonlinear")

# -- discounted returns: rewards (5, 7), value (5,) of what follows ---------------------------------------------------


def discounted_returns(rewards, value):
    returns, running = np.empty_like(rewards), value
    for t in reversed(range(rewards.shape[1])):
        running = rewards[:, t] + DISCOUNT * running
        returns[:, t] = running
    return returns


def discounted_returns_backward(g, rewards, value):
    d_rewards, carry = np.empty_like(rewards), np.zeros_like(value)
    for t in range(g.shape[1]):
        carry = g[:, t] + DISCOUNT * carry
        d_rewards[:, t] = carry
    return d_rewards, DISCOUNT * carry


pair = Pair("discounted returns", "reductions", discounted_returns, discounted_returns_backward,
            lambda draw: (draw(5, 7), draw(5)), ("rewards", "value"))
pair.slip("time runs as in forward", ("range(g.shape[1])", "reversed(range(g.shape[1]))"), right="jvp", helpful="mask")
pair.slip("no carry", ("g[:, t] + DISCOUNT * carry", "g[:, t]"), right="diagonal, path",
          helpful="overwritten, lines, mask")
pair.slip("carry not discounted", ("g[:, t] + DISCOUNT * carry", "g[:, t] + carry"), right="scale",
          helpful="path, lines")
pair.slip("last discount forgotten", ("return d_rewards, DISCOUNT * carry", "return d_rewards, carry"),
          right="scale", helpful="factor")
pair.slip("stored before it is updated", ("carry = g[:, t] + DISCOUNT * carry\n        d_rewards[:, t] = carry\n",
                                          "d_rewards[:, t] = carry\n        carry = g[:, t] + DISCOUNT * carry\n"),
          right="shifted", helpful="mask")

# -- running maximum along rows: x (3, 11) ----------------------------------------------------------------------------


def running_maximum(x):
    return np.maximum.accumulate(x, 1)


def running_maximum_backward(g, x):
    dx = np.zeros_like(x)
    for i in range(len(x)):
        best = 0
        for t in range(x.shape[1]):
            if x[i, t] > x[i, best]:
                best = t
            dx[i, best] += g[i, t]
    return dx


def running_maximum_inputs(draw):
    x = draw.distinct(3, 11)
    top = x.argmax(1)
    for i in range(3):                      # the maximum of a row is in the middle, and no first element is a maximum
        x[i, [top[i], 5]] = x[i, [5, top[i]]]
    return (x,)


pair = Pair("running maximum", "reductions", running_maximum, running_maximum_backward, running_maximum_inputs, ("x",))
pair.slip("= for +=", ("dx[i, best] +=", "dx[i, best] ="), right="overwritten", helpful="path, mask")
pair.slip("only where the maximum changes", ("dx[i, best] += g[i, t]", "dx[i, t] += g[i, t] * (best == t)"),
          right="overwritten", helpful="path, mask, diagonal")
pair.slip("start not set back for the next row", ("    for i in range(len(x)):\n        best = 0\n",
                                                  "    best = 0\n    for i in range(len(x)):\n"),
          right="lines", helpful="mask")
pair.slip("all to the maximum of the row", ("best = 0", "best = x[i].argmax()"), right="mask")
pair.slip("upstream gradient at the maximum", ("g[i, t]", "g[i, best]"), right="other upstream", helpful="mask")

# -- gated scan: gates a and inputs b (7, 3), start (3,) --------------------------------------------------------------


def gated_scan(a, b, start):
    h, states = start, []
    for t in range(len(a)):
        h = a[t] * h + b[t]
        states.append(h)
    return np.array(states), (states, a, start)


def gated_scan_backward(g, saved):
    states, a, start = saved
    da, db, carry = np.empty_like(a), np.empty_like(a), np.zeros_like(start)
    for t in range(len(a) - 1, -1, -1):
        carry = carry + g[t]
        db[t] = carry
        da[t] = carry * (states[t - 1] if t > 0 else start)
        carry = carry * a[t]
    return da, db, carry


pair = Pair("gated scan", "reductions", gated_scan, gated_scan_backward,
            lambda draw: (draw.probability(7, 3), draw(7, 3), draw(3)), ("a", "b", "start"))
pair.slip("state after the step", ("states[t - 1] if", "states[t] if"), right="derivative", helpful="lines")
pair.slip("no gradient for the first gate", ("else start)", "else 0)"), right="lines, mask", helpful="path, column")
pair.slip("carry through the gate before", ("carry * a[t]", "carry * a[t - 1]"), right="derivative", helpful="lines")
pair.slip("no carry", ("carry + g[t]", "g[t]"), right="path, overwritten", helpful="diagonal, lines, mask")
pair.slip("start without the first gate", ("return da, db, carry", "return da, db, db[0]"),
          right="power", helpful="column, scale, exchanged")
pair.slip("carry clipped", ("carry = carry + g[t]", "carry = np.clip(carry + g[t], -1, 1)"), right="nonlinear")
