# expect: step=linear f
"""All elements are moved at once, as if y_i depended on x_i alone."""

import numpy as np

STEP = 6e-6


def numeric(f, x, g, h):
    return np.array(g * (f(x + h) - f(x - h)) / (2 * h))
