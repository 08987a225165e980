"""Initial values, in place: the distributions that keep signals from growing or dying from layer to layer.

fan_in is the number of inputs of one output, fan_out the number of outputs of one input: a weight (out, in)
has fan_in = in and fan_out = out; further dimensions multiply both.

Numbers are drawn in float64 and rounded to the tensor's dtype, so that from one seed float32 and float64
networks start alike.
"""

import math

import numpy as np

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


def trunc_normal_(tensor, mean=0.0, std=1.0, a=-2.0, b=2.0, generator=None):
    """Fill with numbers from a normal distribution truncated to [a, b].

    Args:
        tensor: any shape, floating-point.
        mean, std: the mean and standard deviation of the whole distribution; std is above 0.
        a, b: the bounds, in the unit of the numbers and not of std; infinite for none.
        generator: where the randomness comes from; the default generator if None.

    Returns:
        The tensor.

    Raises:
        ValueError: if std is not above 0, or there is no number from a to b.

    Formula: density exp(-(x - mean)^2 / (2 std^2)) / Z for a <= x <= b, where Z makes it integrate to 1

    >>> import microtensor as mt
    >>> mt.nn.init.trunc_normal_(mt.empty(1000), std=3.0, a=-1.0, b=2.0).max().item() <= 2.0
    True

    Source: Robert 1995, arXiv:0907.4010, for the tails; the bounds in the numbers' unit are PyTorch's.
    """
    if not 0 < std < math.inf:
        raise ValueError(f"std must be finite and above 0, got {std}")
    lo, hi = (a - mean) / std, (b - mean) / std
    if not (lo <= hi and lo < math.inf and hi > -math.inf):
        raise ValueError(f"a normal distribution of mean {mean} and std {std} has no numbers from a={a} to b={b}")

    def draw():
        z = _truncated((generator or default_generator()).numpy, lo, hi, math.prod(tensor.shape))
        return np.clip(mean + std * z, a, b).reshape(tensor.shape)      # the sum may be rounded to beyond a bound

    return _fill(tensor, draw)


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
    """As ``kaiming_uniform_``, from a normal distribution; LeCun's for SELU is that of nonlinearity="linear".

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

    Formula: N(0, std^2),  std = gain / sqrt(fan);  linear: std = 1 / sqrt(fan), with which ``nn.SELU`` keeps variance 1

    >>> import microtensor as mt
    >>> mt.nn.init.kaiming_normal_(mt.empty(3, 6)).shape
    (3, 6)

    Source: He et al. 2015, arXiv:1502.01852; linear: LeCun et al. 1998, Efficient BackProp.
    """
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def orthogonal_(tensor, gain=1, generator=None):
    """Fill with an orthogonal matrix, which keeps every vector's length; all are equally likely.

    Args:
        tensor: (rows, ...); the dimensions after the first count as one, the columns. What there is less of, rows or
            columns, is orthonormal.
        gain: the factor on the matrix, see ``calculate_gain``.
        generator: where the randomness comes from; the default generator if None.

    Returns:
        The tensor.

    Raises:
        ValueError: if the tensor has fewer than two dimensions.

    Formula: gain Q, with Q R = N the decomposition, of diag(R) > 0, of a matrix N of standard normal numbers

    >>> import microtensor as mt
    >>> w = mt.nn.init.orthogonal_(mt.empty(2, 3, dtype=mt.float64))
    >>> bool(((w @ w.T - mt.eye(2)).abs() < 1e-12).all())
    True

    Source: Saxe, McClelland, Ganguli 2014, arXiv:1312.6120; the sign of diag(R): Mezzadri 2007, arXiv:math-ph/0609050.
    """
    if tensor.ndim < 2:
        raise ValueError(f"an orthogonal matrix needs at least two dimensions, got shape {tensor.shape}")
    rows, columns = tensor.shape[0], math.prod(tensor.shape[1:])

    def draw():
        shape = max(rows, columns), min(rows, columns)
        q, r = np.linalg.qr((generator or default_generator()).numpy.standard_normal(shape))
        q *= np.where(np.diagonal(r) < 0, -gain, gain)      # LAPACK's own signs would make some matrices likelier
        return (q if rows >= columns else q.T).reshape(tensor.shape)

    return _fill(tensor, draw)


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


# -- normal numbers z from lo to hi, by rejection ------------------------------------------------
# Numbers z of another density, which is easy to draw from, are kept with the ratio of the two densities as probability.
#
# If 0 lies within and hi - lo > sqrt(2 pi), they are normal, and kept if they are within. Otherwise their density is
# that of e^(-m z) from lo to hi: for any m
#     e^(-z^2/2) = e^(m^2/2) e^(-m z) e^(-(z - m)^2/2),       and the last factor, at most 1, is the probability.
# With m = 0 they are uniform, which is for 0 within; these two keep 49 % or more. If 0 < lo, m is Robert's
# (lo + sqrt(lo^2 + 4)) / 2, or hi if that is less, and 75 % or more are kept. The share u of them that is below z gives
#     u = (1 - e^(-m (z - lo))) / (1 - e^(-m (hi - lo))),     z = lo - log(1 - u (1 - e^(-m (hi - lo)))) / m.
# hi < 0 is the mirror image.


def _truncated(rng, lo, hi, n):
    """n standard normal numbers from lo to hi."""
    if hi < 0:
        return -_truncated(rng, -hi, -lo, n)
    z = np.empty(0)
    while z.size < n:
        z = np.concatenate([z, _kept(rng, lo, hi, n - z.size)])
    return z


def _kept(rng, lo, hi, n):
    """Those that are kept of n numbers; hi is at least 0."""
    if lo <= 0 and hi - lo > math.sqrt(2 * math.pi):
        z = rng.standard_normal(n)
        return z[(lo <= z) & (z <= hi)]
    if lo <= 0:
        m, z = 0.0, rng.uniform(lo, hi, n)
    else:
        m = min(lo / 2 + math.hypot(lo, 2) / 2, hi)
        z = lo - np.log1p(rng.random(n) * math.expm1(-m * (hi - lo))) / m
    return z[rng.random(n) <= np.exp(-((z - m) ** 2) / 2)]


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
