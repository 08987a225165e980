"""Contractions: shared matrices, quadratic and bilinear forms, heads, factors of a tensor, traces, linear attention."""

import numpy as np

from microtensor.learn.corpus.pair import Pair

HEADS = 3

# -- product with a shared matrix: x (3, 2, 5), weight (5, 7), bias (2, 7) for each place ------------------------------


def shared_product(x, weight, bias):
    return np.einsum("btj,jk->btk", x, weight) + bias


def shared_product_backward(g, x, weight, bias):
    dx = np.einsum("btk,jk->btj", g, weight)
    d_weight = np.einsum("btj,btk->jk", x, g)
    d_bias = np.einsum("btk->tk", g)
    return dx, d_weight, d_bias


pair = Pair("product with a shared matrix", "einsum", shared_product, shared_product_backward,
            lambda draw: (draw(3, 2, 5), draw(5, 7), draw(2, 7)), ("x", "weight", "bias"))
pair.slip("a weight for each of the batch", ('"btj,btk->jk"', '"btj,btk->bjk"'), right="unreduced, shape",
          helpful="axis")
pair.slip("last of the batch alone", ('np.einsum("btj,btk->jk", x, g)', "x[-1].T @ g[-1]"),
          right="overwritten", helpful="path, other upstream, unreduced")
pair.slip("mean over the batch", ('x, g)', 'x, g) / len(x)'), right="size", helpful="factor")
pair.slip("weight reshaped, not transposed", ('np.einsum("btk,jk->btj", g, weight)', "g @ weight.reshape(7, 5)"),
          right="product")
pair.slip("bias summed over places too", ('"btk->tk"', '"btk->k"'), right="axis, shape")

# -- quadratic form: x (7, 3), a (3, 3) -------------------------------------------------------------------------------


def quadratic_form(x, a):
    return np.einsum("bi,ij,bj->b", x, a, x)


def quadratic_form_backward(g, x, a):
    dx = g[:, None] * (x @ a + x @ a.T)
    da = np.einsum("b,bi,bj->ij", g, x, x)
    return dx, da


pair = Pair("quadratic form", "einsum", quadratic_form, quadratic_form_backward, lambda draw: (draw(7, 3), draw(3, 3)),
            ("x", "a"))
pair.slip("as if a were symmetric", ("(x @ a + x @ a.T)", "(2 * x @ a)"), right="product, path")
pair.slip("one of the two places of x", ("(x @ a + x @ a.T)", "(x @ a.T)"), right="path", helpful="overwritten")
pair.slip("a without the upstream gradient", ('np.einsum("b,bi,bj->ij", g, x, x)', "x.T @ x"), right="upstream",
          helpful="nonlinear, other upstream")
pair.slip("half, as of x' a x / 2", ("dx = g[:, None]", "dx = 0.5 * g[:, None]"), right="two", helpful="factor")
pair.slip("x in single precision", ("g, x, x)", "g, x.astype(np.float32), x.astype(np.float32))"), right="precision")

# -- bilinear layer: x (3, 5), weight (2, 5, 7), z (3, 7) -------------------------------------------------------------


def bilinear(x, weight, z):
    return np.einsum("bi,oij,bj->bo", x, weight, z)


def bilinear_backward(g, x, weight, z):
    dx = np.einsum("bo,oij,bj->bi", g, weight, z)
    d_weight = np.einsum("bo,bi,bj->oij", g, x, z)
    dz = np.einsum("bo,oij,bi->bj", g, weight, x)
    return dx, d_weight, dz


pair = Pair("bilinear layer", "einsum", bilinear, bilinear_backward,
            lambda draw: (draw(3, 5), draw(2, 5, 7), draw(3, 7)), ("x", "weight", "z"))
pair.slip("x without z", ('"bo,oij,bj->bi", g, weight, z', '"bo,oij->bi", g, weight'), right="sum",
          helpful="product, scale")
pair.slip("upstream gradient summed over outputs", ('"bo,oij,bj->bi", g, weight', '"b,oij,bj->bi", g.sum(1), weight'),
          right="other upstream", helpful="axis")
pair.slip("x and z exchanged", ("return dx, d_weight, dz", "return dz, d_weight, dx"), right="exchanged, shape")
pair.slip("weight averaged over the batch", ("g, x, z)", "g / len(g), x, z)"), right="size", helpful="factor")
pair.slip("first output alone", ('"bo,oij,bi->bj", g, weight, x', '"b,ij,bi->bj", g[:, 0], weight[0], x'),
          right="path, overwritten", helpful="other upstream, unreduced")
pair.slip("weight without the upstream gradient", ("g, x, z)", "np.ones_like(g), x, z)"), right="upstream",
          helpful="nonlinear, other upstream")

# -- split into heads, scaled: x (2, 5, 21) to (2, 3, 5, 7) -----------------------------------------------------------


