"""Activations as modules: each calls the op of its name, derived in microtensor/ops/activation.pyx."""

from microtensor import ops
from microtensor.nn.module import Module


class ReLU(Module):
    """Negative elements become 0. Input and output of any one shape.

    Formula: y = max(x, 0)

    >>> import microtensor as mt
    >>> mt.nn.ReLU()(mt.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """

    def forward(self, input):
        """max(x, 0)."""
        return ops.relu(input)


class LeakyReLU(Module):
    """Negative elements are scaled down. Input and output of any one shape.

    Args:
        negative_slope: the factor for x < 0.

    Formula: y = x if x > 0 else negative_slope x

    >>> import microtensor as mt
    >>> mt.nn.LeakyReLU(0.5)(mt.tensor([-1.0, 2.0]))
    tensor([-0.5,  2. ])
    """

    def __init__(self, negative_slope=0.01):
        self.negative_slope = negative_slope

    def forward(self, input):
        """x if x > 0 else negative_slope x."""
        return ops.leaky_relu(input, self.negative_slope)

    def extra_repr(self):
        """The slope."""
        return f"negative_slope={self.negative_slope}"


class Sigmoid(Module):
    """Each element squashed into (0, 1). Input and output of any one shape.

    Formula: y = 1 / (1 + e^-x)

    >>> import microtensor as mt
    >>> mt.nn.Sigmoid()(mt.tensor([0.0]))
    tensor([0.5])
    """

    def forward(self, input):
        """1 / (1 + e^-x)."""
        return ops.sigmoid(input)


class SiLU(Module):
    """Each element times its sigmoid: a smooth ReLU that dips below 0, also called swish. Any one shape.

    Formula: y = x / (1 + e^-x)

    >>> import microtensor as mt
    >>> mt.nn.SiLU()(mt.tensor([1.0, -2.0]))
    tensor([ 0.7311, -0.2384])

    Source: Elfwing, Uchibe, Doya 2017, arXiv:1702.03118; Ramachandran, Zoph, Le 2017, arXiv:1710.05941.
    """

    def forward(self, input):
        """x / (1 + e^-x)."""
        return ops.silu(input)


class Tanh(Module):
    """Each element squashed into (-1, 1). Input and output of any one shape.

    Formula: y = (e^x - e^-x) / (e^x + e^-x)

    >>> import microtensor as mt
    >>> mt.nn.Tanh()(mt.tensor([0.0]))
    tensor([0.])
    """

    def forward(self, input):
        """tanh(x)."""
        return ops.tanh(input)


class GELU(Module):
    """Each element times the probability that a standard normal number is below it. Any one shape.

    Args:
        approximate: "none", or "tanh" for the formula that older models were trained with.

    Formula: y = x (1 + erf(x / sqrt(2))) / 2, or x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2

    >>> import microtensor as mt
    >>> mt.nn.GELU()(mt.tensor([1.0, -2.0]))
    tensor([ 0.8413, -0.0455])

    Source: Hendrycks and Gimpel 2016, arXiv:1606.08415.
    """

    def __init__(self, approximate="none"):
        self.approximate = approximate

    def forward(self, input):
        """x (1 + erf(x / sqrt(2))) / 2."""
        return ops.gelu(input, self.approximate)

    def extra_repr(self):
        """The formula."""
        return f"approximate={self.approximate!r}"


class ELU(Module):
    """Smooth for negative elements, where it tends to -alpha. Input and output of any one shape.

    Args:
        alpha: the limit on the left, negated.

    Formula: y = x if x > 0 else alpha (e^x - 1)

    >>> import microtensor as mt
    >>> mt.nn.ELU()(mt.tensor([-100.0, 2.0]))
    tensor([-1.,  2.])

    Source: Clevert, Unterthiner, Hochreiter 2016, arXiv:1511.07289.
    """

    def __init__(self, alpha=1.0):
        self.alpha = alpha

    def forward(self, input):
        """x if x > 0 else alpha (e^x - 1)."""
        return ops.elu(input, self.alpha)

    def extra_repr(self):
        """alpha."""
        return f"alpha={self.alpha}"


class SELU(Module):
    """ELU scaled so that activations keep mean 0 and variance 1 from layer to layer. Any one shape.

    They do with LeCun's weights, whose std is 1 / sqrt(fan_in), and biases of 0: these weights are those of
    ``nn.init.kaiming_normal_(weight, nonlinearity="linear")``. With "selu", PyTorch's gain of 3/4, the variance falls.

    Formula: y = lambda (x if x > 0 else alpha (e^x - 1)),  lambda = 1.0507..., alpha = 1.6732...

    >>> import microtensor as mt
    >>> mt.nn.SELU()(mt.tensor([-100.0, 1.0]))
    tensor([-1.7581,  1.0507])

    Source: Klambauer et al. 2017, arXiv:1706.02515.
    """

    def forward(self, input):
        """lambda (x if x > 0 else alpha (e^x - 1))."""
        return ops.selu(input)


class Softplus(Module):
    """A smooth ReLU, always positive. Input and output of any one shape.

    Args:
        beta: a positive number; the larger, the closer to ReLU.
        threshold: where beta x is above it, y = x.

    Formula: y = ln(1 + e^(beta x)) / beta

    >>> import microtensor as mt
    >>> mt.nn.Softplus()(mt.tensor([0.0]))
    tensor([0.6931])
    """

    def __init__(self, beta=1.0, threshold=20.0):
        self.beta, self.threshold = beta, threshold

    def forward(self, input):
        """ln(1 + e^(beta x)) / beta."""
        return ops.softplus(input, self.beta, self.threshold)

    def extra_repr(self):
        """Sharpness and threshold."""
        return f"beta={self.beta}, threshold={self.threshold}"


class Softmax(Module):
    """Probabilities along a dimension. Input and output of any one shape.

    Args:
        dim: the dimension that sums to 1.

    Formula: y_i = e^x_i / sum_j e^x_j

    >>> import microtensor as mt
    >>> mt.nn.Softmax(dim=1)(mt.zeros(1, 2))
    tensor([[0.5, 0.5]])
    """

    def __init__(self, dim):
        self.dim = dim

    def forward(self, input):
        """e^x_i / sum_j e^x_j."""
        return ops.softmax(input, self.dim)

    def extra_repr(self):
        """The dimension."""
        return f"dim={self.dim}"


class LogSoftmax(Module):
    """Logarithms of the probabilities along a dimension, stably. Input and output of any one shape.

    Args:
        dim: the dimension whose exponentials sum to 1.

    Formula: y_i = x_i - log sum_j e^x_j

    >>> import microtensor as mt
    >>> mt.nn.LogSoftmax(dim=1)(mt.zeros(1, 2))
    tensor([[-0.6931, -0.6931]])
    """

    def __init__(self, dim):
        self.dim = dim

    def forward(self, input):
        """x_i - log sum_j e^x_j."""
        return ops.log_softmax(input, self.dim)

    def extra_repr(self):
        """The dimension."""
        return f"dim={self.dim}"


__all__ = [name for name, value in globals().items() if isinstance(value, type) and value is not Module]
