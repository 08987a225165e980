"""The differentiable operations: each with its derivation, its loops, its rule and its samples."""

import sys

from microtensor import _isa_path

_isa_path.extend(__path__, "ops")

from microtensor.core import bind_ops
from microtensor.ops.activation import (
    elu,
    gelu,
    leaky_relu,
    relu,
    selu,
    sigmoid,
    silu,
    softplus,
    tanh,
)
from microtensor.ops.arithmetic import (
    abs,
    add,
    clamp,
    div,
    exp,
    log,
    maximum,
    minimum,
    mul,
    neg,
    pow,
    sign,
    sqrt,
    square,
    sub,
    where,
)
from microtensor.ops.base import result_type
from microtensor.ops.dropout import alpha_dropout, dropout
from microtensor.ops.linear import linear, matmul
from microtensor.ops.loss import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    huber_loss,
    l1_loss,
    mse_loss,
    smooth_l1_loss,
)
from microtensor.ops.norm import batch_norm, layer_norm
from microtensor.ops.reduce import (
    amax,
    amin,
    argmax,
    argmin,
    logsumexp,
    max,
    mean,
    min,
    std,
    sum,
    var,
)
from microtensor.ops.registry import registered_ops
from microtensor.ops.shape import (
    cat,
    clone,
    embedding,
    expand,
    flatten,
    index,
    permute,
    reshape,
    squeeze,
    stack,
    sum_to,
    t,
    to,
    transpose,
    unsqueeze,
)
from microtensor.ops.softmax import cross_entropy, log_softmax, nll_loss, softmax

__all__ = [name for name, value in globals().items() if callable(value) and name not in ("bind_ops", "result_type")]

bind_ops(sys.modules[__name__])
