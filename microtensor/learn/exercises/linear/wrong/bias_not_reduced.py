# expect: step=gradient linear input=b hint=unreduced
# corpus: Linear: db = g
"""The bias gets g itself, with a row for each row of the batch."""

from microtensor.learn.given import unbroadcast


def linear(x, w, b):
    return x @ w.T + b, (x, w)


def linear_backward(g, saved):
    x, w = saved
    dx = g @ w              # (N, O) (O, I)
    dw = g.T @ x            # (O, N) (N, I)
    db = g
    return dx, dw, db


def matmul(a, b):
    return a @ b, (a, b)


def matmul_backward(g, saved):
    a, b = saved
    da = g @ b.swapaxes(-1, -2)         # (..., M, P) (..., P, K)
    db = a.swapaxes(-1, -2) @ g         # (..., K, M) (..., M, P)
    return unbroadcast(da, a.shape), unbroadcast(db, b.shape)
