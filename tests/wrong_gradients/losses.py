"""Cross-entropy with the mean over the batch: scores x (7, 5), labels t (7,)."""

import numpy as np

from wrong_gradients.entry import wrong

NAMES = ("x", "t")


def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def cross_entropy(x, t):
    p = softmax(x)
    return np.asarray(-np.mean(np.log(p[np.arange(len(t)), t]))), (p, t)


def right(g, saved):
    p, t = saved
    d = p.copy()
    d[np.arange(len(t)), t] -= 1
    return g * d / len(t)


def case(backward):
    return lambda draw: (cross_entropy, backward, [draw(7, 5), draw.integers(5, 7)], NAMES)


wrong("Cross-entropy: no 1/N", "size")(case(lambda g, saved: right(g, saved) * len(saved[1])))
wrong("Cross-entropy: 1/(NC)", "size")(case(lambda g, saved: right(g, saved) / saved[0].shape[1]))
wrong("Cross-entropy: upstream ignored", "upstream")(case(lambda g, saved: right(1.0, saved)))


@wrong("Cross-entropy: p[:, t] -= 1 for p[range(N), t] -= 1", "offset")
def fancy_index(draw):
    def backward(g, saved):
        p, t = saved
        d = p.copy()
        d[:, t] -= 1
        return g * d / len(t)

    return cross_entropy, backward, [draw(7, 5), draw.integers(5, 7)], NAMES


@wrong("Cross-entropy: the saved p is changed", "repeat")
def saved_mutated(draw):
    def backward(g, saved):
        p, t = saved
        p[np.arange(len(t)), t] -= 1
        return g * p / len(t)

    return cross_entropy, backward, [draw(7, 5), draw.integers(5, 7)], NAMES


@wrong("A loss of small numbers (1e-6): twice the gradient", "two")
def small_numbers(draw):
    def forward(x):
        return np.asarray(1e-6 * np.mean(x**2))

    def backward(g, x):
        return g * 4e-6 * x / x.size

    return forward, backward, [draw(7, 5)], ("x",)


@wrong("One element of 35 wrong by 1e-4", "lines", "side")
def one_element(draw):
    def backward(g, x):
        d = g * (1 - np.tanh(x) ** 2)
        d[3, 2] *= 1 + 1e-4
        return d

    return np.tanh, backward, [draw(7, 5)], ("x",)
