"""Embedding."""

from microtensor import creation, ops
from microtensor.core import float32, no_grad
from microtensor.nn import init
from microtensor.nn.module import Module
from microtensor.nn.parameter import Parameter
from microtensor.ops.shape import padding_row


class Embedding(Module):
    """A table of vectors to learn, of which indices pick some: one vector for each word, user or category.

    Args:
        num_embeddings: rows of the table; indices are 0 to num_embeddings - 1.
        embedding_dim: size of each vector.
        padding_idx: a row that is 0 at first and gets no gradient; or None.
        dtype: of the table, ``mt.float32`` or ``mt.float64``.

    Attributes:
        weight: (num_embeddings, embedding_dim), standard normal at first, row padding_idx 0.

    Input integers of any one shape, output (*input.shape, embedding_dim).

    Raises:
        ValueError: if padding_idx is not a row of the table.
        IndexError: in forward, if an index is out of range.

    Formula: y_j = weight_input_j

    >>> import microtensor as mt
    >>> mt.nn.Embedding(10, 3)(mt.tensor([[1, 2, 4, 5], [4, 3, 2, 9]])).shape
    (2, 4, 3)
    """

    def __init__(self, num_embeddings, embedding_dim, padding_idx=None, *, dtype=float32):
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = padding_row(padding_idx, num_embeddings)
        self.weight = Parameter(creation.empty(num_embeddings, embedding_dim, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self):
        """Draw new initial values."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx] = 0.0

    def forward(self, input):
        """The rows that the input names."""
        return ops.embedding(input, self.weight, self.padding_idx)

    def extra_repr(self):
        """The sizes, and the padding row if there is one."""
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"
