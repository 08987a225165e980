"""As in micrograd, but with a stack: each operation leaves a function that adds to the .grad of its inputs."""

import numpy as np


class Tensor:
    def __init__(self, data, children=()):
        self.data = np.array(data, dtype=np.float64)
        self.grad = None
        self.children = children
        self.push = lambda: None

    def receive(self, d):
        while d.ndim > self.data.ndim:
            d = d.sum(axis=0)
        for axis, size in enumerate(self.data.shape):
            if size == 1:
                d = d.sum(axis=axis, keepdims=True)
        if self.grad is None:
            self.grad = np.zeros(self.data.shape)
        self.grad = self.grad + d

    def __add__(self, other):
        out = Tensor(self.data + other.data, (self, other))

        def push():
            self.receive(out.grad)
            other.receive(out.grad)

        out.push = push
        return out

    def __mul__(self, other):
        out = Tensor(self.data * other.data, (self, other))

        def push():
            self.receive(out.grad * other.data)
            other.receive(out.grad * self.data)

        out.push = push
        return out

    def __matmul__(self, other):
        out = Tensor(np.dot(self.data, other.data), (self, other))

        def push():
            self.receive(np.dot(out.grad, other.data.T))
            other.receive(np.dot(self.data.T, out.grad))

        out.push = push
        return out

    def sum(self, axis=None, keepdims=False):
        out = Tensor(np.sum(self.data, axis=axis, keepdims=keepdims), (self,))

        def push():
            kept = np.sum(self.data, axis=axis, keepdims=True).shape
            self.receive(out.grad.reshape(kept) * np.ones(self.data.shape))

        out.push = push
        return out

    def relu(self):
        out = Tensor(np.where(self.data >= 0, self.data, 0), (self,))

        def push():
            self.receive(np.where(self.data >= 0, out.grad, 0))

        out.push = push
        return out

    def exp(self):
        out = Tensor(np.exp(self.data), (self,))

        def push():
            self.receive(out.data * out.grad)

        out.push = push
        return out

    def log(self):
        out = Tensor(np.log(self.data), (self,))

        def push():
            self.receive(out.grad / self.data)

        out.push = push
        return out

    def backward(self, g=None):
        topo, visited = [], set()
        stack = [(self, iter(self.children))]
        visited.add(id(self))
        while stack:
            node, children = stack[-1]
            child = next(children, None)
            if child is None:
                topo.append(node)
                stack.pop()
            elif id(child) not in visited:
                visited.add(id(child))
                stack.append((child, iter(child.children)))
        for node in topo:
            if node.children:
                node.grad = None            # what a pass before has left there
        self.receive(np.ones_like(self.data) if g is None else np.asarray(g))
        for node in reversed(topo):
            node.push()
