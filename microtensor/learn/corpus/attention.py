"""Attention: scores, softmax, values, and what is different in its kinds."""

# ruff: noqa: N803, N806 -- weights are named as in papers

import numpy as np

from microtensor.learn.corpus.pair import Pair


def softmax_rows(s):
    e = np.exp(s - s.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


# -- scaled dot-product attention: q (3, 5), k (7, 5), v (7, 2) ------------------------------------------------------


def attend(q, k, v):
    p = softmax_rows(q @ k.T / np.sqrt(q.shape[1]))
    return p @ v, (q, k, v, p)


def attend_backward(g, saved):
    q, k, v, p = saved
    dv = p.T @ g
    dp = g @ v.T
    ds = p * (dp - (dp * p).sum(1, keepdims=True))
    ds = ds / np.sqrt(q.shape[1])
    return ds @ k, ds.T @ q, dv


pair = Pair("scaled dot-product attention", "attention", attend, attend_backward,
            lambda draw: (draw(3, 5), draw(7, 5), draw(7, 2)), ("q", "k", "v"))
pair.slip("no 1/sqrt(d)", ("    ds = ds / np.sqrt(q.shape[1])\n", ""), right="constant", helpful="factor, scale")
pair.slip("divided by d", ("ds / np.sqrt(q.shape[1])", "ds / q.shape[1]"), right="constant", helpful="factor, scale")
pair.slip("softmax without its second term", ("(dp - (dp * p).sum(1, keepdims=True))", "dp"),
          right="projection", helpful="path")
pair.slip("softmax with the diagonal alone", ("(dp - (dp * p).sum(1, keepdims=True))", "(1 - p) * dp"),
          right="diagonal", helpful="path")
pair.slip("softmax over the queries", ("(dp * p).sum(1,", "(dp * p).sum(0,"), right="axis", helpful="projection, mask")
pair.slip("the saved probabilities are overwritten",
          ("ds = p * (dp - (dp * p).sum(1, keepdims=True))", "p *= dp - (dp * p).sum(1, keepdims=True)\n    ds = p"),
          right="repeat", helpful="unchanged")

# -- causal self-attention: x (5, 3), projections to 2, 2 and 7 ------------------------------------------------------


def causal_attention(x, Wq, Wk, Wv):
    q, k, v = x @ Wq, x @ Wk, x @ Wv
    allowed = np.tril(np.ones((len(x), len(x)))) == 1
    return softmax_rows(np.where(allowed, q @ k.T / np.sqrt(2), -np.inf)) @ v


def causal_attention_backward(g, x, Wq, Wk, Wv):
    q, k, v = x @ Wq, x @ Wk, x @ Wv
    allowed = np.tril(np.ones((len(x), len(x)))) == 1
    p = softmax_rows(np.where(allowed, q @ k.T / np.sqrt(2), -np.inf))
    dp = g @ v.T
    ds = p * (dp - np.sum(dp * p, axis=1, keepdims=True)) / np.sqrt(2)
    dq = ds @ k
    dk = ds.T @ q
    dv = p.T @ g
    dx = dq @ Wq.T
    dx += dk @ Wk.T
    dx += dv @ Wv.T
    return dx, x.T @ dq, x.T @ dk, x.T @ dv


pair = Pair("causal self-attention", "attention", causal_attention, causal_attention_backward,
            lambda draw: (draw(5, 3), draw(3, 2), draw(3, 2), draw(3, 7)), ("x", "Wq", "Wk", "Wv"))
pair.slip("dx through the values alone", ("dx += dv", "dx = dv"), right="overwritten", helpful="path")
pair.slip("dx without the keys", ("    dx += dk @ Wk.T\n", ""), right="path", helpful="overwritten")
pair.slip("no mask on the way back", ("np.where(allowed, q @ k.T / np.sqrt(2), -np.inf)", "q @ k.T / np.sqrt(2)"),
          right="mask")
pair.slip("the mask keeps the future", ("dq = ds @ k", "ds = np.triu(ds)\n    dq = ds @ k"),
          right="mask", helpful="path")
pair.slip("scores not transposed for the keys", ("dk = ds.T @ q", "dk = ds @ q"), right="product")
pair.slip("gradients of Wq and Wk exchanged", ("x.T @ dq, x.T @ dk", "x.T @ dk, x.T @ dq"), right="exchanged")

# -- multi-head attention: x (5, 2), 3 heads of 2, an output of 7 ----------------------------------------------------

HEADS = 3


def multi_head(x, Wqkv, Wo):
    steps, width = len(x), Wo.shape[0]
    q, k, v = (part.reshape(steps, HEADS, -1).transpose(1, 0, 2) for part in np.split(x @ Wqkv, 3, axis=1))
    p = softmax_rows(q @ k.transpose(0, 2, 1) / np.sqrt(width // HEADS))
    z = (p @ v).transpose(1, 0, 2).reshape(steps, width)
    return z @ Wo, (x, Wqkv, Wo, q, k, v, p, z)


def multi_head_backward(g, saved):
    x, Wqkv, Wo, q, k, v, p, z = saved
    steps, width = z.shape
    dWo = z.T @ g
    dz = (g @ Wo.T).reshape(steps, HEADS, -1).transpose(1, 0, 2)
    dv = p.transpose(0, 2, 1) @ dz
    dp = dz @ v.transpose(0, 2, 1)
    ds = p * (dp - (dp * p).sum(-1, keepdims=True)) / np.sqrt(width // HEADS)
    dq = ds @ k
    dk = ds.transpose(0, 2, 1) @ q
    d = np.hstack([part.transpose(1, 0, 2).reshape(steps, width) for part in (dq, dk, dv)])
    return d @ Wqkv.T, x.T @ d, dWo


pair = Pair("multi-head attention", "attention", multi_head, multi_head_backward,
            lambda draw: (draw(5, 2), draw(2, 18), draw(6, 7)), ("x", "Wqkv", "Wo"))
pair.slip("heads split without a transpose", ("reshape(steps, HEADS, -1).transpose(1, 0, 2)\n",
                                              "reshape(HEADS, steps, -1)\n"),
          right="other upstream", helpful="permuted, mask")
pair.slip("scaled by the whole width", ("/ np.sqrt(width // HEADS)", "/ np.sqrt(width)"),
          right="constant", helpful="lines, scale, column")
pair.slip("parts stacked in another order", ("(dq, dk, dv)]", "(dq, dv, dk)]"), right="permuted", helpful="lines")
pair.slip("keys by the scores not transposed", ("dk = ds.transpose(0, 2, 1) @ q", "dk = ds @ q"),
          right="product", helpful="lines")
pair.slip("softmax over the queries", ("(dp * p).sum(-1,", "(dp * p).sum(-2,"), right="axis", helpful="lines")
pair.slip("dWo from values before attention", ("dWo = z.T", "dWo = v.transpose(1, 0, 2).reshape(steps, width).T"),
          right="derivative", helpful="scale")

# -- additive attention: a query (3,), keys (7, 5) that are the values too -------------------------------------------


def additive_attention(query, keys, Wq, Wk, v):
    u = np.tanh(keys @ Wk.T + Wq @ query)
    p = softmax_rows(u @ v)
    return p @ keys, (query, keys, Wq, Wk, v, u, p)


def additive_attention_backward(g, saved):
    query, keys, Wq, Wk, v, u, p = saved
    dkeys = np.outer(p, g)
    dp = keys @ g
    ds = p * (dp - p @ dp)
    dquery, dWq, dWk, dv = np.zeros_like(query), np.zeros_like(Wq), np.zeros_like(Wk), np.zeros_like(v)
    for j in range(len(keys)):
        dv += ds[j] * u[j]
        da = ds[j] * v * (1 - u[j] ** 2)
        dquery += Wq.T @ da
        dWq += np.outer(da, query)
        dWk += np.outer(da, keys[j])
        dkeys[j] += Wk.T @ da
    return dquery, dkeys, dWq, dWk, dv


pair = Pair("additive attention", "attention", additive_attention, additive_attention_backward,
            lambda draw: (draw(3), draw(7, 5), draw(2, 3), draw(2, 5), draw(2)), ("query", "keys", "Wq", "Wk", "v"))
pair.slip("keys only where they are scored", ("dkeys[j] += Wk", "dkeys[j] = Wk"), right="overwritten", helpful="path")
pair.slip("keys only where they are values", ("        dkeys[j] += Wk.T @ da\n", ""),
          right="path", helpful="overwritten")
pair.slip("dWq of the last key alone", ("dWq += np", "dWq = np"), right="overwritten",
          helpful="path, column, unreduced")
pair.slip("dv from the upstream of the softmax", ("dv += ds[j] * u[j]", "dv += dp[j] * u[j]"),
          right="sum", helpful="derivative")
pair.slip("v forgotten", ("ds[j] * v * (1", "ds[j] * (1"), right="scale", helpful="column, power, sum")
pair.slip("the derivative of tanh at tanh", ("(1 - u[j] ** 2)", "(1 - np.tanh(u[j]) ** 2)"),
          right="derivative", helpful="column, sum")

# -- cosine attention: q (3, 5), k (7, 5), v (7, 2), a learned scale -------------------------------------------------


def cosine_attention(q, k, v, scale):
    nq, nk = np.linalg.norm(q, axis=1, keepdims=True), np.linalg.norm(k, axis=1, keepdims=True)
    cos = (q / nq) @ (k / nk).T
    p = softmax_rows(scale * cos)
    return p @ v, (q / nq, k / nk, nq, nk, v, scale, cos, p)


def cosine_attention_backward(g, saved):
    qn, kn, nq, nk, v, scale, cos, p = saved
    dv = p.T @ g
    dp = g @ v.T
    ds = p * (dp - (dp * p).sum(1, keepdims=True))
    dscale = (ds * cos).sum()
    dcos = ds * scale
    dqn = dcos @ kn
    dkn = dcos.T @ qn
    dq = (dqn - qn * (dqn * qn).sum(1, keepdims=True)) / nq
    dk = (dkn - kn * (dkn * kn).sum(1, keepdims=True)) / nk
    return dq, dk, dv, dscale


pair = Pair("cosine attention", "attention", cosine_attention, cosine_attention_backward,
            lambda draw: (draw(3, 5), draw(7, 5), draw(7, 2), 1 + draw.positive()), ("q", "k", "v", "scale"))
pair.slip("the norm of q as a constant", ("(dqn - qn * (dqn * qn).sum(1, keepdims=True))", "dqn"),
          right="projection", helpful="decay, path, variance, statistics")
pair.slip("not divided by the norm of k", (".sum(1, keepdims=True)) / nk", ".sum(1, keepdims=True))"),
          right="column", helpful="scale")
pair.slip("the scale forgotten", ("dcos = ds * scale", "dcos = ds"), right="scale", helpful="factor, power")
pair.slip("the scale's gradient from the scaled scores", ("(ds * cos).sum()", "(ds * scale * cos).sum()"),
          right="power", helpful="scale, factor")
pair.slip("the scale's gradient averaged", ("(ds * cos).sum()", "(ds * cos).mean()"), right="size", helpful="factor")
pair.slip("the norm of q over the queries", ("(dqn * qn).sum(1,", "(dqn * qn).sum(0,"),
          right="axis", helpful="mask, projection")

# -- linear attention with elu + 1: q (3, 5), k (7, 5), v (7, 2) -----------------------------------------------------


def elu_plus_one(x):
    return np.where(x > 0, x + 1, np.exp(np.minimum(x, 0)))


def linear_attention(q, k, v):
    fq, fk = elu_plus_one(q), elu_plus_one(k)
    return fq @ (fk.T @ v) / (fq @ fk.sum(0))[:, None]


def linear_attention_backward(g, q, k, v):
    fq, fk = elu_plus_one(q), elu_plus_one(k)
    kv, z = fk.T @ v, fk.sum(0)
    den = (fq @ z)[:, None]
    y = fq @ kv / den
    dnum = g / den
    dden = -(dnum * y).sum(1, keepdims=True)
    dfq = dnum @ kv.T + dden * z
    dkv = fq.T @ dnum
    dz = (dden * fq).sum(0)
    dfk = v @ dkv.T + dz
    dq = dfq * np.where(q > 0, 1, np.exp(q))
    dk = dfk * np.where(k > 0, 1, np.exp(k))
    return dq, dk, fk @ dkv


pair = Pair("linear attention", "attention", linear_attention, linear_attention_backward,
            lambda draw: (draw.nonzero(3, 5), draw.nonzero(7, 5), draw(7, 2)), ("q", "k", "v"))
pair.slip("the denominator as a constant for the keys", ("v @ dkv.T + dz", "v @ dkv.T"), right="path",
          helpful="overwritten")
pair.slip("the denominator's sign", ("dden = -(dnum", "dden = (dnum"), right="path")
pair.slip("exp on both sides in q", ("np.where(q > 0, 1, np.exp(q))", "np.exp(q)"),
          right="side, derivative")
pair.slip("a mask of relu in k", ("np.where(k > 0, 1, np.exp(k))", "(k > 0)"),
          right="mask, side", helpful="derivative, sides")
pair.slip("not divided by the denominator", ("dnum = g / den", "dnum = g"), right="column",
          helpful="other upstream, scale")
pair.slip("the denominator's share averaged over the queries", ("(dden * fq).sum(0)", "(dden * fq).mean(0)"),
          right="size", helpful="path")

# -- softmax with a temperature: x (5, 7), T a number ----------------------------------------------------------------


def tempered(x, T):
    return softmax_rows(x / T)


def tempered_backward(g, x, T):
    y = softmax_rows(x / T)
    d = y * (g - np.sum(g * y, axis=1, keepdims=True))
    return d / T, -np.sum(d * x) / T**2


pair = Pair("softmax with temperature", "attention", tempered, tempered_backward,
            lambda draw: (draw(5, 7), 1.2 + draw.positive()), ("x", "T"))
pair.slip("no 1/T in x", ("return d / T,", "return d,"), right="scale", helpful="power, factor")
pair.slip("T without its minus", ("-np.sum(d * x)", "np.sum(d * x)"), right="sign", helpful="factor")
pair.slip("T divided once", ("/ T**2", "/ T"), right="power", helpful="factor, scale")
pair.slip("a mean for the sum in the second term", ("np.sum(g * y, axis=1", "np.mean(g * y, axis=1"),
          right="projection, size")
pair.slip("1 - y in the place of the sum", ("(g - np.sum(g * y, axis=1, keepdims=True))", "g * (1 - y)"),
          right="diagonal", helpful="derivative, mask, path")
pair.slip("y taken without the temperature", ("y = softmax_rows(x / T)", "y = softmax_rows(x)"), right="derivative")
