"""Softmax: by the quotient rule dy_k/dx_l = y_k ([k = l] - y_l), where [k = l] is 1 if k = l, and 0 otherwise. So

    dx_l = sum_k g_k y_k ([k = l] - y_l) = g_l y_l - y_l sum_k g_k y_k = y_l (g_l - sum_k g_k y_k)

Forward subtracts each row's maximum m, as e^x_k / s = e^(x_k - m) / (s / e^m): no exponent is above 0, and one is 0.
"""

import numpy as np


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))            # at most 1, and its sum at least 1
    y = e / e.sum(-1, keepdims=True)
    return y, y


def softmax_backward(g, y):
    return y * (g - (g * y).sum(-1, keepdims=True))     # one number for each row is subtracted
