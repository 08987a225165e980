"""Dropout, and AlphaDropout for nets of SELU."""

from microtensor import ops
from microtensor.nn.module import Module


class _Dropout(Module):
    """What both share: a probability and a generator."""

    def __init__(self, p=0.5, *, generator=None):
        if not 0 <= p <= 1:
            raise ValueError(f"the probability of dropping must lie in [0, 1], got {p}")
        self.p = p
        self.generator = generator

    def extra_repr(self):
        """The probability."""
        return f"p={self.p}"


class Dropout(_Dropout):
    """In training each element becomes 0 with probability p, else grows by 1/(1-p); in eval nothing happens.

    Args:
        p: probability of dropping an element.
        generator: where the randomness comes from; the one that ``mt.manual_seed`` seeds if None.

    Input and output of any one shape.

    Raises:
        ValueError: if p is outside [0, 1].

    Formula: y = m x / (1 - p), each m being 0 with probability p and 1 otherwise, so that E[y] = x

    >>> import microtensor as mt
    >>> mt.nn.Dropout(0.5).eval()(mt.ones(3))
    tensor([1., 1., 1.])

    Source: Srivastava et al. 2014, JMLR 15.
    """

    def forward(self, input):
        """The input with elements dropped, or in eval mode the input itself."""
        return ops.dropout(input, self.p, self.training, self.generator)


class AlphaDropout(_Dropout):
    """In training each element becomes SELU's lowest value with probability p, and all are scaled and shifted.

    An input of mean 0 and variance 1, as SELU keeps it, keeps both. In eval nothing happens.

    Args:
        p: probability of dropping an element.
        generator: where the randomness comes from; the one that ``mt.manual_seed`` seeds if None.

    Input and output of any one shape.

    Raises:
        ValueError: if p is outside [0, 1].

    Formula: y = a (m x - (1 - m) c + p c), each m being 0 with probability p and 1 otherwise, c = 1.7580...,
        a = 1 / sqrt((1 - p) (1 + p c^2))

    >>> import microtensor as mt
    >>> mt.nn.AlphaDropout(0.5).eval()(mt.ones(3))
    tensor([1., 1., 1.])

    Source: Klambauer et al. 2017, arXiv:1706.02515.
    """

    def forward(self, input):
        """The input with elements dropped, or in eval mode the input itself."""
        return ops.alpha_dropout(input, self.p, self.training, self.generator)
