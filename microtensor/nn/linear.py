"""Linear, and the layers around it that only pass on or reshape: Flatten, Identity."""

import math

from microtensor import creation, ops
from microtensor.core import float32
from microtensor.nn import init
from microtensor.nn.module import Module
from microtensor.nn.parameter import Parameter


class Linear(Module):
    """An affine map of the last dimension.

    Args:
        in_features: size of the input's last dimension.
        out_features: size of the output's last dimension.
        bias: whether to add one.
        dtype: of the parameters, ``mt.float32`` or ``mt.float64``.

    Attributes:
        weight: (out_features, in_features), uniform in [-1/sqrt(in_features), 1/sqrt(in_features)] at first.
        bias: (out_features,), the same at first; None without a bias.

    Input (..., in_features), output (..., out_features).

    Raises:
        ValueError: in forward, if the input's last dimension is not in_features.

    Formula: y = x W^T + b

    >>> import microtensor as mt
    >>> mt.nn.Linear(3, 2)(mt.ones(5, 4, 3)).shape
    (5, 4, 2)

    Source: the initial values are PyTorch's: kaiming_uniform_ of He et al. 2015 with a = sqrt(5).
    """

    def __init__(self, in_features, out_features, bias=True, *, dtype=float32):
        self.in_features = in_features
        self.out_features = out_features
        self.weight = Parameter(creation.empty(out_features, in_features, dtype=dtype))
        self.bias = Parameter(creation.empty(out_features, dtype=dtype)) if bias else None
        self.reset_parameters()

    def reset_parameters(self):
        """Draw new initial values."""
        bound = 1 / math.sqrt(self.in_features) if self.in_features else 0.0
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input):
        """x W^T + b."""
        return ops.linear(input, self.weight, self.bias)

    def extra_repr(self):
        """The sizes."""
        bias = self.bias is not None
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={bias}"


class Flatten(Module):
    """The dimensions from start_dim to end_dim made one; by default all but the batch's.

    Args:
        start_dim: first dimension to flatten.
        end_dim: last dimension to flatten, included.

    Input (N, a, b, ...), output (N, a b ...).

    >>> import microtensor as mt
    >>> mt.nn.Flatten()(mt.ones(5, 8, 8)).shape
    (5, 64)
    """

    def __init__(self, start_dim=1, end_dim=-1):
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input):
        """The input in its new shape."""
        return ops.flatten(input, self.start_dim, self.end_dim)

    def extra_repr(self):
        """The dimensions."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Identity(Module):
    """The input, unchanged: a place to put a layer later.

    >>> import microtensor as mt
    >>> mt.nn.Identity()(mt.ones(2))
    tensor([1., 1.])
    """

    def forward(self, input):
        """The input."""
        return input
