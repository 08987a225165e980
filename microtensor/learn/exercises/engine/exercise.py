"""An autograd engine.                                        about 120 minutes

So far you wrote a backward pass for one thing at a time, and somebody had to call all of them in the right order. An
autograd engine does that by itself: while y is computed, it notes what each array was computed from, and then goes
back from y to everything that y depends on. Write one: a class Tensor, in NumPy.

    Tensor(data)        data is an array of floats of any shape, or a float; it is not changed

    t.data              the array
    t.grad              None at first. After y.backward(g) it holds what is added to it then: dL/dt

Each of these makes a new Tensor, which knows the ones that it was computed from. a, b and t are Tensors.

    a + b, a * b        element by element. If the shapes differ, they are broadcast as NumPy does it.
    a @ b               the product of two matrices, (N, K) @ (K, M)
    t.sum(axis=None, keepdims=False)
                        the sum of all elements, or along one axis, as in NumPy; with keepdims the axis stays, with
                        size 1
    t.relu()            max(t, 0), element by element; the derivative at 0 may be 0, or 1, or lie between
    t.exp(), t.log()    e^t and the natural logarithm, element by element

More is not needed: a - b is a + Tensor(-1.0) * b, for example, and a / b is a * (Tensor(-1.0) * b.log()).exp() if b
is positive.

    y.backward(g=None)

Here g = dL/dy is the upstream gradient, an array of the shape of y: the derivative of a number L, the loss, with
respect to every element of y. If y is a single number, g may be left out: then L is y, and g is 1. For every Tensor t
that was made by Tensor(data), and that y was computed from, backward adds dL/dt to t.grad:

    - t.grad is an array of floats of the shape of t.data; if that is (), a float will do. If it was None, dL/dt takes
      its place.
    - If t.grad is an array already, from a pass before, dL/dt is added to it. So after y.backward(g) and z.backward(h)
      it is the sum of both. Who wants to begin anew writes t.grad = None, as the grader does.
    - Each t.grad is an array of its own. It shares no memory with g, with any data, or with another .grad, because
      whoever clips gradients changes them in place.

What the .grad of the Tensors in between is, those that were computed, is up to you. But backward may be called again,
for the same y or for another one that was computed from the same Tensors in between, and must be right then, too.

Things to think about:

    - A Tensor may be used several times: as in a * a, or in two places that are far apart. What is its gradient then?
    - A Tensor must not pass its gradient on before all of the Tensors that use it have added their part. In which
      order can one go through them? It is not enough to go back level by level: a path may be longer than another one.
    - From one Tensor to another may lead 2^40 paths, as where x = x + x is done 40 times. Do not follow each of them.
    - Backward goes through those Tensors alone that y was computed from. Do not keep a list of all that were ever
      made: it would never end, and none of them could be freed.
    - A graph may be a chain of 10,000 Tensors. Python allows about 1000 calls inside of one another, so nothing may
      be recursive. Do not raise that limit: use a list of what is still to be done.

unbroadcast(g, shape) is given: it sums g over what was repeated, so that the result has that shape. You may write
further functions, classes and methods. Do not change g, nor any data.
"""

import numpy as np

from microtensor.learn.given import unbroadcast


class Tensor:
    def __init__(self, data):
        raise NotImplementedError

    def __add__(self, other):
        raise NotImplementedError

    def __mul__(self, other):
        raise NotImplementedError

    def __matmul__(self, other):
        raise NotImplementedError

    def sum(self, axis=None, keepdims=False):
        raise NotImplementedError

    def relu(self):
        raise NotImplementedError

    def exp(self):
        raise NotImplementedError

    def log(self):
        raise NotImplementedError

    def backward(self, g=None):
        raise NotImplementedError


if __name__ == "__main__":
    from microtensor import learn

    learn.main(__file__)
