"""Dropout: y_i = m_i x_i, where m_i is 1 / (1 - p) with probability 1 - p, and else 0. So E[m_i] = 1, and E[y_i] = x_i.

Once m is drawn it is a constant: dy_i/dx_i = m_i, and dx = g m with the m of the forward pass.
"""

import numpy as np


def dropout(x, p, training, rng):
    m = np.ones(x.shape)
    if training:
        m = (rng.random(x.shape) >= p) / (1 - p)        # True with probability 1 - p
    return x * m, m


def dropout_backward(g, m):
    return g * m
