"""By einsum, which sums over every letter that the result lacks; div as a product with 1/b."""

import numpy as np

LETTERS = "abcdefgh"


def unbroadcast(g, shape):
    letters = LETTERS[: g.ndim]
    kept = [letter for letter, size in zip(letters[g.ndim - len(shape):], shape, strict=True) if size > 1]
    return np.einsum(f"{letters}->{''.join(kept)}", g).reshape(shape)


def add(a, b):
    return a + b, (a, b)


def add_backward(g, saved):
    a, b = saved
    return {"a": unbroadcast(g, a.shape), "b": unbroadcast(g, b.shape)}


def sub(a, b):
    return a - b, (a, b)


def sub_backward(g, saved):
    a, b = saved
    return {"a": unbroadcast(g, a.shape), "b": unbroadcast(-1.0 * g, b.shape)}


def div(a, b):
    return a / b, (a, b)


def div_backward(g, saved):
    a, b = saved
    inverse = 1 / b
    return {"a": unbroadcast(g * inverse, a.shape), "b": unbroadcast(-g * a * inverse * inverse, b.shape)}
