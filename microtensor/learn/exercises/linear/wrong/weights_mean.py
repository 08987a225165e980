# expect: step=gradient linear input=w hint=size
"""dw is divided by the size of the batch, as if the loss were a mean."""

from microtensor.learn.given import unbroadcast


def linear(x, w, b):
    return x @ w.T + b, (x, w)


def linear_backward(g, saved):
    x, w = saved
    dx = g @ w              # (N, O) (O, I)
    dw = g.T @ x / len(x)
    db = g.sum(0)           # over the N rows, which b was repeated for
    return dx, dw, db


def matmul(a, b):
    return a @ b, (a, b)


def matmul_backward(g, saved):
    a, b = saved
    da = g @ b.swapaxes(-1, -2)         # (..., M, P) (..., P, K)
    db = a.swapaxes(-1, -2) @ g         # (..., K, M) (..., M, P)
    return unbroadcast(da, a.shape), unbroadcast(db, b.shape)
