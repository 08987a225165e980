"""Module: a part of a network, with its parameters, buffers and child modules.

There is no registry. A module's parameters are those of its attributes that are Parameters, its children
those that are Modules, in the order in which they were assigned:

    class Net(nn.Module):
        def __init__(self):
            self.hidden = nn.Linear(2, 16)      # a child; its parameters are hidden.weight and hidden.bias
            self.scale = nn.Parameter(mt.ones(1))

        def forward(self, x):
            return self.hidden(x).tanh() * self.scale
"""

import textwrap
from collections import namedtuple
from collections.abc import Mapping
from os import PathLike

import numpy as np

from microtensor import foreach, ops
from microtensor.core import Tensor, float32, float64, no_grad
from microtensor.nn._call import ModuleBase, is_container
from microtensor.nn.parameter import Parameter

IncompatibleKeys = namedtuple("IncompatibleKeys", ["missing_keys", "unexpected_keys"])


class Module(ModuleBase):
    """Base class of layers and networks: a subclass assigns its parts as attributes and defines ``forward``.

    Attributes:
        training: whether Dropout drops and BatchNorm uses the batch's statistics, here and inside; set it by
            ``train()`` and ``eval()``.

    >>> import microtensor as mt
    >>> class Scale(mt.nn.Module):
    ...     def __init__(self):
    ...         self.factor = mt.nn.Parameter(mt.tensor(3.0))
    ...
    ...     def forward(self, x):
    ...         return x * self.factor
    >>> Scale()(mt.ones(2)).detach()
    tensor([3., 3.])
    """

    training = True
    _buffers = {}       # noqa: RUF012  name: persistent; never changed in place, so that all may start from this one

    def __init__(self):
        """A module without options; a subclass that has some need not call this."""

    def forward(self, *args, **kwargs):
        """The computation; every subclass defines it, and users call the module itself."""
        raise NotImplementedError(f"{type(self).__name__} has no forward: define one")

    def _name_layer(self, error):
        """Begin the message with the class of the layer that failed and its path as seen from this module.

        Each module that the error passes on its way out sees a longer path and writes the message anew.
        """
        if error.args != (str(error),):
            return                          # more than a message: its class gives the arguments a meaning
        op, _, rest = str(error).partition(": ")        # an op begins its message with its own name
        layer, message = getattr(error, "_raised_in", (self, rest if hasattr(ops, op) else str(error)))
        error._raised_in = layer, message
        path = next((path for path, module in self.named_modules() if module is layer), "")
        place = f"{type(layer).__name__} {path!r}" if path else type(layer).__name__
        error.args = (f"{place}: {message}",)

    # -- what it is made of

    def _own(self, kind):
        """The attributes of one kind (Parameter or Module) as pairs of name and value."""
        return [(name, value) for name, value in self.__dict__.items() if isinstance(value, kind)]

    def _own_parameters(self):
        return self._own(Parameter)

    def _refuse_hidden_parts(self):
        """Raise if a container among the attributes holds modules or parameters, which would be missed."""
        for name, value in self.__dict__.items():
            if is_container(value):
                self._refuse_hidden(name, value)

    def _refuse_hidden(self, name, container):
        """Raise if a container holds modules or parameters that are not attributes as well."""
        attributes = self.__dict__.values()
        for item in container.values() if isinstance(container, dict) else container:
            if is_container(item):
                self._refuse_hidden(name, item)
            elif isinstance(item, (Module, Parameter)) and not any(item is value for value in attributes):
                raise TypeError(
                    f"{type(self).__name__}.{name} is a {type(container).__name__} that holds a "
                    f"{type(item).__name__}, which training and saving would miss: use nn.ModuleList for "
                    "modules, and an attribute of its own for a parameter")

    def _own_buffers(self, persistent_only=False):
        names = [name for name, persistent in self._buffers.items() if persistent or not persistent_only]
        return [(name, getattr(self, name)) for name in names if getattr(self, name) is not None]

    def named_children(self):
        """Pairs of name and module for the modules directly inside; a shared one once."""
        self._refuse_hidden_parts()
        seen = set()
        for name, module in self._own(Module):
            if module not in seen:
                seen.add(module)
                yield name, module

    def children(self):
        """The modules directly inside; a shared one once."""
        for _, module in self.named_children():
            yield module

    def named_modules(self, memo=None, prefix="", remove_duplicate=True):
        """Pairs of dotted path and module: this one, whose path is the prefix, and all inside it.

        Args:
            memo: a set of modules to leave out; those met are added.
            prefix: begins every path.
            remove_duplicate: show a shared module once, under its first path.
        """
        if memo is None:
            memo = set()
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        self._refuse_hidden_parts()
        yield prefix, self
        for name, module in self._own(Module):
            yield from module.named_modules(memo, _join(prefix, name), remove_duplicate)

    def modules(self):
        """This module and all inside it; a shared one once."""
        for _, module in self.named_modules():
            yield module

    def named_parameters(self, prefix="", recurse=True, remove_duplicate=True):
        """Pairs of dotted name and Parameter.

        Args:
            prefix: begins every name.
            recurse: also those of the modules inside.
            remove_duplicate: show a shared parameter once, under its first name.

        Raises:
            TypeError: if modules or parameters hide in a list, tuple, set or dict.

        >>> import microtensor as mt
        >>> [name for name, _ in mt.nn.Sequential(mt.nn.Linear(2, 3)).named_parameters()]
        ['0.weight', '0.bias']
        """
        return self._named_tensors(Module._own_parameters, prefix, recurse, remove_duplicate)

    def named_buffers(self, prefix="", recurse=True, remove_duplicate=True):
        """Pairs of dotted name and buffer; arguments as ``named_parameters``."""
        return self._named_tensors(Module._own_buffers, prefix, recurse, remove_duplicate)

    def buffers(self, recurse=True):
        """The buffers, each once."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def _named_tensors(self, own, prefix, recurse, remove_duplicate):
        seen = set()
        if recurse:
            modules = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
        else:
            self._refuse_hidden_parts()
            modules = [(prefix, self)]
        for path, module in modules:
            for name, tensor in own(module):
                if not remove_duplicate or tensor not in seen:
                    seen.add(tensor)
                    yield _join(path, name), tensor

    # -- parts under a name that is computed

    def register_buffer(self, name, tensor, persistent=True):
        """Make a tensor an attribute that belongs to the module's state but is not trained: a running mean.

        Args:
            name: the attribute.
            tensor: a Tensor, or None.
            persistent: whether ``state_dict`` contains it.

        Raises:
            TypeError: if the name is not a string or the tensor not a Tensor or None.
            KeyError: if the name is empty, has a dot, or is taken.
        """
        self._add(name, tensor, Tensor, taken=name not in self._buffers)
        self._buffers = {**self._buffers, name: persistent}

    def register_parameter(self, name, param):
        """Make a Parameter (or None) an attribute; the same as ``module.name = param``, but checked.

        Raises:
            TypeError: if the name is not a string or the value not a Parameter or None.
            KeyError: if the name is empty, has a dot, or is taken.
        """
        self._add(name, param, Parameter, taken=not isinstance(self.__dict__.get(name), Parameter))

    def add_module(self, name, module):
        """Make a module (or None) a child; the same as ``self.name = module``, but checked.

        Raises:
            TypeError: if the name is not a string or the value not a Module or None.
            KeyError: if the name is empty, has a dot, or is taken.
        """
        self._add(name, module, Module, taken=not isinstance(self.__dict__.get(name), Module))

    def _add(self, name, value, kind, taken):
        """Set an attribute; `taken` says whether one that is there already would be something else."""
        if not isinstance(name, str):
            raise TypeError(f"the name of a {kind.__name__} must be a string, not {type(name).__name__}")
        if not name or "." in name:
            raise KeyError(f"the name of a {kind.__name__} must not be empty or contain a dot, got {name!r}")
        if hasattr(self, name) and taken:
            raise KeyError(f"{type(self).__name__} already has an attribute {name!r}")
        if value is not None and not isinstance(value, kind):
            raise TypeError(f"{name!r} must be a {kind.__name__} or None, not {type(value).__name__}")
        setattr(self, name, value)

    # -- what is done to all of it

    def train(self, mode=True):
        """Behave as in training, here and in all modules inside; returns the module."""
        if not isinstance(mode, bool):
            raise ValueError(f"the training mode must be True or False, got {mode!r}")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self):
        """Behave as in use: ``train(False)``."""
        return self.train(False)

    def requires_grad_(self, requires_grad=True):
        """Set requires_grad of every parameter; returns the module."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none=True):
        """Forget every parameter's gradient, or set it to 0."""
        foreach.zero_grad(list(self.parameters()), set_to_none)

    def apply(self, fn):
        """Call ``fn(module)`` for all modules inside and then this one; returns the module.

        >>> import microtensor as mt
        >>> net = mt.nn.Sequential(mt.nn.Linear(2, 3), mt.nn.ReLU())
        >>> net = net.apply(lambda module: print(type(module).__name__))
        Linear
        ReLU
        Sequential
        """
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def to(self, dtype):
        """Convert floating-point parameters, their gradients, and buffers; returns the module.

        Each Parameter and buffer stays the same object, so an optimiser made before keeps its parameters.

        Args:
            dtype: ``mt.float32`` or ``mt.float64``.

        Raises:
            TypeError: for another dtype.
        """
        if dtype is None or dtype not in (float32, float64):        # to NumPy, None is float64
            raise TypeError(f"a Module's parameters are float32 or float64, not {dtype}")
        for tensor in [*self.parameters(), *self.buffers()]:
            if tensor.dtype.kind == "f" and tensor.dtype != dtype:
                tensor.data = tensor.data.to(dtype)
                if tensor.grad is not None:
                    tensor.grad = tensor.grad.detach().to(dtype)
        return self

    def float(self):
        """Convert to float32."""
        return self.to(float32)

    def double(self):
        """Convert to float64."""
        return self.to(float64)

    # -- state

    def state_dict(self):
        """All parameters and persistent buffers by dotted name, detached; they share the module's memory."""
        return {
            _join(path, name): tensor.detach()
            for path, module in self.named_modules(remove_duplicate=False)
            for name, tensor in module._own_parameters() + module._own_buffers(persistent_only=True)
        }

    def load_state_dict(self, state_dict, strict=True):
        """Copy values into the parameters and buffers, once everything is checked.

        Args:
            state_dict: tensors by dotted name, as ``state_dict()`` gives them.
            strict: whether missing and unexpected names are an error; other shapes always are.

        Returns:
            A named tuple of ``missing_keys`` and ``unexpected_keys``.

        Raises:
            TypeError: if state_dict is not a mapping.
            RuntimeError: with all that does not fit; nothing is changed.

        >>> import microtensor as mt
        >>> net, copy = mt.nn.Linear(2, 3), mt.nn.Linear(2, 3)
        >>> copy.load_state_dict(net.state_dict())
        IncompatibleKeys(missing_keys=[], unexpected_keys=[])
        """
        if not isinstance(state_dict, Mapping):
            load = ": read the file first, with mt.load(path)" if isinstance(state_dict, (str, PathLike)) else ""
            raise TypeError(f"state_dict must be a dict of tensors by name, not {type(state_dict).__name__}{load}")
        own = self.state_dict()
        missing = [name for name in own if name not in state_dict]
        unexpected = [name for name in state_dict if name not in own]
        problems = []
        if strict and unexpected:
            problems.append(f"Unexpected key(s) in state_dict: {_quoted(unexpected)}.")
        if strict and missing:
            problems.append(f"Missing key(s) in state_dict: {_quoted(missing)}.")
        loaded = [(name, tensor, state_dict[name]) for name, tensor in own.items() if name in state_dict]
        for name, tensor, value in loaded:
            problems += _misfits(name, tensor, value)
        if problems:
            title = f"Error(s) in loading state_dict for {type(self).__name__}:"
            raise RuntimeError("\n\t".join([title, *problems]))
        with no_grad(), np.errstate(over="ignore"):
            for tensor, value in [(tensor, value.to(tensor.dtype)) for _, tensor, value in loaded]:
                tensor.copy_(value)
        return IncompatibleKeys(missing, unexpected)

    # -- what it looks like

    def extra_repr(self):
        """What to print between the parentheses of a layer."""
        return ""

    def __repr__(self):
        lines = [f"({name}): {module!r}" for name, module in self._own(Module)]
        if not lines:
            return f"{type(self).__name__}({self.extra_repr()})"
        if self.extra_repr():
            lines.insert(0, self.extra_repr())
        return f"{type(self).__name__}(\n{textwrap.indent(chr(10).join(lines), '  ')}\n)"


def _join(path, name):
    return f"{path}.{name}" if path else name


def _quoted(names):
    return ", ".join(f'"{name}"' for name in names)


def _misfits(name, tensor, value):
    """What keeps a value of a state_dict from being copied into a module's tensor: a sentence, or nothing."""
    if not isinstance(value, Tensor):
        yield f"type mismatch for {name}: expected a Tensor, got {type(value).__name__}."
    elif value.shape != tensor.shape:
        yield f"size mismatch for {name}: the state_dict has shape {value.shape}, the module {tensor.shape}."
    elif not tensor.detach().numpy().flags.writeable:
        yield f"read-only memory: {name} of the module cannot be written to."
    elif not np.can_cast(value.dtype, tensor.dtype, "same_kind"):
        yield f"dtype mismatch for {name}: {value.dtype} of the state_dict does not fit into {tensor.dtype}."
