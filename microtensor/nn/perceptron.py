"""mlp: a multilayer perceptron from its widths, as the command line and the estimators make it."""

import itertools

from microtensor._arguments import checked_bool, checked_count, checked_number
from microtensor.nn import activation as activations
from microtensor.nn.batchnorm import BatchNorm1d
from microtensor.nn.containers import Sequential
from microtensor.nn.dropout import Dropout
from microtensor.nn.linear import Identity, Linear

ACTIVATIONS = {
    "relu": activations.ReLU,
    "leaky_relu": activations.LeakyReLU,
    "elu": activations.ELU,
    "selu": activations.SELU,
    "gelu": activations.GELU,
    "silu": activations.SiLU,
    "tanh": activations.Tanh,
    "sigmoid": activations.Sigmoid,
    "identity": Identity,
}


def mlp(sizes, activation="relu", batch_norm=False, dropout=0.0):
    """A net of linear layers, each hidden one with batch normalisation, activation and dropout.

    Args:
        sizes: the widths from input to output, such as (64, 128, 64, 10).
        activation: a name: "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "tanh", "sigmoid" or "identity"; or a
            list of names, one for each hidden layer.
        batch_norm: normalise each hidden layer before its activation.
        dropout: the probability that a hidden activation is dropped in training, in [0, 1); or a list of them, one for
            each hidden layer.

    Returns:
        An nn.Sequential from inputs (N, sizes[0]) to outputs (N, sizes[-1]), such as logits.

    Raises:
        TypeError: if a width is no int, batch_norm no bool, or a probability no number.
        ValueError: if there are fewer than two widths, one is below 1, an activation is unknown, a probability is
            outside [0, 1), or a list has another length than there are hidden layers.

    >>> import microtensor as mt
    >>> mt.nn.mlp((64, 128, 10), "gelu", dropout=0.1)
    Sequential(
      (0): Linear(in_features=64, out_features=128, bias=True)
      (1): GELU(approximate='none')
      (2): Dropout(p=0.1)
      (3): Linear(in_features=128, out_features=10, bias=True)
    )
    """
    sizes = [checked_count("mlp: a width", size) for size in sizes]
    if len(sizes) < 2:
        raise ValueError(f"mlp needs the widths of the input and of the output at least, got {sizes}")
    batch_norm = checked_bool("mlp: batch_norm", batch_norm)
    hidden = len(sizes) - 2
    names = _for_each_layer("activation", activation, hidden)
    for name in names:
        if not isinstance(name, str) or name not in ACTIVATIONS:
            raise ValueError(f"mlp: there is no activation {name!r}; there are {', '.join(ACTIVATIONS)}")
    shares = _for_each_layer("dropout", dropout, hidden)
    for share in shares:
        if not checked_number("mlp: dropout", share, 0) < 1:
            raise ValueError(f"mlp: dropout is a probability of at least 0 and below 1, got {share}")
    layers = []
    for (inputs, outputs), name, share in zip(itertools.pairwise(sizes[:-1]), names, shares, strict=True):
        # Batch normalisation subtracts the mean, so a bias before it would have no effect.
        layers.append(Linear(inputs, outputs, bias=not batch_norm))
        if batch_norm:
            layers.append(BatchNorm1d(outputs))
        layers.append(ACTIVATIONS[name]())
        if share:
            layers.append(Dropout(share))
    return Sequential(*layers, Linear(sizes[-2], sizes[-1]))


def _for_each_layer(name, value, hidden):
    """A list with a value for each hidden layer."""
    if not isinstance(value, (list, tuple)):
        return [value] * hidden
    if len(value) != hidden:
        raise ValueError(f"mlp: {name} has {len(value)} values for {hidden} hidden layers: give one for all, or one "
                         "for each")
    return list(value)
