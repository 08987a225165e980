"""The differentiable operations: each with its derivation, its loops, its rule and its samples."""

import sys

from microtensor import _isa_path

_isa_path.extend(__path__, "ops")

from microtensor.core import bind_ops  # noqa: E402
from microtensor.ops.activation import (  # noqa: E402
    elu,
    leaky_relu,
    log_softmax,
    relu,
    selu,
    sigmoid,
    softmax,
    tanh,
)
from microtensor.ops.arithmetic import (  # noqa: E402
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
    sub,
    where,
)
from microtensor.ops.dropout import dropout  # noqa: E402
from microtensor.ops.elementwise import result_type  # noqa: E402
from microtensor.ops.linear import linear, matmul  # noqa: E402
from microtensor.ops.loss import (  # noqa: E402
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    l1_loss,
    mse_loss,
    nll_loss,
)
from microtensor.ops.norm import batch_norm  # noqa: E402
from microtensor.ops.reduce import (  # noqa: E402
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
from microtensor.ops.registry import registered_ops  # noqa: E402
from microtensor.ops.shape import (  # noqa: E402
    cat,
    clone,
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

__all__ = [name for name in dir() if not name.startswith("_") and name not in ("sys", "bind_ops")]

bind_ops(sys.modules[__name__])
