"""Sequential and ModuleList. Their children are attributes like any module's, named "0", "1", ..."""

import operator

from microtensor.nn._call import call_in_row
from microtensor.nn.module import Module


class _Sequence(Module):
    """A module that is also a sequence: of its children."""

    def __len__(self):
        return len(self._own(Module))

    def __iter__(self):
        return iter([module for _, module in self._own(Module)])

    def __getitem__(self, index):
        return getattr(self, self._name_at(index))

    def __setitem__(self, index, module):
        self.add_module(self._name_at(index), module)

    def _name_at(self, index):
        names = [name for name, _ in self._own(Module)]
        index = operator.index(index)
        if not -len(names) <= index < len(names):
            raise IndexError(f"index {index} is out of range for {len(names)} modules")
        return names[index]

    def add_module(self, name, module):
        """Add a module under a name of its own, or put it in the place of the one with that name.

        Raises:
            TypeError: if the name is not a string or the value not a Module.
            KeyError: if the name is empty, has a dot, or is taken by something else.
        """
        if isinstance(module, type) and issubclass(module, Module):
            raise TypeError(f"module {name!r} of a {type(self).__name__} is the class {module.__name__}: make a module "
                            f"of it, {module.__name__}()")
        if isinstance(module, (list, tuple)):
            raise TypeError(f"a {type(self).__name__} takes modules, not a {type(module).__name__} of them: put a * "
                            "before it")
        if module is None:
            raise TypeError(f"module {name!r} of a {type(self).__name__} must be a Module, not None")
        super().add_module(name, module)

    def append(self, module):
        """Add a module at the end; returns the container."""
        name = str(len(self))
        if hasattr(self, name):             # a slice keeps its names, so they need not be 0, 1, 2, ...
            raise KeyError(f"cannot append as {name!r}, which is taken: call add_module with another name")
        self.add_module(name, module)
        return self


class Sequential(_Sequence):
    """Modules in a row: each takes the output of the one before.

    Args:
        args: modules, which get the names "0", "1", ...; or one (ordered) dict of modules by name.

    An index gives a module, a slice a Sequential of the same modules under the same names.

    Raises:
        TypeError: for anything that is not a module.

    Formula: y = f_n(... f_2(f_1(x)))

    >>> import microtensor as mt
    >>> mt.nn.Sequential(mt.nn.Linear(2, 16), mt.nn.ReLU(), mt.nn.Linear(16, 2))
    Sequential(
      (0): Linear(in_features=2, out_features=16, bias=True)
      (1): ReLU()
      (2): Linear(in_features=16, out_features=2, bias=True)
    )
    """

    def __init__(self, *args):
        if len(args) == 1 and isinstance(args[0], dict):
            named = args[0].items()
        else:
            named = [(str(i), module) for i, module in enumerate(args)]
        for name, module in named:
            self.add_module(name, module)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return Sequential(dict(self._own(Module)[index]))
        return super().__getitem__(index)

    def forward(self, input):
        """The output of the last module; the input itself if there is none."""
        return call_in_row(self.__dict__, input)


class ModuleList(_Sequence):
    """A list of modules that counts as part of the module it is assigned to, as a Python list would not.

    Args:
        modules: an iterable of modules.

    Raises:
        TypeError: for anything that is not a module.

    >>> import microtensor as mt
    >>> len(mt.nn.ModuleList(mt.nn.Linear(4, 4) for _ in range(3)))
    3
    """

    def __init__(self, modules=()):
        self.extend(modules)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return ModuleList([*self][index])
        return super().__getitem__(index)

    def extend(self, modules):
        """Add modules at the end; returns the container."""
        for module in modules:
            self.append(module)
        return self
