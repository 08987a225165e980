"""The steps of batchnorm."""


import numpy as np

from microtensor.learn.steps import Case, forward, gradient

NAMES = ("x", "gamma", "beta")
LARGE = 0.5         # an eps that matters for numbers of ordinary size


def reference(x, gamma, beta, eps=1e-5):
    return gamma * (x - x.mean(0)) / np.sqrt(x.var(0) + eps) + beta


def check(answer, draw):
    gamma, beta = draw.nonzero(3), draw(3)
    x = 2 + draw(7, 3) * [1, 0.3, 0.1]              # in the last column eps is a thousandth of the variance
    constant = draw(5, 3)
    constant[:, 1] = 0.1
    yield forward(
        answer, "batchnorm", reference,
        Case(x, gamma, beta),
        Case(x, gamma, beta, LARGE, why=f"here the argument eps is {LARGE}"),
        Case(draw(3, 5), draw(5), draw(5), why="here x has the shape (3, 5), fewer rows than columns"),
        Case(constant, gamma, beta, why="here column 1 of x is constant, so that its variance is 0"),
        Case(1e4 + 0.01 * draw(7, 3), np.ones(3), np.full(3, 4.0),
             why="here the mean is 10000 and the spread 0.01: is the variance a difference of two large numbers?"),
        Case(x[:2], gamma, beta, why="here N = 2"),
        Case(x[:1], gamma, beta, why="here N = 1: each row is its own mean, and y is beta"),
    )
    found = gradient(answer, "batchnorm", "batchnorm_backward", [x, gamma, beta], NAMES)
    yield found
    if found.passed:
        far, two = 1e4 + draw(5, 2), constant[:2]
        yield gradient(answer, "batchnorm", "batchnorm_backward", [far, gamma[:2], beta[:2]], NAMES,
                       why="here the mean of each column of x is near 10000")
        yield gradient(with_eps(answer, LARGE), "batchnorm", "batchnorm_backward", [two, gamma * [0, 1, 1], beta],
                       NAMES, why=f"here N = 2, eps = {LARGE}, gamma[0] = 0, and column 1 of x is constant")


def with_eps(answer, eps):
    """The answer with another eps: the function that is checked takes x, gamma and beta alone."""
    return answer.with_functions(
        batchnorm=lambda x, gamma, beta: answer["batchnorm"](x, gamma, beta, eps),
        batchnorm_backward=lambda *arguments: answer["batchnorm_backward"](*arguments))
