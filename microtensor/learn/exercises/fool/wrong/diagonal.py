# expect: step=fool ones
"""Only the diagonal of the Jacobian: for g = 1 it is y (1 - y), and not 0."""


def fool_ones(g, y):
    return g * y * (1 - y)
