"""Gradient clipping, and parameters as one vector."""

import warnings

from microtensor import foreach, ops
from microtensor.core import Tensor, no_grad


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
    parameters = _clipped(parameters)
    if not max_norm >= 0:
        raise ValueError(f"max_norm must be at least 0, got {max_norm}")
    return foreach.clip_grad_norm_(parameters, max_norm, float(norm_type), error_if_nonfinite)


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
    parameters = _clipped(parameters)
    if not clip_value >= 0:
        raise ValueError(f"clip_value must be at least 0, got {clip_value}")
    foreach.clip_grad_value_(parameters, float(clip_value))


def parameters_to_vector(parameters):
    """All parameters' elements in one vector, one parameter after the other; gradients flow back to them.

    Args:
        parameters: a tensor or an iterable of tensors of one dtype, any shapes.

    Returns:
        A new tensor of shape (n,), n the number of all elements.

    Raises:
        TypeError: if something among the parameters is no tensor, or their dtypes differ.
        ValueError: if there are none.

    >>> import microtensor as mt
    >>> mt.nn.utils.parameters_to_vector([mt.tensor([[1.0, 2.0], [3.0, 4.0]]), mt.tensor(5.0)])
    tensor([1., 2., 3., 4., 5.])
    """
    parameters = _listed(parameters)
    if not parameters:
        raise ValueError("no parameters to make a vector of: a generator such as net.parameters() gives them only once")
    return ops.cat([ops.reshape(parameter, (-1,)) for parameter in parameters])


def vector_to_parameters(vec, parameters):
    """Copy the elements of a vector into the parameters: the inverse of ``parameters_to_vector``.

    It counts as an in-place write, and is not recorded: no gradient flows back to the vector.

    Args:
        vec: (n,), of the parameters' dtype, n the number of all their elements.
        parameters: a tensor or an iterable of tensors, any shapes.

    Raises:
        TypeError: if vec or something among the parameters is no tensor, or a dtype differs; nothing is changed.
        ValueError: if vec has another shape, or a parameter's memory is read-only; nothing is changed.

    >>> import microtensor as mt
    >>> weight, bias = mt.zeros(2, 2), mt.tensor(0.0)
    >>> mt.nn.utils.vector_to_parameters(mt.arange(5.0), [weight, bias])
    >>> weight, bias
    (tensor([[0., 1.],
            [2., 3.]]), tensor(4.))
    """
    parameters = _listed(parameters)
    for value in (vec, *parameters):
        if not isinstance(value, Tensor):
            raise TypeError(f"vector_to_parameters takes tensors, not {type(value).__name__}")
    n = sum(parameter.numel() for parameter in parameters)
    if vec.shape != (n,):
        raise ValueError(f"the vector must have shape ({n},), as the parameters have {n} elements, got {vec.shape}")
    for parameter in parameters:
        if parameter.dtype != vec.dtype:
            raise TypeError(f"the vector has dtype {vec.dtype}, a parameter of shape {parameter.shape} "
                            f"{parameter.dtype}: convert the vector with .to(dtype)")
        if not parameter.detach().numpy().flags.writeable:
            raise ValueError(f"a parameter of shape {parameter.shape} has read-only memory: give it memory of its own, "
                             "with .clone()")
    start = 0
    with no_grad():
        for parameter in parameters:
            end = start + parameter.numel()
            parameter.copy_(vec[start:end].reshape(parameter.shape))
            start = end


def _listed(parameters):
    return [parameters] if isinstance(parameters, Tensor) else list(parameters)


def _clipped(parameters):
    """The parameters as a list, and a warning if there is nothing that could have a gradient."""
    # As _listed, in line because every step does it.
    parameters = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    if not parameters:
        warnings.warn("no parameters, so no gradients to clip: a generator such as net.parameters() gives "
                      "them only once", stacklevel=3)
    return parameters
