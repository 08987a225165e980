"""Recurrent layers and gated units: what goes back through time, and through gates."""

# ruff: noqa: N803, N806 -- weights are named as in papers

import numpy as np

from microtensor.learn.corpus.pair import Pair


def logistic(x):
    return 1 / (1 + np.exp(-x))


# -- a plain RNN: x (samples 2, steps 5, 7), the states of all steps are returned ------------------------------------


def rnn_sequence(x, h0, Wx, Wh, b):
    h = np.zeros((x.shape[0], x.shape[1], h0.shape[1]))
    prev = h0
    for t in range(x.shape[1]):
        prev = np.tanh(x[:, t] @ Wx + prev @ Wh + b)
        h[:, t] = prev
    return h, (x, h0, Wx, Wh, h)


def rnn_sequence_backward(dh, cache):
    x, h0, Wx, Wh, h = cache
    dx, dprev = np.zeros_like(x), np.zeros_like(h0)
    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(Wh.shape[0])
    for t in reversed(range(x.shape[1])):
        prev = h[:, t - 1] if t > 0 else h0
        dnext = dh[:, t] + dprev
        da = dnext * (1 - h[:, t] ** 2)
        dx[:, t] = da @ Wx.T
        dprev = da @ Wh.T
        dWx += x[:, t].T @ da
        dWh += prev.T @ da
        db += da.sum(0)
    return dx, dprev, dWx, dWh, db


pair = Pair("rnn over a sequence", "recurrent", rnn_sequence, rnn_sequence_backward,
            lambda draw: (draw(2, 5, 7), draw(2, 3), 0.5 * draw(7, 3), draw(3, 3), draw(3)),
            ("x", "h0", "Wx", "Wh", "b"))
pair.slip("the next step's gradient is not added", ("dh[:, t] + dprev", "dh[:, t]"),
          right="path", helpful="overwritten, diagonal, lines, mask")
pair.slip("dWh of the first step alone", ("dWh += prev", "dWh = prev"), right="overwritten", helpful="path")
pair.slip("the derivative of tanh without the square", ("h[:, t] ** 2", "h[:, t]"), right="derivative")
pair.slip("the state after the step in dWh", ("dWh += prev.T", "dWh += h[:, t].T"), right="derivative")
pair.slip("time runs forwards", ("in reversed(range(x.shape[1]))", "in range(x.shape[1])"),
          right="path", helpful="mask")
pair.slip("Wh not transposed", ("da @ Wh.T", "da @ Wh"), right="product", helpful="lines")

# -- a character RNN with its loss, one step a dict entry: letters and targets (5,) out of 7 -------------------------


def char_rnn(letters, targets, Wxh, Whh, Why, bh, by):
    hs, ps, loss = {-1: np.zeros(len(bh))}, {}, 0.0
    for t in range(len(letters)):
        hs[t] = np.tanh(Wxh[:, letters[t]] + Whh @ hs[t - 1] + bh)
        y = Why @ hs[t] + by
        ps[t] = np.exp(y - y.max()) / np.exp(y - y.max()).sum()
        loss -= np.log(ps[t][targets[t]])
    return np.asarray(loss / len(letters)), (letters, targets, Wxh, Whh, Why, hs, ps)


def char_rnn_backward(g, saved):
    letters, targets, Wxh, Whh, Why, hs, ps = saved
    dWxh, dWhh, dWhy = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros_like(Why)
    dbh, dby, dhnext = np.zeros(len(Whh)), np.zeros(len(Why)), np.zeros(len(Whh))
    for t in reversed(range(len(letters))):
        dy = ps[t].copy()
        dy[targets[t]] -= 1
        dy = g * dy / len(letters)
        dWhy += np.outer(dy, hs[t])
        dby += dy
        dh = Why.T @ dy + dhnext
        da = (1 - hs[t] ** 2) * dh
        dbh += da
        dWxh[:, letters[t]] += da
        dWhh += np.outer(da, hs[t - 1])
        dhnext = Whh.T @ da
    return None, None, dWxh, dWhh, dWhy, dbh, dby


