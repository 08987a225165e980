"""The steps of linear."""

import numpy as np

from microtensor.learn.steps import Case, forward, gradient

LAYERS = (              # shapes of x, w and b
    ((5, 3), (3, 3), (3,)), ((3, 2), (5, 2), (5,)), ((1, 3), (5, 3), (5,)), ((7, 1), (1, 1), (1,)))
PRODUCTS = (            # shapes of a and b; in the third a has a size of 1 and b an axis less, in the fourth conversely
    ((2, 2, 2), (2, 2, 2)), ((2, 3), (3, 5)), ((3, 1, 2, 5), (2, 5, 1)), ((2, 1, 5), (3, 1, 5, 2)),
    ((2, 3, 5), (2, 5, 7)), ((2, 3, 5), (5, 7)), ((3, 5), (2, 5, 7)), ((1, 3, 5), (2, 5, 7)), ((2, 1), (1, 3)))


def check(answer, draw):
    layers = [[draw(*shape) for shape in shapes] for shapes in LAYERS]
    yield forward(answer, "linear", lambda x, w, b: x @ w.T + b,
                  *(Case(*layer, why=of(layer, "xwb")) for layer in layers),
                  step_name="forward linear")
    # The square ones come first: there a wrong transpose has the right shape, and a hint instead of an exception.
    for layer in layers[:2]:
        yield gradient(answer, "linear", "linear_backward", layer, ("x", "w", "b"), why=of(layer, "xwb"),
                       step_name="gradient linear")
    products = [[draw(*shape) for shape in shapes] for shapes in PRODUCTS]
    yield forward(answer, "matmul", np.matmul, *(Case(*product, why=of(product, "ab")) for product in products),
                  step_name="forward matmul")
    for product in products[:4]:
        yield gradient(answer, "matmul", "matmul_backward", product, ("a", "b"), why=of(product, "ab"),
                       step_name="gradient matmul")


def of(arrays, names):
    return "here the shapes are " + ", ".join(f"{name} {x.shape}" for name, x in zip(names, arrays, strict=True))
