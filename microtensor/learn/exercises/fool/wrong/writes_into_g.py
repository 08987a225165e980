# expect: step=fool ones input=x hint=unchanged
"""The numbers are right, but g is written into."""


def fool_ones(g, y):
    dx = y * (g - (g * y).sum(1, keepdims=True))
    g[...] = 0
    return dx
