"""Linear layer and matrix product.                           about 40 minutes

In both parts g is the upstream gradient dL/dy: the derivative of a number L, the loss, with respect to every
element of the output y. It has the shape of y. Backward is called with g and with `saved`, whatever forward
returned for it: an array, or a tuple of anything. Its results have the shapes of the inputs: dx = dL/dx has the
shape of x, and so on.

1. The linear layer.

    linear(x, w, b) -> (y, saved)                   y = x w' + b
    linear_backward(g, saved) -> (dx, dw, db)       y_no = (sum over i of x_ni w_oi) + b_o

    x   (N, I)      a batch: N rows of I inputs
    w   (O, I)      the weights, a row for each output; w' is w transposed, of shape (I, O)
    b   (O,)        the bias, which is added to every row
    y   (N, O)      N rows of O outputs

Every element of w and b enters all N rows of y. Nothing is divided by N: if the loss is a mean over the batch,
then its 1/N is already in g.

2. The matrix product, also of many matrices at once.

    matmul(a, b) -> (y, saved)                      y = a @ b
    matmul_backward(g, saved) -> (da, db)

    a   (..., M, K)         at least two axes
    b   (..., K, P)         at least two axes
    y   (..., M, P)         y_mp = sum over k of a_mk b_kp for each pair of matrices

The last two axes are those of the matrices. The axes in front of them, written as "...", number the matrices.
They may be missing, and they may differ between a and b, which are then repeated as in a + b: for a (2, 3, 5) and
b (5, 7) both matrices of a are multiplied by the same b, and y has the shape (2, 3, 7). So b has one gradient
from two products.

You need not write again what sums over repetitions: the function unbroadcast is given. For a g of any shape and
the shape of an array that NumPy would repeat to the shape of g, unbroadcast(g, shape) is g, summed along all axes
of that repetition; the result has the given shape. If nothing was repeated, it is equal to g.

Which side of a product an array stands on, and which array is transposed, cannot be guessed from the shapes if
some of them are equal: write down dL/dx_ni as a sum first. The grader looks at square matrices, too.

Do not change x, w, a, b or g: make new arrays.
"""

import numpy as np

from microtensor.learn.given import unbroadcast


def linear(x, w, b):
    raise NotImplementedError


def linear_backward(g, saved):
    raise NotImplementedError


def matmul(a, b):
    raise NotImplementedError


def matmul_backward(g, saved):
    raise NotImplementedError


if __name__ == "__main__":
    from microtensor import learn

    learn.main(__file__)