pair = Pair("char rnn with its loss", "recurrent", char_rnn, char_rnn_backward,
            lambda draw: (np.append(draw.integers(5, 3), [5, 5]), draw.integers(7, 5), draw(3, 7), draw(3, 3),
                          draw(7, 3), draw(3), draw(7)),
            ("letters", "targets", "Wxh", "Whh", "Why", "bh", "by"))
pair.slip("1 not subtracted at the target", ("dy[targets[t]] -= 1", "pass"),
          right="label", helpful="lines, path")
pair.slip("a letter's last use alone", ("dWxh[:, letters[t]] +=", "dWxh[:, letters[t]] ="),
          right="overwritten", helpful="lines, path")
pair.slip("not averaged over the steps", ("g * dy / len(letters)", "g * dy"), right="size", helpful="factor")
pair.slip("without the upstream gradient", ("g * dy / len", "dy / len"), right="upstream", helpful="factor")
pair.slip("dbh before the derivative of tanh", ("dbh += da", "dbh += dh"), right="derivative", helpful="sum")
pair.slip("dhnext through Whh itself", ("Whh.T @", "Whh @"), right="product")

# -- an LSTM cell: x (3, 5), 2 units; h and c are returned side by side ----------------------------------------------


def lstm_cell(x, h, c, W, b):
    n = c.shape[1]
    z = np.hstack([x, h])
    a = z @ W + b
    i, f, o = (logistic(a[:, k * n : (k + 1) * n]) for k in range(3))
    u = np.tanh(a[:, 3 * n :])
    c_new = f * c + i * u
    tc = np.tanh(c_new)
    return np.hstack([o * tc, c_new]), (z, c, W, i, f, o, u, tc)


def lstm_cell_backward(g, saved):
    z, c, W, i, f, o, u, tc = saved
    n = c.shape[1]
    dh, dc_out = g[:, :n], g[:, n:]
    dc = dc_out + dh * o * (1 - tc**2)
    do = dh * tc * o * (1 - o)
    df = dc * c * f * (1 - f)
    di = dc * u * i * (1 - i)
    du = dc * i * (1 - u**2)
    da = np.hstack([di, df, do, du])
    dz = da @ W.T
    return dz[:, :-n], dz[:, -n:], dc * f, z.T @ da, da.sum(0)


pair = Pair("lstm cell", "recurrent", lstm_cell, lstm_cell_backward,
            lambda draw: (draw(3, 5), draw(3, 2), draw(3, 2), draw(7, 8), draw(8)), ("x", "h", "c", "W", "b"))
pair.slip("the cell's gradient without that through h", ("dc_out + dh * o * (1 - tc**2)", "dc_out"),
          right="path", helpful="mask, overwritten, lines")
pair.slip("the cell's own upstream is dropped", ("dc_out + dh * o", "dh * o"),
          right="path", helpful="other upstream, mask, overwritten, lines")
pair.slip("gates stacked in another order", ("[di, df, do, du]", "[di, df, du, do]"),
          right="permuted", helpful="lines, mask")
pair.slip("the candidate as if it were a sigmoid", ("i * (1 - u**2)", "i * u * (1 - u)"),
          right="derivative", helpful="lines")
pair.slip("dc without the forget gate", ("dz[:, -n:], dc * f", "dz[:, -n:], dc"), right="derivative", helpful="scale")
pair.slip("the output gate's gradient without tanh(c)", ("dh * tc * o", "dh * o"),
          right="derivative", helpful="lines, scale")

# -- an LSTM over a sequence: x (5, 3), 2 units, states start at 0 ---------------------------------------------------


def lstm_sequence(x, Wx, Wh, b):
    n = Wh.shape[0]
    hs, cs, gates = [np.zeros(n)], [np.zeros(n)], []
    for row in x:
        a = row @ Wx + hs[-1] @ Wh + b
        i, f, o, u = logistic(a[:n]), logistic(a[n : 2 * n]), logistic(a[2 * n : 3 * n]), np.tanh(a[3 * n :])
        cs.append(f * cs[-1] + i * u)
        hs.append(o * np.tanh(cs[-1]))
        gates.append((i, f, o, u))
    return np.array(hs[1:]), (x, Wx, Wh, hs, cs, gates)


