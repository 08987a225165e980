"""Initial values, in place: the distributions that keep signals from growing or dying from layer to layer.

fan_in is the number of inputs of one output, fan_out the number of outputs of one input: a weight (out, in)
has fan_in = in and fan_out = out; further dimensions multiply both.

Numbers are drawn in float64 and rounded to the tensor's dtype, so that from one seed float32 and float64
networks start alike.
"""

import math

from microtensor.core import no_grad
from microtensor.random import default_generator


def uniform_(tensor, a=0.0, b=1.0, generator=None):
    """Fill with numbers drawn uniformly from [a, b).

    Args:
        tensor: any shape, floating-point.
        a, b: the bounds.
        generator: where the randomness comes from; the default generator if None.

    Returns:
        The tensor.

    >>> import microtensor as mt
    >>> mt.nn.init.uniform_(mt.empty(3), 2.0, 2.0)
    tensor([2., 2., 2.])
    """
    return _fill(tensor, lambda: (generator or default_generator()).numpy.uniform(a, b, tensor.shape))


def normal_(tensor, mean=0.0, std=1.0, generator=None):
    """Fill with numbers drawn from a normal distribution.

    Args:
        tensor: any shape, floating-point.
        mean, std: its mean and standard deviation.
        generator: where the randomness comes from; the default generator if None.

    Returns:
        The tensor.

    >>> import microtensor as mt
    >>> mt.nn.init.normal_(mt.empty(2), mean=3.0, std=0.0)
    tensor([3., 3.])
    """
    return _fill(tensor, lambda: (generator or default_generator()).numpy.normal(mean, std, tensor.shape))


def constant_(tensor, val):
    """Fill with one number; returns the tensor.

    >>> import microtensor as mt
    >>> mt.nn.init.constant_(mt.empty(2), 0.3)
    tensor([0.3, 0.3])
    """
    return _fill(tensor, lambda: val)


def ones_(tensor):
    """Fill with 1; returns the tensor."""
    return _fill(tensor, lambda: 1.0)


def zeros_(tensor):
    """Fill with 0; returns the tensor."""
    return _fill(tensor, lambda: 0.0)


def xavier_uniform_(tensor, gain=1.0, generator=None):
    """Fill uniformly so that variances pass a linear layer unchanged, on average of forward and backward.

    Args:
        tensor: (out, in, ...).
        gain: the factor that makes up for the activation, see ``calculate_gain``.
        generator: where the randomness comes from; the default generator if None.

    Returns:
        The tensor.

    Raises:
        ValueError: if the tensor has fewer than two dimensions.

    Formula: U(-a, a),  a = gain sqrt(6 / (fan_in + fan_out)),  std = gain sqrt(2 / (fan_in + fan_out))

    >>> import microtensor as mt
    >>> mt.nn.init.xavier_uniform_(mt.empty(3, 5)).abs().max().item() <= (6 / 8) ** 0.5
    True

    Source: Glorot and Bengio 2010, equation 16.
    """
    bound = math.sqrt(3.0) * _xavier_std(tensor, gain)
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor, gain=1.0, generator=None):
    """As ``xavier_uniform_``, from a normal distribution.

    Args:
        tensor: (out, in, ...).
        gain: the factor that makes up for the activation, see ``calculate_gain``.
        generator: where the randomness comes from; the default generator if None.

    Returns:
        The tensor.

    Raises:
        ValueError: if the tensor has fewer than two dimensions.

    Formula: N(0, std^2),  std = gain sqrt(2 / (fan_in + fan_out))

    >>> import microtensor as mt
    >>> mt.nn.init.xavier_normal_(mt.empty(3, 5)).shape
    (3, 5)

    Source: Glorot and Bengio 2010.
    """
    return normal_(tensor, 0.0, _xavier_std(tensor, gain), generator)


