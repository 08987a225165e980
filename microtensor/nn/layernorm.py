"""LayerNorm."""

from microtensor import creation, ops
from microtensor.core import float32
from microtensor.nn import init
from microtensor.nn.module import Module
from microtensor.nn.parameter import Parameter
from microtensor.ops.norm import row_shape


class LayerNorm(Module):
    """Each row normalised to mean 0 and variance 1, then scaled and shifted; the same in training and in eval.

    Args:
        normalized_shape: the sizes of the last dimensions, which make a row; an int for the last one.
        eps: added to the variance, so that a constant row does not divide by 0.
        elementwise_affine: whether to learn weight and bias.
        bias: whether to learn a bias, if a weight.
        dtype: of the parameters, ``mt.float32`` or ``mt.float64``.

    Attributes:
        weight, bias: of normalized_shape, at first 1 and 0; None if there is none.

    Input (..., *normalized_shape), output of the same shape.

    Raises:
        TypeError: if normalized_shape is neither an int nor a tuple of them.
        ValueError: if it is empty; in forward, if the input's last dimensions are not normalized_shape.

    Formula: y = weight (x - mean) / sqrt(var + eps) + bias, per row, var = sum (x - mean)^2 / n

    >>> import microtensor as mt
    >>> mt.nn.LayerNorm(2, eps=0.0)(mt.tensor([[1.0, 3.0]])).detach()
    tensor([[-1.,  1.]])

    Source: Ba, Kiros, Hinton 2016, arXiv:1607.06450.
    """

    def __init__(self, normalized_shape, eps=1e-5, elementwise_affine=True, bias=True, *, dtype=float32):
        self.normalized_shape = shape = row_shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self.weight = Parameter(creation.ones(shape, dtype=dtype)) if elementwise_affine else None
        self.bias = Parameter(creation.zeros(shape, dtype=dtype)) if elementwise_affine and bias else None

    def reset_parameters(self):
        """Back to the initial values."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input):
        """The normalised input."""
        return ops.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self):
        """The arguments."""
        return (f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, "
                f"bias={self.bias is not None}")
