"""With one-hot rows: y = mean(ln s - sum of q x); softmax in backward, from x."""

import numpy as np


def log_sum_exp(x):
    return np.logaddexp.reduce(x, axis=1)


def cross_entropy(x, t):
    one_hot = np.zeros_like(x)
    np.put_along_axis(one_hot, t[:, None], 1, axis=1)
    return np.average(log_sum_exp(x) - (one_hot * x).sum(1)), {"x": x, "one_hot": one_hot}


def cross_entropy_backward(g, saved):
    x = saved["x"]
    p = np.exp(x - log_sum_exp(x)[:, np.newaxis])
    return (p - saved["one_hot"]) * (g / x.shape[0])
