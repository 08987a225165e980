"""What a net does at every step, in C: calling its layers, and looking through their attributes for parameters."""

from microtensor.core cimport Py_EnterRecursiveCall, Py_LeaveRecursiveCall

import collections

cdef type deque = collections.deque


cdef class ModuleBase:
    """The part of ``nn.Module`` that is compiled."""

    def __call__(self, *args, **kwargs):
        """``forward(*args, **kwargs)``; an error names the layer it comes from: ``Linear 'net.2': ...``."""
        try:
            if kwargs or len(args) != 1:
                return self.forward(*args, **kwargs)
            return self.forward(args[0])            # the usual call: no tuple and no dict to make
        except (ValueError, TypeError, RuntimeError, IndexError) as error:
            self._name_layer(error)
            raise

    def _own(self, type kind):
        """The attributes of one kind (Parameter or Module) as pairs of name and value."""
        cdef dict attributes = self.__dict__
        return [(name, value) for name, value in attributes.items() if isinstance(value, kind)]

    def _refuse_hidden_parts(self):
        """Raise if a container among the attributes holds modules or parameters, which would be missed."""
        cdef dict attributes = self.__dict__
        for name, value in attributes.items():
            if isinstance(value, (list, tuple, set, dict)) or isinstance(value, deque):
                self._refuse_hidden(name, value)

    def _named_modules(self, set memo, str prefix):
        """Pairs of dotted path and module: this one and all inside that are not in memo, which may be None."""
        cdef list found = []
        _collect(self, memo, prefix, found)
        return found


cdef int _collect(ModuleBase module, set memo, str path, list found) except -1:
    if memo is not None:
        if module in memo:
            return 0
        memo.add(module)
    module._refuse_hidden_parts()
    found.append((path, module))
    cdef dict attributes = module.__dict__
    Py_EnterRecursiveCall(" in the modules of a module")        # one may be its own part
    try:
        for name, value in attributes.items():
            if isinstance(value, ModuleBase):
                _collect(<ModuleBase>value, memo, f"{path}.{name}" if path else name, found)
    finally:
        Py_LeaveRecursiveCall()
    return 0