def lstm_sequence_backward(g, saved):
    x, Wx, Wh, hs, cs, gates = saved
    dx, dWx, dWh, db = np.zeros(x.shape), np.zeros(Wx.shape), np.zeros(Wh.shape), np.zeros(Wx.shape[1])
    dh_next, dc_next = np.zeros(len(Wh)), np.zeros(len(Wh))
    for t in range(len(x) - 1, -1, -1):
        i, f, o, u = gates[t]
        dh = g[t] + dh_next
        tc = np.tanh(cs[t + 1])
        dc = dc_next + dh * o * (1 - tc**2)
        da = np.concatenate([dc * u * i * (1 - i), dc * cs[t] * f * (1 - f), dh * tc * o * (1 - o),
                             dc * i * (1 - u**2)])
        dx[t] = Wx @ da
        dWx += np.outer(x[t], da)
        dWh += np.outer(hs[t], da)
        db += da
        dh_next = Wh @ da
        dc_next = dc * f
    return dx, dWx, dWh, db


pair = Pair("lstm over a sequence", "recurrent", lstm_sequence, lstm_sequence_backward,
            lambda draw: (draw(5, 3), draw(3, 8), draw(2, 8), draw(8)), ("x", "Wx", "Wh", "b"))
pair.slip("the cell's gradient is not carried back", ("dc = dc_next + dh", "dc = dh"),
          right="path", helpful="overwritten, lines")
pair.slip("dh_next adds up over all steps", ("dh_next = Wh", "dh_next += Wh"), right="path", helpful="lines")
pair.slip("tanh of the cell before the step", ("np.tanh(cs[t + 1])", "np.tanh(cs[t])"),
          right="derivative", helpful="mask")
pair.slip("the loop stops one step early", ("range(len(x) - 1, -1, -1)", "range(len(x) - 1, 0, -1)"),
          right="lines, mask", helpful="path, column")
pair.slip("clipped at every step", ("dh = g[t] + dh_next", "dh = np.clip(g[t] + dh_next, -0.5, 0.5)"),
          right="nonlinear")
pair.slip("carried back without the forget gate", ("dc_next = dc * f", "dc_next = dc"),
          right="derivative", helpful="lines, scale")

# -- a GRU over a sequence: x (7, 3), 2 units; everything is computed again on the way back --------------------------


def gru_step(x, h, Wz, Wr, Wn):
    xh = np.concatenate([x, h])
    z, r = logistic(xh @ Wz), logistic(xh @ Wr)
    xrh = np.concatenate([x, r * h])
    return xh, z, r, xrh, np.tanh(xrh @ Wn)


def gru(x, h0, Wz, Wr, Wn):
    states = [h0]
    for row in x:
        _, z, _, _, n = gru_step(row, states[-1], Wz, Wr, Wn)
        states.append((1 - z) * states[-1] + z * n)
    return np.stack(states[1:])


def gru_backward(g, x, h0, Wz, Wr, Wn):
    states = [h0, *gru(x, h0, Wz, Wr, Wn)]
    dx, dWz, dWr, dWn, dh = np.zeros_like(x), np.zeros_like(Wz), np.zeros_like(Wr), np.zeros_like(Wn), 0.0
    for t in range(len(x) - 1, -1, -1):
        h, k = states[t], x.shape[1]
        xh, z, r, xrh, n = gru_step(x[t], h, Wz, Wr, Wn)
        dh = dh + g[t]
        dn = dh * z * (1 - n**2)
        dz = dh * (n - h) * z * (1 - z)
        dxrh = Wn @ dn
        drh = dxrh[k:]
        dr = drh * h * r * (1 - r)
        dxh = Wz @ dz + Wr @ dr
        dx[t] = dxh[:k] + dxrh[:k]
        dh = dh * (1 - z) + dxh[k:] + drh * r
        dWn += np.outer(xrh, dn)
        dWz += np.outer(xh, dz)
        dWr += np.outer(xh, dr)
    return dx, dh, dWz, dWr, dWn


pair = Pair("gru over a sequence", "recurrent", gru, gru_backward,
            lambda draw: (draw(7, 3), draw(2), draw(5, 2), draw(5, 2), draw(5, 2)), ("x", "h0", "Wz", "Wr", "Wn"))
