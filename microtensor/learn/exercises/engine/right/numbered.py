"""Tensors are numbered as they are made; backward takes the one with the highest number that is left, from a heap."""

import heapq
import itertools

import numpy as np

from microtensor.learn.given import unbroadcast

NUMBERS = itertools.count()


class Tensor:
    def __init__(self, data):
        self.data = np.asarray(data)
        self.grad = None
        self.number = next(NUMBERS)
        self.inputs = []                # pairs: a Tensor, and a function from dL/dself to its gradient

    @staticmethod
    def computed(data, *inputs):
        tensor = Tensor(data)
        tensor.inputs = inputs
        return tensor

    def __add__(self, other):
        return Tensor.computed(self.data + other.data, (self, lambda g: unbroadcast(g, np.shape(self.data))),
                               (other, lambda g: unbroadcast(g, np.shape(other.data))))

    def __mul__(self, other):
        return Tensor.computed(self.data * other.data,
                               (self, lambda g: unbroadcast(g * other.data, np.shape(self.data))),
                               (other, lambda g: unbroadcast(g * self.data, np.shape(other.data))))

    def __matmul__(self, other):
        return Tensor.computed(self.data @ other.data,
                               (self, lambda g: np.einsum("nm,km->nk", g, other.data)),
                               (other, lambda g: np.einsum("nm,nk->km", g, self.data)))

    def sum(self, axis=None, keepdims=False):
        y = np.sum(self.data, axis=axis, keepdims=keepdims)
        kept = np.sum(self.data, axis=axis, keepdims=True).shape
        return Tensor.computed(y, (self, lambda g: np.broadcast_to(np.reshape(g, kept), np.shape(self.data))))

    def relu(self):
        positive = self.data > 0
        return Tensor.computed(self.data * positive, (self, lambda g: g * positive))

    def exp(self):
        y = np.exp(self.data)
        return Tensor.computed(y, (self, lambda g: y * g))

    def log(self):
        return Tensor.computed(np.log(self.data), (self, lambda g: g * self.data**-1.0))

    def backward(self, g=None):
        waiting = {self.number: (self, 1.0 if g is None else np.array(g))}
        heap = [-self.number]
        while heap:
            tensor, g = waiting.pop(-heapq.heappop(heap))
            if not tensor.inputs:
                tensor.grad = g + (0.0 if tensor.grad is None else tensor.grad)
            for x, pull in tensor.inputs:
                if x.number in waiting:
                    waiting[x.number] = x, waiting[x.number][1] + pull(g)
                else:
                    waiting[x.number] = x, pull(g)
                    heapq.heappush(heap, -x.number)
