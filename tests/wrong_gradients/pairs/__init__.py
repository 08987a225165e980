"""The pairs of the second corpus, a module for each family."""

from wrong_gradients.pairs import (
    attention,
    convolution,
    einsum,
    embedding,
    graphs_and_signals,
    indexing,
    layers_of_papers,
    linear_algebra,
    losses,
    normalisers,
    penalties,
    physics_and_geometry,
    probability,
    recurrent,
    reductions,
    shared_weights,
)
