"""What the pages of this folder measure with: a backward in NumPy, held against differences and microtensor."""

import numpy as np

import microtensor as mt

STEP = np.finfo(np.float64).eps ** (1 / 3)  # the curve's error h^2 and the rounding's eps / h are equal here


def difference_gradient(f, x, g):
    """dL/dx of L = sum g f(x): for each element of x the sum of g (f(x + h) - f(x - h)) / 2h."""
    dx = np.empty_like(x)
    for i in np.ndindex(x.shape):
        above, below = x.copy(), x.copy()
        above[i] += STEP
        below[i] -= STEP
        dx[i] = np.sum(g * (f(above) - f(below))) / (above[i] - below[i])
    return dx


def compare(forward, backward, op, **inputs):
    """Print how far a NumPy backward is from differences, and how far microtensor's gradient is from it.

    Args:
        forward: the function, of the inputs as float64 arrays.
        backward: takes dL/dy and the inputs, and returns dL/d(input) for each of them.
        op: the same function, of the inputs as tensors.
        inputs: the arrays, by name.

    A distance is the largest difference of two elements, over the largest element.
    """
    x = {name: np.asarray(value, np.float64) for name, value in inputs.items()}
    tensors = [mt.from_numpy(value.copy()).requires_grad_() for value in x.values()]
    y = op(*tensors)
    g = np.asarray(np.random.default_rng(1).standard_normal(y.shape))
    y.backward(mt.from_numpy(g))
    print(f"{'':12} differences  microtensor")
    for (name, value), dx, tensor in zip(x.items(), backward(g, *x.values()), tensors, strict=True):
        numeric = difference_gradient(lambda changed, name=name: forward(*{**x, name: changed}.values()), value, g)
        label = f"d{name} {value.shape}"
        print(f"{label:12} {distance(dx, numeric):11.0e}  {distance(dx, tensor.grad.numpy()):11.0e}")


def distance(a, b):
    """The largest difference of two elements, over the largest element."""
    assert np.shape(a) == np.shape(b), f"gradients of shapes {np.shape(a)} and {np.shape(b)}"
    return np.max(np.abs(a - b)) / np.max(np.abs(b))
