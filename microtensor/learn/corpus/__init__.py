"""The second corpus of wrong gradients, a module for each family: hints are measured on it, and learners hunt in it."""

from microtensor.learn.corpus import (
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
from microtensor.learn.corpus.pair import PAIRS
