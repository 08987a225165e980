"""States: what a training changes, as dicts of tensors and numbers that can be kept, compared and put back."""

import contextlib
import functools
import itertools
import sys
import types
import warnings
import zlib
from pathlib import Path

import numpy as np

from microtensor.core import Tensor, no_grad
from microtensor.data import DataLoader, Subset, TensorDataset
from microtensor.nn import Module
from microtensor.random import Generator

_PACKAGE = str(Path(__file__).parents[1])
_ROWS = 64          # of a data set, evenly spaced, that its checksum reads
_ITEMS = 1000       # longer lists and dicts are data, and not searched for generators; nor are these:
_CLOSED = (Tensor, np.ndarray, type, types.ModuleType, types.FunctionType, types.MethodType)


def warn(message):
    """A RuntimeWarning at the line of the user's program that called the package."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith((_PACKAGE, contextlib.__file__)):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, RuntimeWarning, stacklevel=level - 1)


def copied(state):
    """A state with tensors of its own."""
    if isinstance(state, Tensor):
        return state.detach().clone()
    if isinstance(state, dict):
        return {name: copied(value) for name, value in state.items()}
    if isinstance(state, (list, tuple)):
        return (list if isinstance(state, list) else tuple)(map(copied, state))
    return state


# -- modules -----------------------------------------------------------------------------------------------------------


def tensors(module):
    """The parameters and buffers of a module by name, but those in read-only memory, which no training changes."""
    named = [*module.named_parameters(), *module.named_buffers()]
    return {name: tensor for name, tensor in named if tensor.detach().numpy().flags.writeable}


def load_tensors(module, state):
    """Put back what ``tensors`` gave. Parameters must have its names, shapes and dtypes; buffers may have others."""
    own = tensors(module)
    parameters = {name for name, _ in module.named_parameters() if name in own}
    buffers = {f"{path}.{name}".lstrip("."): (layer, name)
               for path, layer in module.named_modules() for name in layer._buffers}
    wrong = sorted((parameters - state.keys()) | (state.keys() - parameters - buffers.keys()))
    if wrong:
        raise ValueError(f"{type(module).__name__} and its state differ in {', '.join(wrong)}")
    for name in parameters:
        (shape, dtype), tensor = (state[name].shape, state[name].dtype), own[name]
        if (shape, dtype) != (tensor.shape, tensor.dtype):
            raise ValueError(f"{name} is {shape} {dtype} in the state, {tensor.shape} {tensor.dtype} here")
    with no_grad():
        for name, value in state.items():
            tensor = own.get(name)
            if tensor is not None and (tensor.shape, tensor.dtype) == (value.shape, value.dtype):
                tensor.copy_(value)
            else:                   # a buffer that forward replaced
                setattr(*buffers[name], value.clone())
        for name in own.keys() - state.keys():
            setattr(*buffers[name], None)


def switches(module):
    """What else can change: the numbers among the modules' attributes, their modes with them, and what is trained."""
    numbers = {f"{path}.{name}".lstrip("."): value
               for path, layer in module.named_modules()
               for name, value in {**vars(layer), "training": layer.training}.items()
               if isinstance(value, (bool, int, float))}
    return {"numbers": numbers,
            "requires_grad": {name: parameter.requires_grad for name, parameter in module.named_parameters()}}


def load_switches(module, state):
    """Put back what ``switches`` gave."""
    layers, parameters = dict(module.named_modules()), dict(module.named_parameters())
    for name, value in state["numbers"].items():
        path, _, attribute = name.rpartition(".")
        setattr(layers[path], attribute, value)
    for name, requires_grad in state["requires_grad"].items():
        if parameters[name].requires_grad != requires_grad:
            parameters[name].requires_grad_(requires_grad)


@contextlib.contextmanager
def evaluating(*parts):
    """Those of the parts that are modules in evaluation mode inside, and afterwards as they were."""
    modules = [module for part in parts if isinstance(part, Module) for module in part.modules()]
    modes = [module.training for module in modules]
    try:
        for module in modules:
            module.training = False
        yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode


# -- generators --------------------------------------------------------------------------------------------------------


def generators(parts):
    """The mt.Generators that objects hold, in attributes, lists and dicts at any depth, by their paths."""
    found, seen, waiting = {}, set(), list(parts.items())[::-1]
    while waiting:              # no recursion: a chain of objects may be long
        path, thing = waiting.pop()
        if isinstance(thing, Generator):
            found[path] = thing
        elif id(thing) not in seen and not isinstance(thing, _CLOSED):
            seen.add(id(thing))
            if isinstance(thing, (list, tuple)):
                inside = enumerate(thing) if len(thing) <= _ITEMS else ()
            elif isinstance(thing, dict):
                inside = thing.items() if len(thing) <= _ITEMS else ()
            else:
                inside = getattr(thing, "__dict__", {}).items()
            waiting += [(f"{path}.{name}", value) for name, value in inside][::-1]
    return found


# -- settings ----------------------------------------------------------------------------------------------------------


def module_settings(module):
    """What tells a module from others: the classes of its layers and, for the package's own, their plain attributes."""
    return {path or type(module).__name__: {
        "class": type(layer).__name__,
        **{name: value for name, value in vars(layer).items()
           if type(layer).__module__.startswith("microtensor.") and name != "training"
           and isinstance(value, (bool, int, float, str))},
    } for path, layer in module.named_modules()}


def function_settings(function):
    """What tells a function from others: its name, and of a module its settings."""
    if isinstance(function, Module):
        return module_settings(function)
    if isinstance(function, functools.partial):
        plain = {name: value for name, value in function.keywords.items() if isinstance(value, (bool, int, float, str))}
        return {"partial": function_settings(function.func), **plain}
    return getattr(function, "__name__", type(function).__name__)


def data_settings(data):
    """What tells data from others: how many rows and batches, which rows, and of tensors a checksum of some rows."""
    settings = {"class": type(data).__name__, "batches": len(data)}
    if isinstance(data, DataLoader):
        dataset, rows = data.dataset, np.arange(len(data.dataset))
        settings |= {"rows": len(rows), "batch_size": data.batch_size, "drop_last": data.drop_last,
                     "sampler": type(data.sampler).__name__}
        while type(dataset) is Subset:
            rows, dataset = dataset.indices[rows], dataset.dataset
        settings["row numbers"] = _checksum(rows, np.asarray(getattr(data.sampler, "indices", 0)))
        if type(dataset) is TensorDataset:      # of others a row may be new whenever it is read
            some = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _ROWS)).astype(np.int64))
            settings["numbers"] = _checksum(*(tensor.detach().numpy() for tensor in dataset.get_batch(rows[some])))
    return settings


def _checksum(*arrays):
    return functools.reduce(lambda total, array: zlib.crc32(np.ascontiguousarray(array), total), arrays, 0)


def difference(was, now, name=""):
    """Where two settings first differ: (name, what it was, what it is), or None."""
    if isinstance(was, dict) and isinstance(now, dict):
        pairs = [(f"{name} {key}".strip(), was.get(key), now.get(key)) for key in {**now, **was}]
    elif isinstance(was, (list, tuple)) and isinstance(now, (list, tuple)):
        pairs = [(name, a, b) for a, b in itertools.zip_longest(was, now)]
    else:
        both_nan = was != was and now != now
        return None if was == now or both_nan else (name, was, now)
    return next(filter(None, (difference(a, b, path) for path, a, b in pairs)), None)
