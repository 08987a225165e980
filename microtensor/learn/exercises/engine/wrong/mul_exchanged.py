# expect: step=gradient mul input=a
"""a * b: each factor gets its own value."""

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
        return Tensor(a * b, (self, other), lambda g: (g * a, g * b))

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
        upstream = {self: np.ones(self.data.shape) if g is None else g}         # dL/dt so far, of tensors in between
        for tensor in reversed(in_order(self)):
            g = upstream.pop(tensor)
            if not tensor.inputs:
                tensor.grad = g.copy() if tensor.grad is None else tensor.grad + g
                continue
            for x, dx in zip(tensor.inputs, tensor.pull(g), strict=True):
                dx = unbroadcast(dx, x.data.shape)
                upstream[x] = upstream[x] + dx if x in upstream else dx         # not in place: dx may be g


def in_order(last):
    """All tensors that the last one was computed from, and that one: each after its inputs."""
    found, seen, stack = [], set(), [(last, False)]
    while stack:
        tensor, inputs_done = stack.pop()
        if inputs_done:
            found.append(tensor)
        elif tensor not in seen:
            seen.add(tensor)
            stack.append((tensor, True))                # comes back after its inputs, which lie above it
            stack += [(x, False) for x in tensor.inputs]
    return found
