"""microtensor: reverse-mode autograd from scratch, in Cython on NumPy storage."""

try:
    from microtensor import _isa_path
except ModuleNotFoundError as error:
    raise ImportError(
        f"microtensor's compiled modules are missing in {__path__[0]}: build them with `pip install -e .` in the "
        "checkout, or leave the checkout's folder if microtensor is installed elsewhere"
    ) from error

_isa_path.extend(__path__)

import numpy as _np  # noqa: E402

from microtensor import ops  # noqa: E402
from microtensor._version import __version__  # noqa: E402
from microtensor.core import (  # noqa: E402
    Tensor,
    enable_grad,
    from_numpy,
    grad,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from microtensor.creation import (  # noqa: E402
    arange,
    empty,
    empty_like,
    eye,
    full,
    full_like,
    ones,
    ones_like,
    rand,
    rand_like,
    randint,
    randn,
    randn_like,
    randperm,
    tensor,
    zeros,
    zeros_like,
)
from microtensor.gradcheck import gradcheck  # noqa: E402
from microtensor.ops import *  # noqa: E402, F403
from microtensor.random import Generator, default_generator, manual_seed  # noqa: E402
from microtensor.threads import get_num_threads, set_num_threads  # noqa: E402

float32, float64 = _np.dtype(_np.float32), _np.dtype(_np.float64)
uint8, int8, int16, int32, int64 = (_np.dtype(name) for name in ("uint8", "int8", "int16", "int32", "int64"))
bool = _np.dtype(_np.bool_)
