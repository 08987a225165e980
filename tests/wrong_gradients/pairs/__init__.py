"""The pairs of the second corpus, a module for each family."""

from wrong_gradients.pairs import (
    attention,
    convolution,
    einsum,
    embedding,
    indexing,
    linear_algebra,
    losses,
    normalisers,
    penalties,
    recurrent,
    reductions,
    shared_weights,
)
