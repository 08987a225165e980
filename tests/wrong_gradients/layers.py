"""Linear layers, broadcasting, reductions, products: y = x w + b with x (N, D), w (D, M)."""

import numpy as np

from wrong_gradients.entry import wrong

NAMES = ("x", "w", "b")


def linear(x, w, b):
    return x @ w + b


def linear_case(backward):
    return lambda draw: (linear, backward, [draw(5, 3), draw(3, 7), draw(7)], NAMES)


wrong("Linear: dW = g'x (layout)", "transposed")(linear_case(
    lambda g, x, w, b: (g @ w.T, g.T @ x, g.sum(0))))

wrong("Linear: db = g", "unreduced")(linear_case(
    lambda g, x, w, b: (g @ w.T, x.T @ g, g)))

wrong("Linear: db = mean(g)", "size")(linear_case(
    lambda g, x, w, b: (g @ w.T, x.T @ g, g.mean(0))))


@wrong("Linear: dX = g w (no transpose)", "product")
def linear_without_transpose(draw):
    def backward(g, x, w, b):
        return g @ w, x.T @ g, g.sum(0)

    return linear, backward, [draw(5, 3), draw(3, 3), draw(3)], NAMES


@wrong("Linear with a mean loss: dW divided by N twice", "size")
def linear_divided_twice(draw):
    def forward(x, w):
        return np.asarray(np.mean(np.sum((x @ w) ** 2, 1)))

    def backward(g, x, w):
        dy = g * 2 * (x @ w) / len(x)
        return dy @ w.T, x.T @ dy / len(x)

    return forward, backward, [draw(5, 3), draw(3, 7)], ("x", "w")


@wrong("Shared w: dW = instead of +=", "overwritten")
def shared_weights(draw):
    def forward(a, b, w):
        return np.stack([a @ w, b @ w])

    def backward(g, a, b, w):
        gradients = {}
        gradients["w"] = a.T @ g[0]
        gradients["w"] = b.T @ g[1]
        return g[0] @ w.T, g[1] @ w.T, gradients["w"]

    return forward, backward, [draw(5, 3), draw(5, 3), draw(3, 7)], ("a", "b", "w")


@wrong("Embedding: dx[index] += g with repeats", "overwritten")
def embedding(draw):
    index = np.array([0, 2, 2, 1, 0, 2])

    def forward(x):
        return x[index]

    def backward(g, x):
        dx = np.zeros_like(x)
        dx[index] += g
        return dx

    return forward, backward, [draw(5, 3)], ("x",)


# -- broadcasting ----------------------------------------------------------------------------------------------


@wrong("Broadcast add: gradient not reduced", "unreduced")
def add_not_reduced(draw):
    return (lambda a, b: a + b), (lambda g, a, b: (g, g)), [draw(3, 5), draw(5)], ("a", "b")


@wrong("Broadcast add: only leading axes reduced", "unreduced")
def add_leading_axes(draw):
    def backward(g, a, b):
        db = g
        while db.ndim > b.ndim:
            db = db.sum(0)
        return g, db

    return (lambda a, b: a + b), backward, [draw(2, 3, 5), draw(3, 1)], ("a", "b")


@wrong("Sub: +g for b", "sign")
def sub_sign(draw):
    return (lambda a, b: a - b), (lambda g, a, b: (g, g)), [draw(3, 5), draw(3, 5)], ("a", "b")


@wrong("Div: -g a/b for -g a/b^2", "power")
def div_square(draw):
    return (lambda a, b: a / b), (lambda g, a, b: (g / b, -g * a / b)), [draw(3, 5), draw.positive(3, 5)], ("a", "b")


@wrong("Mean(axis): divided by the size of all", "size")
def mean_of_all(draw):
    def backward(g, x):
        return np.repeat(g[:, None], x.shape[1], 1) / x.size

    return (lambda x: x.mean(1)), backward, [draw(3, 5)], ("x",)


@wrong("Sum(axis): gradient not expanded", "unexpanded")
def sum_not_expanded(draw):
    return (lambda x: x.sum(1)), (lambda g, x: g), [draw(3, 5)], ("x",)


@wrong("Max: all of g to each tie", "ties")
def max_ties(draw):
    x = draw.distinct(3, 5)
    x[:, 1] = x[:, 3] = x.max(1) + 0.5

    def backward(g, x):
        return (x == x.max(1, keepdims=True)) * g[:, None]

    return (lambda x: x.max(1)), backward, [x], ("x",)


# -- products --------------------------------------------------------------------------------------------------


@wrong("Matmul: .T on three dimensions", "product", "transposed")
def matmul_transposed(draw):
    def backward(g, a, b):
        return g @ b.T, a.T @ g

    return np.matmul, backward, [draw(3, 3, 3), draw(3, 3, 3)], ("a", "b")


@wrong("Matmul: no sum over broadcast batches", "unreduced")
def matmul_batches(draw):
    def backward(g, a, b):
        return g @ b.T, a.swapaxes(1, 2) @ g

    return np.matmul, backward, [draw(2, 3, 5), draw(5, 7)], ("a", "b")
