# expect: step=gradient linear input=w hint=transposed
# corpus: Linear: dW = g'x (layout)
"""x'g for g'x: the gradient of w' in place of that of w."""

from microtensor.learn.given import unbroadcast


def linear(x, w, b):
    return x @ w.T + b, (x, w)


def linear_backward(g, saved):
    x, w = saved
    dx = g @ w              # (N, O) (O, I)
    dw = x.T @ g
    db = g.sum(0)           # over the N rows, which b was repeated for
    return dx, dw, db


def matmul(a, b):
    return a @ b, (a, b)


def matmul_backward(g, saved):
    a, b = saved
    da = g @ b.swapaxes(-1, -2)         # (..., M, P) (..., P, K)
    db = a.swapaxes(-1, -2) @ g         # (..., K, M) (..., M, P)
    return unbroadcast(da, a.shape), unbroadcast(db, b.shape)
