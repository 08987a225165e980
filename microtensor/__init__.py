"""microtensor: reverse-mode autograd from scratch, in Cython on NumPy storage."""

try:
    from microtensor import _isa_path
except ModuleNotFoundError as error:
    raise ImportError(
        f"microtensor's compiled modules are missing in {__path__[0]}: build them with `pip install -e .` in the "
        "checkout, or leave the checkout's folder if microtensor is installed elsewhere"
    ) from error

_isa_path.extend(__path__)

import numpy as _np

from microtensor import data, datasets, nn, ops, optim
from microtensor._version import __version__
from microtensor.core import (
    Tensor,
    enable_grad,
    from_numpy,
    grad,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from microtensor.creation import (
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
from microtensor.gradcheck import gradcheck, gradgradcheck
from microtensor.kernels.memory import empty_cache
from microtensor.kernels.threads import get_num_threads, set_num_threads
from microtensor.ops import *
from microtensor.random import Generator, default_generator, manual_seed
from microtensor.serialization import load, save

float32, float64 = _np.dtype(_np.float32), _np.dtype(_np.float64)
uint8, int8, int16, int32, int64 = (_np.dtype(name) for name in ("uint8", "int8", "int16", "int32", "int64"))
bool = _np.dtype(_np.bool_)
