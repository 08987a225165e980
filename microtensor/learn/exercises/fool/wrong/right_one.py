# expect: step=fool ones
"""It is right."""


def fool_ones(g, y):
    return y * (g - (g * y).sum(1, keepdims=True))
