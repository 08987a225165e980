"""Linear layer and matrix product.

y_no = sum_i x_ni w_oi + b_o:  dx_ni = sum_o g_no w_oi,  dw_oi = sum_n g_no x_ni,  db_o = sum_n g_no
y_mp = sum_k a_mk b_kp:        da_mk = sum_p g_mp b_kp,  db_kp = sum_m a_mk g_mp
"""

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
    da = g @ b.swapaxes(-1, -2)         # (..., M, P) (..., P, K)
    db = a.swapaxes(-1, -2) @ g         # (..., K, M) (..., M, P)
    return unbroadcast(da, a.shape), unbroadcast(db, b.shape)
