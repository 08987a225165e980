# expect: step=work hint=tape
"""All operations that were ever done are in one list, which every backward pass goes through."""

import numpy as np

from microtensor.learn.given import unbroadcast

TAPE = []       # (output, inputs, function from dL/d(output) to a list of gradients)


def record(data, inputs, pull):
    y = Tensor(data)
    y.computed = True
    TAPE.append((y, inputs, pull))
    return y


class Tensor:
    computed = False

    def __init__(self, data):
        self.data = np.array(data, float)
        self.grad = None

    def __add__(self, other):
        return record(self.data + other.data, [self, other], lambda g: [g, g])

    def __mul__(self, other):
        return record(self.data * other.data, [self, other], lambda g: [g * other.data, g * self.data])

    def __matmul__(self, other):
        return record(self.data @ other.data, [self, other],
                      lambda g: [(other.data @ g.T).T, (g.T @ self.data).T])

    def sum(self, axis=None, keepdims=False):
        def pull(g):
            dx = np.empty(self.data.shape)
            if axis is None:
                dx[...] = g.reshape(())
            else:
                dx[...] = g if keepdims else np.expand_dims(g, axis)
            return [dx]
        return record(self.data.sum(axis=axis, keepdims=keepdims), [self], pull)

    def relu(self):
        return record(np.clip(self.data, 0, None), [self], lambda g: [g * np.heaviside(self.data, 0.5)])

    def exp(self):
        return record(np.exp(self.data), [self], lambda g: [g * np.exp(self.data)])

    def log(self):
        return record(np.log(self.data), [self], lambda g: [g / self.data])

    def backward(self, g=None):
        sums = {id(self): np.array(1.0 if g is None else g, float)}
        touched = {id(self): self}
        for y, inputs, pull in reversed(TAPE):
            if id(y) not in sums:
                continue
            for x, dx in zip(inputs, pull(sums[id(y)]), strict=True):
                dx = unbroadcast(dx, x.data.shape)
                sums[id(x)] = sums.get(id(x), 0) + dx
                touched[id(x)] = x
        for key, x in touched.items():
            if not x.computed:
                x.grad = sums[key].copy() if x.grad is None else x.grad + sums[key]
