"""Backward counts the uses of all tensors first; a tensor passes its gradient on when each has added its part."""

from collections import Counter

import numpy as np

from microtensor.learn.given import unbroadcast


class Operation:
    def __init__(self, *inputs):
        self.inputs = inputs

    @classmethod
    def apply(cls, *inputs, **options):
        operation = cls(*inputs)
        y = Tensor(operation.forward(*(x.data for x in inputs), **options))
        y.operation = operation
        return y


class Add(Operation):
    def forward(self, a, b):
        return a + b

    def backward(self, g):
        return g, g


class Mul(Operation):
    def forward(self, a, b):
        self.a, self.b = a, b
        return a * b

    def backward(self, g):
        return g * self.b, g * self.a


class MatMul(Operation):
    def forward(self, a, b):
        self.a, self.b = a, b
        return a @ b

    def backward(self, g):
        return g @ self.b.transpose(), self.a.transpose() @ g


class Sum(Operation):
    def forward(self, x, axis, keepdims):
        self.shape, self.axes = x.shape, range(x.ndim) if axis is None else (axis % x.ndim,)
        return np.asarray(x.sum(axis, keepdims=keepdims))

    def backward(self, g):
        kept = [1 if axis in self.axes else size for axis, size in enumerate(self.shape)]
        return (np.zeros(self.shape) + g.reshape(kept),)


class ReLU(Operation):
    def forward(self, x):
        self.y = np.maximum(0, x)
        return self.y

    def backward(self, g):
        return (np.where(self.y > 0, g, 0),)


class Exp(Operation):
    def forward(self, x):
        self.y = np.exp(x)
        return self.y

    def backward(self, g):
        return (self.y * g,)


class Log(Operation):
    def forward(self, x):
        self.x = x
        return np.log(x)

    def backward(self, g):
        return (g / self.x,)


class Tensor:
    def __init__(self, data):
        self.data, self.grad, self.operation = np.asarray(data, float), None, None

    def __add__(self, other):
        return Add.apply(self, other)

    def __mul__(self, other):
        return Mul.apply(self, other)

    def __matmul__(self, other):
        return MatMul.apply(self, other)

    def sum(self, axis=None, keepdims=False):
        return Sum.apply(self, axis=axis, keepdims=keepdims)

    def relu(self):
        return ReLU.apply(self)

    def exp(self):
        return Exp.apply(self)

    def log(self):
        return Log.apply(self)

    def inputs(self):
        return self.operation.inputs if self.operation else ()

    def backward(self, g=None):
        uses, found, unread = Counter(), {self}, [self]
        while unread:
            for x in unread.pop().inputs():
                uses[x] += 1
                if x not in found:
                    found.add(x)
                    unread.append(x)
        sums = {x: np.zeros(x.data.shape) for x in found}
        sums[self] += 1 if g is None else g
        ready = [self]
        while ready:
            y = ready.pop()
            g = sums.pop(y)
            if y.operation is None:
                y.grad = g if y.grad is None else y.grad + g
                continue
            for x, dx in zip(y.operation.inputs, y.operation.backward(g), strict=True):
                sums[x] += unbroadcast(dx, x.data.shape)
                uses[x] -= 1
                if not uses[x]:
                    ready.append(x)