def split_heads(x):
    batch, length, width = x.shape
    heads = x.reshape(batch, length, HEADS, width // HEADS).transpose(0, 2, 1, 3)
    return heads / np.sqrt(width // HEADS)


def split_heads_backward(g, x):
    g = g / np.sqrt(g.shape[-1])
    return g.transpose(0, 2, 1, 3).reshape(x.shape)


pair = Pair("split into heads", "einsum", split_heads, split_heads_backward, lambda draw: (draw(2, 5, 21),), ("x",))
pair.slip("not transposed back", ("g.transpose(0, 2, 1, 3).reshape", "g.reshape"),
          right="permuted", helpful="transposed, other upstream")
pair.slip("scale forgotten", ("    g = g / np.sqrt(g.shape[-1])\n", ""), right="constant", helpful="scale, factor")
pair.slip("root of the whole width", ("np.sqrt(g.shape[-1])", "np.sqrt(x.shape[-1])"),
          right="constant", helpful="factor")
pair.slip("features before heads", ("g.transpose(0, 2, 1, 3)", "g.transpose(0, 2, 3, 1)"),
          right="permuted", helpful="transposed, other upstream")
pair.slip("upstream gradient scaled in place", ("g = g / np", "g /= np"), right="unchanged", helpful="repeat")

# -- a tensor from its factors: strength (2,), a (3, 2), b (5, 2), c (7, 2) -------------------------------------------


def tensor_of_factors(strength, a, b, c):
    return np.einsum("r,ir,jr,kr->ijk", strength, a, b, c)


def tensor_of_factors_backward(g, strength, a, b, c):
    along_a = np.einsum("ijk,jr,kr->ir", g, b, c)
    d_strength = (along_a * a).sum(0)
    da = along_a * strength
    db = np.einsum("ijk,ir,kr->jr", g, a, c) * strength
    dc = np.einsum("ijk,ir,jr->kr", g, a, b) * strength
    return d_strength, da, db, dc


pair = Pair("tensor from its factors", "einsum", tensor_of_factors, tensor_of_factors_backward,
            lambda draw: (draw.nonzero(2), draw(3, 2), draw(5, 2), draw(7, 2)), ("strength", "a", "b", "c"))
pair.slip("a without the strength", ("da = along_a * strength", "da = along_a"), right="power", helpful="column, scale")
pair.slip("strength summed over ranks too", ("(along_a * a).sum(0)", "(along_a * a).sum()"), right="axis, shape",
          helpful="sum")
pair.slip("c without b", ('"ijk,ir,jr->kr", g, a, b', '"ijk,ir->kr", g, a'), right="sum", helpful="product, scale")
pair.slip("strength contains itself", ("(along_a * a).sum(0)", "(along_a * a * strength).sum(0)"),
          right="power", helpful="scale")
pair.slip("b averaged over the rows of c", ("g, a, c) * strength", "g, a, c) * strength / len(c)"),
          right="size", helpful="factor")

# -- trace of a product: a (5, 2, 3), b (5, 3, 2) ---------------------------------------------------------------------


def trace_of_product(a, b):
    return np.trace(a @ b, axis1=1, axis2=2)


def trace_of_product_backward(g, a, b):
    g = g.reshape(-1, 1, 1)
    da = g * np.transpose(b, (0, 2, 1))
    db = g * np.transpose(a, (0, 2, 1))
    return da, db


pair = Pair("trace of a product", "einsum", trace_of_product, trace_of_product_backward,
            lambda draw: (draw(5, 2, 3), draw(5, 3, 2)), ("a", "b"))
pair.slip("reshaped, not transposed", ("np.transpose(b, (0, 2, 1))", "b.reshape(a.shape)"),
          right="permuted", helpful="transposed")
pair.slip("not transposed", ("np.transpose(b, (0, 2, 1))", "b"), right="transposed, shape", helpful="permuted")
pair.slip("a itself", ("np.transpose(b, (0, 2, 1))", "a"), right="exchanged")
pair.slip("upstream gradient summed", ("g * np.transpose(b", "g.sum() * np.transpose(b"), right="other upstream",
          helpful="column, axis")
pair.slip("mean over the batch", ("g = g.reshape(-1, 1, 1)", "g = g.reshape(-1, 1, 1) / len(a)"),
          right="size", helpful="factor")

# -- linear attention: q, k (2, 5, 3), v (2, 5, 7) --------------------------------------------------------------------


def linear_attention(q, k, v):
    memory = np.einsum("bnd,bne->bde", k, v) / k.shape[1]
    return np.einsum("bnd,bde->bne", q, memory), (q, k, v, memory)


def linear_attention_backward(g, saved):
    q, k, v, memory = saved
    dq = np.einsum("bne,bde->bnd", g, memory)
    d_memory = np.einsum("bnd,bne->bde", q, g) / k.shape[1]
    dk = np.einsum("bde,bne->bnd", d_memory, v)
    dv = np.einsum("bde,bnd->bne", d_memory, k)
    return dq, dk, dv


pair = Pair("linear attention", "einsum", linear_attention, linear_attention_backward,
            lambda draw: (draw(2, 5, 3), draw(2, 5, 3), draw(2, 5, 7)), ("q", "k", "v"))
pair.slip("length forgotten", (" / k.shape[1]", ""), right="size", helpful="factor, scale")
pair.slip("queries for keys", ("d_memory, k)", "d_memory, q)"), right="product")
pair.slip("keys for queries", ('"bnd,bne->bde", q, g', '"bnd,bne->bde", k, g'), right="product")
pair.slip("memory shared by the batch", ('np.einsum("bnd,bne->bde", q, g)', 'np.einsum("bnd,bne->de", q, g)[None]'),
          right="axis", helpful="other upstream")
pair.slip("query's gradient from the keys'", ("return dq, dk", "return dk, dk"), right="exchanged")