pair.slip("the state kept by the update gate is forgotten", ("dh = dh * (1 - z) + dxh[k:]", "dh = dxh[k:]"),
          right="path", helpful="lines")
pair.slip("the update gate's difference reversed", ("(n - h)", "(h - n)"), right="sign", helpful="derivative")
pair.slip("the reset gate's gradient without h", ("dr = drh * h * r", "dr = drh * r"),
          right="derivative", helpful="scale")
pair.slip("dWn with the state before the reset", ("dWn += np.outer(xrh", "dWn += np.outer(xh"),
          right="lines", helpful="derivative, scale")
pair.slip("no gradient of x through the candidate", ("dxh[:k] + dxrh[:k]", "dxh[:k]"),
          right="path", helpful="overwritten")
pair.slip("z and 1 - z exchanged for the candidate", ("dn = dh * z *", "dn = dh * (1 - z) *"), right="derivative")

# -- a gated linear unit: x (5, 7), halves of 3 ----------------------------------------------------------------------


def glu(x, W, b):
    both = x @ W + b
    a, s = both[:, :3], logistic(both[:, 3:])
    return a * s, {"x": x, "W": W, "a": a, "s": s}


def glu_backward(g, saved):
    x, W, a, s = (saved[name] for name in ("x", "W", "a", "s"))
    da = g * s
    ds = g * a * s * (1 - s)
    d = np.concatenate([da, ds], axis=1)
    return d @ W.T, x.T @ d, d.sum(axis=0)


pair = Pair("glu", "recurrent", glu, glu_backward, lambda draw: (draw(5, 7), draw(7, 6), draw(6)), ("x", "W", "b"))
pair.slip("halves exchanged", ("[da, ds]", "[ds, da]"), right="permuted, shifted")
pair.slip("halves interleaved", ("np.concatenate([da, ds], axis=1)", "np.stack([da, ds], axis=2).reshape(len(g), -1)"),
          right="permuted", helpful="lines, mask")
pair.slip("the gate's gradient without the value", ("g * a * s * (1 - s)", "g * s * (1 - s)"),
          right="derivative", helpful="lines, scale")
pair.slip("the value's gradient goes through the sigmoid as well", ("da = g * s", "da = g * s * (1 - s)"),
          right="derivative", helpful="lines")
pair.slip("the bias over the features", ("d.sum(axis=0)", "d.sum(axis=1)"), right="axis", helpful="shape, sum")

# -- a highway layer: x (5, 3) ---------------------------------------------------------------------------------------


def highway(x, Wh, Wt, bt):
    t, h = logistic(x @ Wt + bt), np.tanh(x @ Wh)
    return t * h + (1 - t) * x


def highway_backward(g, x, Wh, Wt, bt):
    t, h = logistic(x @ Wt + bt), np.tanh(x @ Wh)
    dt = g * (h - x) * t * (1 - t)
    dh = g * t * (1 - h**2)
    dWh = x.T @ dh
    dWt = x.T @ dt
    dbt = dt.sum(0)
    dx = g * (1 - t)
    dx = dx + dh @ Wh.T + dt @ Wt.T
    return dx, dWh, dWt, dbt


pair = Pair("highway", "recurrent", highway, highway_backward,
            lambda draw: (draw(5, 3), draw(3, 3), draw(3, 3), draw(3)), ("x", "Wh", "Wt", "bt"))
pair.slip("the carried x is forgotten in x", ("dx = dx + dh", "dx = dh"), right="path", helpful="overwritten")
pair.slip("the carried x is forgotten in the gate", ("g * (h - x) * t", "g * h * t"), right="path",
          helpful="overwritten")
pair.slip("Wt has the gradient of Wh", ("dWt = x.T @ dt", "dWt = x.T @ dh"), right="exchanged")
pair.slip("dWh transposed", ("dWh = x.T @ dh", "dWh = dh.T @ x"), right="transposed", helpful="product, permuted, mask")
pair.slip("the gate as if it were tanh", ("t * (1 - t)\n", "(1 - t**2)\n"), right="derivative")
pair.slip("dx made in the memory of g", ("dx = g * (1 - t)", "dx = g\n    dx *= 1 - t"), right="unchanged",
          helpful="repeat")
