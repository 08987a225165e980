# expect: step=gradient matmul hint=unreduced
"""Missing axes are summed, and axes of size 1 are not."""


def linear(x, w, b):
    return x @ w.T + b, (x, w)


def linear_backward(g, saved):
    x, w = saved
    dx = g @ w              # (N, O) (O, I)
    dw = g.T @ x            # (O, N) (N, I)
    db = g.sum(0)           # over the N rows, which b was repeated for
    return dx, dw, db


def matmul(a, b):
    return a @ b, (a, b)


def matmul_backward(g, saved):
    a, b = saved
    da = g @ b.swapaxes(-1, -2)         # (..., M, P) (..., P, K)
    db = a.swapaxes(-1, -2) @ g         # (..., K, M) (..., M, P)
    while da.ndim > a.ndim:
        da = da.sum(0)
    while db.ndim > b.ndim:
        db = db.sum(0)
    return da, db
