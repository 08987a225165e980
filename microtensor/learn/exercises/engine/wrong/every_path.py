# expect: step=work hint=paths
"""Each path is followed by itself: right, but there may be 2^40 of them."""

import numpy as np

from microtensor.learn.given import unbroadcast


class Tensor:
    def __init__(self, data, inputs=(), pull=None):
        self.data, self.grad = np.asarray(data, float), None
        self.inputs, self.pull = inputs, pull           # pull(dL/dself) is dL/dx for each x of the inputs

    def __add__(self, other):
        return Tensor(self.data + other.data, (self, other), lambda g: (g, g))

    def __mul__(self, other):
        a, b = self.data, other.data
        return Tensor(a * b, (self, other), lambda g: (g * b, g * a))

    def __matmul__(self, other):
        a, b = self.data, other.data                                            # (N, K), (K, M)
        return Tensor(a @ b, (self, other), lambda g: (g @ b.T, a.T @ g))

    def sum(self, axis=None, keepdims=False):
        shape = self.data.shape

        def pull(g):
            if axis is not None and not keepdims:
                g = np.expand_dims(g, axis)
            return (np.broadcast_to(g, shape),)

        return Tensor(self.data.sum(axis, keepdims=keepdims), (self,), pull)

    def relu(self):
        x = self.data
        return Tensor(np.maximum(x, 0), (self,), lambda g: (g * (x > 0),))

    def exp(self):
        y = np.exp(self.data)
        return Tensor(y, (self,), lambda g: (g * y,))

    def log(self):
        x = self.data
        return Tensor(np.log(x), (self,), lambda g: (g / x,))

    def backward(self, g=None):
        stack = [(self, np.ones(self.data.shape) if g is None else g)]
        while stack:
            tensor, g = stack.pop()
            if not tensor.inputs:
                tensor.grad = g.copy() if tensor.grad is None else tensor.grad + g
                continue
            for x, dx in zip(tensor.inputs, tensor.pull(g), strict=True):
                stack.append((x, unbroadcast(dx, x.data.shape)))
