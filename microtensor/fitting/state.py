"""States: what a training changes, as dicts of tensors and numbers that can be kept, compared and put back."""

import contextlib
import itertools
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np

from microtensor.core import Tensor, no_grad
from microtensor.data import DataLoader, Subset, TensorDataset
from microtensor.nn import Module
from microtensor.random import Generator

_PACKAGE = str(Path(__file__).parents[1])
ROWS = 64       # of a data set, evenly spaced, that its checksum reads


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
        return type(state)(map(copied, state))
    return state


def parameters_and_buffers(module):
    """The parameters and buffers of a module by name, but those in read-only memory, which no training changes."""
    named = [*module.named_parameters(), *module.named_buffers()]
    return {name: tensor for name, tensor in named if tensor.detach().numpy().flags.writeable}


def load_parameters_and_buffers(module, state):
    """Copy what ``parameters_and_buffers`` gave back into a module, once its names, shapes and dtypes are checked."""
    own = parameters_and_buffers(module)
    if own.keys() != state.keys():
        differing = sorted(own.keys() ^ state.keys())
        raise ValueError(f"{type(module).__name__} and its state differ in {', '.join(differing)}")
    for name, tensor in own.items():
        saved = state[name]
        if (saved.shape, saved.dtype) != (tensor.shape, tensor.dtype):
            raise ValueError(f"{name} is {saved.shape} {saved.dtype} in the state, {tensor.shape} {tensor.dtype} here")
    with no_grad():
        for name, tensor in own.items():
            tensor.copy_(state[name])


def switches(module):
    """What can be turned on and off: the mode of each module, and whether each parameter is trained."""
    return {"training": [part.training for part in module.modules()],
            "requires_grad": [parameter.requires_grad for parameter in module.parameters()]}


def load_switches(module, state):
    """Turn on and off what ``switches`` gave."""
    for part, training in zip(module.modules(), state["training"], strict=True):
        part.training = training
    for parameter, requires_grad in zip(module.parameters(), state["requires_grad"], strict=True):
        parameter.requires_grad_(requires_grad)


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


def generators(owner, name):
    """The mt.Generators that an object holds as attributes, or in lists and dicts there, by a name for each."""
    found = {}
    for attribute, value in getattr(owner, "__dict__", {}).items():
        inside = enumerate(value) if isinstance(value, (list, tuple)) else ()
        inside = value.items() if isinstance(value, dict) else inside
        for path, held in [(attribute, value), *((f"{attribute}.{key}", held) for key, held in inside)]:
            if isinstance(held, Generator):
                found[f"{name}.{path}"] = held
    return found


def module_settings(module):
    """What tells a module from others, but the numbers in its tensors: what it prints, and its plain attributes."""
    plain = {f"{path}.{name}".strip("."): value
             for path, part in module.named_modules() for name, value in vars(part).items()
             if name != "training" and isinstance(value, (bool, int, float, str))}
    return {"printed": repr(module).splitlines(), **plain}


def nested_datasets(data):
    """The data set of a loader, and those that it is made of."""
    dataset = getattr(data, "dataset", None)
    while dataset is not None:
        yield dataset
        dataset = getattr(dataset, "dataset", None)


def data_settings(data):
    """What tells data from others: how many rows and batches, and for tensors a checksum of some rows."""
    settings = {"class": type(data).__name__, "batches": len(data)}
    if isinstance(data, DataLoader):
        rows = len(data.dataset)
        settings |= {"rows": rows, "batch_size": data.batch_size, "drop_last": data.drop_last,
                     "sampler": type(data.sampler).__name__}
        chosen = np.unique(np.linspace(0, rows - 1, min(rows, ROWS)).astype(np.int64))
        dataset = data.dataset
        while type(dataset) is Subset:
            chosen, dataset = dataset.indices[chosen], dataset.dataset
        if type(dataset) is TensorDataset:      # of others a row may be new whenever it is read
            settings["checksum"] = 0
            for tensor in dataset.get_batch(chosen):
                settings["checksum"] = zlib.crc32(np.ascontiguousarray(tensor.detach().numpy()), settings["checksum"])
    return settings


def difference(was, now, name=""):
    """Where two settings first differ: (name, what it was, what it is), or None."""
    if isinstance(was, dict) and isinstance(now, dict):
        for key in [*now, *(key for key in was if key not in now)]:
            found = difference(was.get(key), now.get(key), f"{name} {key}".strip())
            if found:
                return found
        return None
    if isinstance(was, (list, tuple)) and isinstance(now, (list, tuple)):
        return next(filter(None, (difference(a, b, name) for a, b in itertools.zip_longest(was, now))), None)
    return None if was == now else (name, was, now)