def kaiming_uniform_(tensor, a=0, mode="fan_in", nonlinearity="leaky_relu", generator=None):
    """Fill uniformly so that variances pass through a linear layer and a rectifier unchanged.

    Args:
        tensor: (out, in, ...).
        a: the rectifier's slope for x < 0; used by "leaky_relu" only.
        mode: "fan_in" keeps the variance forward, "fan_out" backward.
        nonlinearity: the activation that follows, see ``calculate_gain``.
        generator: where the randomness comes from; the default generator if None.

    Returns:
        The tensor.

    Raises:
        ValueError: if the tensor has fewer than two dimensions, or for an unknown mode or nonlinearity.

    Formula: U(-b, b),  b = gain sqrt(3 / fan),  std = gain / sqrt(fan)

    >>> import microtensor as mt
    >>> mt.nn.init.kaiming_uniform_(mt.empty(3, 6)).abs().max().item() <= 1.0
    True

    Source: He et al. 2015, arXiv:1502.01852.
    """
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(tensor, a=0, mode="fan_in", nonlinearity="leaky_relu", generator=None):
    """As ``kaiming_uniform_``, from a normal distribution.

    Args:
        tensor: (out, in, ...).
        a: the rectifier's slope for x < 0; used by "leaky_relu" only.
        mode: "fan_in" keeps the variance forward, "fan_out" backward.
        nonlinearity: the activation that follows, see ``calculate_gain``.
        generator: where the randomness comes from; the default generator if None.

    Returns:
        The tensor.

    Raises:
        ValueError: if the tensor has fewer than two dimensions, or for an unknown mode or nonlinearity.

    Formula: N(0, std^2),  std = gain / sqrt(fan)

    >>> import microtensor as mt
    >>> mt.nn.init.kaiming_normal_(mt.empty(3, 6)).shape
    (3, 6)

    Source: He et al. 2015, arXiv:1502.01852.
    """
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def calculate_gain(nonlinearity, param=None):
    """The factor on the weights' standard deviation that makes up for an activation.

    Args:
        nonlinearity: "linear", "sigmoid", "tanh", "relu", "leaky_relu" or "selu".
        param: the slope of "leaky_relu", 0.01 by default; no other takes one.

    Raises:
        ValueError: for another name, or a param that nothing takes.

    Formula: relu sqrt(2);  leaky_relu sqrt(2 / (1 + slope^2));  tanh 5/3;  selu 3/4;  linear, sigmoid 1

    >>> import microtensor as mt
    >>> mt.nn.init.calculate_gain("tanh")
    1.6666666666666667

    Source: relu and leaky_relu from He et al. 2015; tanh and selu are PyTorch's conventions.
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        return math.sqrt(2.0 / (1 + slope**2))
    if nonlinearity not in _GAINS:
        raise ValueError(f"unknown nonlinearity {nonlinearity!r}: expected leaky_relu, {', '.join(_GAINS)}")
    if param is not None:
        raise ValueError(f"only leaky_relu takes a param, {nonlinearity} got {param}")
    return _GAINS[nonlinearity]


_GAINS = {"linear": 1.0, "sigmoid": 1.0, "tanh": 5.0 / 3, "relu": math.sqrt(2.0), "selu": 3.0 / 4}


def _fill(tensor, draw):
    """Write what draw() gives, if the tensor can hold it: nothing is drawn for integers."""
    if tensor.dtype.kind != "f":
        raise TypeError(f"nn.init fills float tensors, got one of shape {tensor.shape} {tensor.dtype}: "
                        "use .fill_(number), or a float dtype")
    with no_grad():
        return tensor.copy_(draw())


def _fans(tensor):
    if tensor.ndim < 2:
        raise ValueError(f"fan_in and fan_out need at least two dimensions, got shape {tensor.shape}")
    out_features, in_features, *rest = tensor.shape
    return in_features * math.prod(rest), out_features * math.prod(rest)


def _xavier_std(tensor, gain):
    fan_in, fan_out = _fans(tensor)
    return gain * math.sqrt(2.0 / max(fan_in + fan_out, 1))


def _kaiming_std(tensor, a, mode, nonlinearity):
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"mode must be 'fan_in' or 'fan_out', got {mode!r}")
    fan = _fans(tensor)[mode == "fan_out"]
    gain = calculate_gain(nonlinearity, a if nonlinearity == "leaky_relu" else None)
    return gain / math.sqrt(max(fan, 1))            # max: a tensor without elements has no values to scale
