# expect: step=gradient matmul input=a hint=product
# corpus: Matmul: .T on three dimensions
""".T reverses all three axes, and not only the last two."""

from microtensor.learn.given import unbroadcast


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
    da = g @ b.T
    db = a.T @ g
    return unbroadcast(da, a.shape), unbroadcast(db, b.shape)
