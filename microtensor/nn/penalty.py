"""L1 and L2 penalties to add to a loss. Composites: made of ops, so differentiable to any order.

    loss = F.cross_entropy(net(x), y) + nn.l2_penalty(net, 1e-4)
"""

import functools
import operator

from microtensor import ops
from microtensor.core import Tensor
from microtensor.nn.module import Module


def l1_penalty(parameters, weight):
    """The sum of absolute values, which drives small parameters to exactly 0 when trained with proximal care.

    Args:
        parameters: a Module, a tensor, or an iterable of tensors.
        weight: the factor, at least 0.

    Returns:
        A 0-d tensor.

    Raises:
        TypeError: if something among the parameters is not a tensor.
        ValueError: if there are none, or the weight is negative.

    Formula: weight sum |theta|, with gradient weight sign(theta), and 0 at 0

    >>> import microtensor as mt
    >>> mt.nn.l1_penalty(mt.tensor([1.0, -3.0]), 0.5)
    tensor(2.)
    """
    return _penalty(lambda theta: ops.abs(theta).sum(), parameters, weight)


def l2_penalty(parameters, weight):
    """Half the sum of squares: its gradient, weight theta, is what SGD adds for weight_decay=weight.

    Args:
        parameters: a Module, a tensor, or an iterable of tensors.
        weight: the factor, at least 0.

    Returns:
        A 0-d tensor.

    Raises:
        TypeError: if something among the parameters is not a tensor.
        ValueError: if there are none, or the weight is negative.

    Formula: weight/2 sum theta^2, with gradient weight theta

    >>> import microtensor as mt
    >>> mt.nn.l2_penalty(mt.tensor([1.0, -3.0]), 0.5)
    tensor(2.5)
    """
    return _penalty(lambda theta: (theta * theta).sum() / 2, parameters, weight)


def _penalty(of_one, parameters, weight):
    if isinstance(parameters, Module):
        parameters = parameters.parameters()
    parameters = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    for parameter in parameters:
        if not isinstance(parameter, Tensor):
            raise TypeError(f"a penalty takes tensors, not {type(parameter).__name__}")
    if not parameters:
        raise ValueError("a penalty on no parameters: pass the module or a list, since a generator such as "
                         "net.parameters() gives them only once")
    if not weight >= 0:
        raise ValueError(f"the weight of a penalty must be at least 0, got {weight}")
    return functools.reduce(operator.add, map(of_one, parameters)) * weight
