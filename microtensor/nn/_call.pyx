"""What a net does at every step, in C: calling its layers, and looking through their attributes for parameters."""

from cpython.dict cimport PyDict_Next
from cpython.object cimport Py_TYPE, PyObject, PyTypeObject

from microtensor.core cimport Py_EnterRecursiveCall, Py_LeaveRecursiveCall, Tensor, identity, note_mode

import collections

from microtensor.nn.parameter import Parameter

cdef extern from "Python.h":
    dict PyObject_GenericGetDict(object x, void* context)
    bint PyObject_TypeCheck(object x, type kind)        # isinstance, but for classes that lie about themselves

cdef type PARAMETER = Parameter, DEQUE = collections.deque
cdef tuple NAMED = (ValueError, TypeError, RuntimeError, IndexError)    # errors that get the name of their layer
cdef Py_ssize_t _searches = 0


cdef class ModuleBase:
    """The part of ``nn.Module`` that is compiled."""

    def __call__(self, *args, **kwargs):
        """``forward(*args, **kwargs)``; an error names the layer it comes from: ``Linear 'net.2': ...``."""
        note_mode(self)
        try:
            if kwargs or not 1 <= len(args) <= 2:
                return self.forward(*args, **kwargs)
            if len(args) == 1:                      # the usual calls: no method, no tuple and no dict to make
                return self.forward(args[0])
            return self.forward(args[0], args[1])
        except NAMED as error:
            self._name_layer(error)
            raise

    def parameters(self, bint recurse=True):
        """The Parameters, each once: what an optimiser takes.

        Args:
            recurse: also those of the modules inside.

        Raises:
            TypeError: if modules or parameters hide in a list, tuple, set or dict.

        >>> import microtensor as mt
        >>> [weight.shape for weight in mt.nn.Linear(2, 3).parameters()]
        [(3, 2), (3,)]
        """
        global _searches
        _searches += 1
        cdef list found = [], suspects = []
        search(self, _searches, set() if recurse else None, found, suspects)
        for module in suspects:
            module._refuse_hidden_parts()
        return iter(found)


cdef PyTypeObject* BASE = <PyTypeObject*>ModuleBase


def call_in_row(dict attributes not None, input):
    """The input through all modules among the attributes, one after the other: what Sequential does.

    Raises:
        RuntimeError: if there are more or fewer attributes after the call of a module than before.
    """
    cdef Py_ssize_t place = 0, size = len(attributes)
    cdef PyObject* value
    cdef ModuleBase module                              # holds it, as its forward may delete the attribute
    while PyDict_Next(attributes, &place, NULL, &value):
        if not isinstance(<object>value, ModuleBase):
            continue
        module = <ModuleBase>value
        input = call_with(module, input)
        if len(attributes) != size:
            raise RuntimeError(f"the attributes of a Sequential changed while its {type(module).__name__} was called: "
                               "add or delete modules before the call, or after it")
    return input


cdef object call_with(ModuleBase module, object input):
    """``module(input)``, without what the call of an object costs."""
    if Py_TYPE(module).tp_call != BASE.tp_call:         # of a class with a __call__ of its own
        return module(input)
    note_mode(module)
    try:
        return module.forward(input)
    except NAMED as error:
        module._name_layer(error)
        raise


cdef int search(ModuleBase module, Py_ssize_t number, set searched, list found, list suspects) except -1:
    """Find the parameters of a module, and then those of the modules inside, if there is a set of those searched.

    A parameter that is met again bears the number of this search. That holds as no other code can run meanwhile, so
    modules that have containers, which may hide parts and be of the user's classes, are looked at later.
    """
    cdef dict attributes = PyObject_GenericGetDict(module, NULL)
    cdef bint has_modules = False, has_containers = False
    cdef PyObject* name
    cdef PyObject* value
    cdef Py_ssize_t place = 0
    while PyDict_Next(attributes, &place, &name, &value):
        if is_setting(<object>value):
            continue
        if PyObject_TypeCheck(<object>value, PARAMETER):
            if (<Tensor>value).met != number:
                (<Tensor>value).met = number
                found.append(<object>value)
        elif isinstance(<object>value, ModuleBase):
            has_modules = True
        elif is_container(<object>value) and <object>name != "_buffers":        # which are names and truth values
            has_containers = True
    if has_containers:
        suspects.append(module)
    if has_modules and searched is not None and identity(module) not in searched:
        searched.add(identity(module))
        Py_EnterRecursiveCall(" in the modules of a module")
        try:
            place = 0
            while PyDict_Next(attributes, &place, NULL, &value):
                if not is_setting(<object>value) and isinstance(<object>value, ModuleBase):
                    search(<ModuleBase>value, number, searched, found, suspects)
        finally:
            Py_LeaveRecursiveCall()
    return 0


cdef inline bint is_setting(object value):
    """Whether a value is one of those that most attributes have, which are told from parts at once."""
    return value is None or isinstance(value, (int, str)) or type(value) is float


cpdef bint is_container(object value):
    """Whether a value may hold others that are parts of a module."""
    return isinstance(value, (list, tuple, set, dict)) or PyObject_TypeCheck(value, DEQUE)
