"""Gradient clipping."""

import math
import warnings

from microtensor import foreach
from microtensor.core import Tensor
from microtensor.creation import tensor


def clip_grad_norm_(parameters, max_norm, norm_type=2.0, error_if_nonfinite=False):
    """Scale all gradients by one factor so that their joint norm is at most max_norm.

    Args:
        parameters: a tensor or an iterable of tensors; those without a gradient are left out.
        max_norm: the largest norm that stays as it is.
        norm_type: p of the p-norm; ``float("inf")`` or "inf" for the largest absolute value.
        error_if_nonfinite: whether to raise if the norm is nan or infinite, before anything is scaled.

    Returns:
        The norm before clipping, a 0-d tensor.

    Raises:
        RuntimeError: if the norm is not finite and error_if_nonfinite is set.
        ValueError: if max_norm is negative.

    Formula: norm = (sum |g_i|^p)^(1/p) over all elements of all gradients;
        g = g min(1, max_norm / (norm + 1e-6))

    >>> import microtensor as mt
    >>> x = mt.tensor([3.0, 4.0], requires_grad=True)
    >>> (x * x / 2).sum().backward()
    >>> mt.nn.utils.clip_grad_norm_(x, max_norm=1.0)
    tensor(5.)
    >>> x.grad
    tensor([0.6, 0.8])

    Source: Pascanu, Mikolov, Bengio 2013, arXiv:1211.5063; the 1e-6 is PyTorch's.
    """
    grads = _gradients(parameters)
    if not max_norm >= 0:
        raise ValueError(f"max_norm must be at least 0, got {max_norm}")
    if not grads:
        return tensor(0.0)
    norm = foreach.total_norm(grads, float(norm_type))
    if error_if_nonfinite and not math.isfinite(norm):
        raise RuntimeError(f"the gradients' norm of order {norm_type} is {norm}, so they cannot be clipped: "
                           "lower the learning rate, or pass error_if_nonfinite=False")
    factor = max_norm / (norm + 1e-6)
    if not factor >= 1:         # a nan factor is applied: better gradients that are all nan than some
        foreach.scale_(grads, factor)
    return foreach.number_like(norm, grads[0])


def clip_grad_value_(parameters, clip_value):
    """Limit every element of every gradient to [-clip_value, clip_value].

    Args:
        parameters: a tensor or an iterable of tensors; those without a gradient are left out.
        clip_value: the limit, at least 0.

    Raises:
        ValueError: if clip_value is negative.

    Formula: g_i = min(max(g_i, -clip_value), clip_value)

    >>> import microtensor as mt
    >>> x = mt.tensor([3.0, -0.5], requires_grad=True)
    >>> (x * x / 2).sum().backward()
    >>> mt.nn.utils.clip_grad_value_(x, 1.0)
    >>> x.grad
    tensor([ 1. , -0.5])
    """
    grads = _gradients(parameters)
    if not clip_value >= 0:
        raise ValueError(f"clip_value must be at least 0, got {clip_value}")
    foreach.clamp_(grads, float(clip_value))


def _gradients(parameters):
    """The gradients there are, and a warning if there is nothing that could have one."""
    parameters = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    if not parameters:
        warnings.warn("no parameters, so no gradients to clip: a generator such as net.parameters() gives "
                      "them only once", stacklevel=3)
    return foreach.gradients(parameters)
