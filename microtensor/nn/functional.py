"""Layers, activations and losses as functions. They are ops: each is derived in microtensor/ops."""

import numpy as np

from microtensor import ops
from microtensor.core import Tensor, from_numpy
from microtensor.ops import (  # noqa: F401  (__all__ finds them, so that this is the only list)
    alpha_dropout,
    batch_norm,
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    dropout,
    elu,
    embedding,
    gelu,
    huber_loss,
    l1_loss,
    layer_norm,
    leaky_relu,
    linear,
    log_softmax,
    mse_loss,
    nll_loss,
    relu,
    selu,
    sigmoid,
    silu,
    smooth_l1_loss,
    softmax,
    softplus,
    tanh,
)

__all__ = ["one_hot", *sorted(globals().keys() & set(ops.__all__))]


def one_hot(tensor, num_classes=-1):
    """1 at each element's class and 0 elsewhere, along a new last dimension.

    Args:
        tensor: class indices of any shape, integer.
        num_classes: size of the new dimension; -1 for the largest index plus one.

    Returns:
        An int64 tensor of shape (*tensor.shape, num_classes).

    Raises:
        TypeError: if tensor is not integer.
        ValueError: if an index is negative or not below num_classes.

    Formula: y[..., c] = 1 if c = x[...] else 0

    >>> import microtensor as mt
    >>> mt.nn.functional.one_hot(mt.tensor([2, 0]))
    tensor([[0, 0, 1],
            [1, 0, 0]])
    """
    index = tensor.detach().numpy() if isinstance(tensor, Tensor) else tensor
    if not isinstance(index, np.ndarray) or index.dtype.kind not in "iu":
        kind = getattr(index, "dtype", type(index).__name__)
        raise TypeError(f"one_hot takes an integer Tensor or NumPy array, not {kind}")
    if num_classes == -1:
        if index.size == 0:
            raise ValueError(f"one_hot of an empty tensor of shape {tensor.shape} needs num_classes")
        num_classes = int(index.max()) + 1
    if index.size and not 0 <= index.min() <= index.max() < num_classes:
        raise ValueError(f"class indices must lie in [0, {num_classes}), got {index.min()} to {index.max()}")
    return from_numpy((index[..., None] == np.arange(num_classes)).astype(np.int64))
