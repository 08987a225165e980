"""microtensor: reverse-mode autograd from scratch, in Cython on NumPy storage."""

import sys as _sys

try:
    from microtensor import _isa_path

    _isa_path.extend(__path__)
    from microtensor import core as _core
except ImportError as error:
    if not ((error.name or "").startswith("microtensor") or (error.path or "").startswith(__path__[-1])):
        raise  # NumPy is missing, say, or a level that was asked for
    raise ImportError(
        f"microtensor's compiled modules in {__path__[-1]} are missing or not for this Python: {error}; build them "
        "with `pip install -e .` in the checkout, or leave the checkout's folder if microtensor is installed elsewhere"
    ) from error
if not getattr(_sys, "_is_gil_enabled", lambda: True)():
    raise ImportError("microtensor counts on the GIL, which this free-threaded Python runs without: unset PYTHON_GIL=0")

import numpy as _np

from microtensor import autograd, data, datasets, nn, ops, optim, random
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
from microtensor.kernels.memory import empty_cache
from microtensor.kernels.threads import get_num_threads, set_num_threads
from microtensor.ops import *
from microtensor.random import Generator, default_generator, manual_seed
from microtensor.serialization import load, save

float32, float64 = _np.dtype(_np.float32), _np.dtype(_np.float64)
uint8, int8, int16, int32, int64 = (_np.dtype(name) for name in ("uint8", "int8", "int16", "int32", "int64"))
bool = _np.dtype(_np.bool_)


# What is imported when it is asked for, as most programs need not wait for it: by module, each with what help(mt) says.
_LATER = {
    "capturing": {
        "capturing": "Captured functions: a step that is recorded once, and run again without Python.",
        "capture": "A function of fixed tensors that runs once as it is written, and then as the same loops on the "
                   "same memory.",
    },
    "fitting": {
        "fitting": "Training: fit runs the loop, evaluate measures, and callbacks are called after every epoch.",
        "fit": "Train a model, and say after each epoch how well it does.",
        "evaluate": "The loss and the metrics of a model in evaluation mode, on whole data, by name.",
    },
    "metrics": {
        "metrics": "Metrics for fit and evaluate: functions of all outputs and targets that return a number.",
    },
    "tables": {
        "tables": "Tables: read a CSV file, split its rows, and encode its columns as the inputs and targets of a net.",
        "Table": "A table of text cells, read from a CSV file, with a target column if it is to be trained on.",
    },
    "gradcheck": {
        "gradcheck": "Gradients compared with differences: ``gradcheck`` for any function, and checks of modules, "
                     "optimisers and ops.",
        "gradgradcheck": "Check second-order gradients: those of x, c -> c J(x), the vector-Jacobian product, in x and "
                         "c.",
        "check_function": "Check a hand-written backward pass against its forward pass, both in plain NumPy.",
        "check_module": "Check the gradient of a loss with respect to every parameter of a model.",
        "check_optimizer": "Hold an optimiser against a scalar recurrence over several steps with a changing learning "
                           "rate.",
    },
}


def __getattr__(name):
    for room, texts in _LATER.items():
        if name in texts:
            from importlib import import_module

            module = import_module(f"microtensor.{room}")
            return globals().setdefault(name, module if name == room else getattr(module, name))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *(name for texts in _LATER.values() for name in texts)})


def _contents():
    """What help(mt) shows: a line for every name, the first of its docstring, under that of the module it is from."""

    def first_line(value, name=""):
        lines = (value.__doc__ or "").split("\n", 3)
        if name and lines[0].startswith(f"{name}("):        # the signature that Cython puts in front
            del lines[0]
        return next((line.strip() for line in lines if line.strip()), "")

    names = {name: value for name, value in globals().items() if not name.startswith("_")}
    later = {name: text for texts in _LATER.values() for name, text in texts.items()}
    groups = {"Below mt, each with a help of its own:": {name: names.get(name) for name in _ROOMS}}
    for room, texts in _LATER.items():
        groups[texts[room]] = {name: None for name in texts if name != room}
    for name, value in names.items():
        if name not in _ROOMS and hasattr(value, "__module__"):     # neither a module nor a dtype
            groups.setdefault(first_line(_sys.modules[value.__module__]), {})[name] = value
    for heading, members in filter(lambda group: group[1], groups.items()):
        yield f"\n{heading}"
        for name, value in members.items():
            yield f"    {name:<17} {later.get(name) or first_line(value, name)}"
    yield "\nNumPy's dtypes, which tensors have:"
    yield f"    {', '.join(name for name, value in names.items() if isinstance(value, _np.dtype))}"


_ROOMS = ("nn", "optim", "autograd", "gradcheck", "capturing", "data", "datasets", "fitting", "metrics", "ops",
          "random", "tables")
if __doc__:         # python -OO takes all docstrings away
    __doc__ = "\n".join([__doc__, *_contents()])
