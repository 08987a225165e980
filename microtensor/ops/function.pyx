"""The nodes of a Function, an op that its user wrote in Python: microtensor/autograd.py is what they write.

    inputs <--edges-- FunctionNode <--edges-- FunctionOutput 0 <--op-- Tensor y_0
                                   <--edges-- FunctionOutput 1 <--op-- Tensor y_1

Each output has a node of its own. On the way back it puts its dL/dy into its slot of the function's node, which runs
when all outputs that the pass meets have done so. A function's code may return anything and keep anything, so each
number of gradients, type, shape and dtype is checked here, and each gradient copied. No node holds its tensor: an
output that was saved is made again for backward, around the same memory and with the same node.
"""

cimport cython
cimport numpy as cnp
from cpython.weakref cimport PyWeakref_NewRef
from numpy cimport ndarray

from microtensor.core cimport Engine, Op, Tensor, Version, _in_graph, lent, record_all, view_of, wrap

import numpy as np

from microtensor.core import check_unmasked

cnp.import_array()


cdef tuple kind_of(ndarray array):
    """What a gradient has to have: shape and dtype."""
    return (<object>array).shape, array.dtype


cdef str told(tuple kind):
    """A kind, for a message."""
    return f"{kind[0]} {kind[1]}"


cdef ndarray copied(object array):
    """A C-contiguous copy, which nobody else holds."""
    return np.array(array, order="C")


cdef object source_of(Tensor x):
    """Where a gradient of the tensor goes."""
    return x.op if x.op is not None else x if x.needs_gradient else None


@cython.final
@cython.no_gc
cdef class Saved:
    """A value that forward saved, as backward will see it: a tensor, or whatever else a function on arrays saves."""

    cdef object value           # what is no tensor
    cdef ndarray array          # or the tensor's memory,
    cdef object source          # what it was computed by, or it itself if it is a leaf that requires a gradient,
    cdef Py_ssize_t slot        # and which output it is, -1 if none
    cdef Version version        # of the tensor, or of one that shares memory with an array
    cdef Py_ssize_t writes      # what the version was


@cython.final
@cython.no_gc
cdef class FunctionNode(Op):
    """One call of a Function."""

    cdef object function, ctx   # the subclass of Function, and what its forward left for backward
    cdef list inputs            # per tensor among the arguments, its position, and what a gradient of it has to have
    cdef Py_ssize_t arguments   # their number
    cdef list outputs           # per output, what a gradient of it has; None for what is no tensor
    cdef list nodes             # per output, a weak reference to its node; None if it is not differentiable
    cdef tuple kept             # what forward saved: Saved
    cdef list computed          # the arrays of the last run, as long as an observer or the engine may ask

    samples = None              # no op of its own to verify: the mathematics is the user's

    @property
    def name(self):
        """The function's name."""
        return "Function" if self.function is None else self.function.__name__

    # -- forward

    cdef int keep(self, object value, tuple raw, list tensors) except -1:
        """Save one of the values; raw and tensors are the outputs, as forward returned them and as tensors."""
        cdef Saved saved = Saved.__new__(Saved)
        cdef Tensor x
        saved.slot = -1
        if isinstance(value, Tensor):
            x = <Tensor>value
            saved.array, saved.version = x.array, x.get_version()
            saved.source = source_of(x)
            for i, output in enumerate(raw):
                if output is value and self.nodes[i] is not None and saved.slot < 0:
                    saved.slot = i
        else:
            saved.value = value
            array = np.asarray(value) if isinstance(value, ndarray) else None      # a subclass may run code
            for tensor in tensors if array is not None else ():
                x = <Tensor>tensor
                if saved.version is None and np.may_share_memory(array, x.array):
                    saved.version = x.get_version()
        if saved.version is not None:
            saved.writes = saved.version.writes
        self.kept += (saved,)
        return 0

    cdef FunctionOutput output_node(self, Py_ssize_t i):
        """The node of output i: the one that its tensor has, or a new one if both have died."""
        cdef FunctionOutput node = self.nodes[i]()
        if node is None:
            node = FunctionOutput.__new__(FunctionOutput)
            node.edges, node.slot = (self,), i
            self.nodes[i] = PyWeakref_NewRef(node, None)
        return node

    # -- backward

    cdef int check_saved(self) except -1:
        cdef Saved saved
        if self.freed:
            raise RuntimeError(
                f"backward through {self.name} a second time: what it saved was freed by the first; pass "
                "retain_graph=True to the first backward, or compute the forward again")
        for i, value in enumerate(self.kept):
            saved = <Saved>value
            if saved.version is not None and saved.version.writes != saved.writes:
                array = saved.value if saved.array is None else saved.array
                raise RuntimeError(
                    f"backward through {self.name}: what it saved as number {i}, of shape {array.shape}, was written "
                    "in place since, so its gradient would be wrong: write after backward, or into a clone()")
        return 0

    cdef void free_saved(self) noexcept:
        if self.kept:
            self.kept, self.freed = None, True

    cdef object unpack(self, Saved saved, bint create_graph):
        """A saved value as backward sees it, in its place in the graph."""
        if saved.array is None:
            return saved.value
        if saved.slot >= 0:
            return _in_graph(saved.array, self.output_node(saved.slot), saved.version)
        if isinstance(saved.source, Tensor):
            if (<Tensor>saved.source).array is saved.array:
                return saved.source
            if create_graph:
                raise RuntimeError(f"the data of a leaf that {self.name} saved was replaced since forward: its "
                                   "gradient cannot be differentiated; compute the forward again")
        return _in_graph(saved.array, saved.source, saved.version)

    cdef list run_user_code(self, list slots, bint create_graph):
        """The gradients that backward gives for the tensors among the arguments: a Tensor or None for each, checked.

        The tensors are the engine's, unless they are part of a graph.
        """
        if self.kept is None:
            raise IndexError(f"{self.name} keeps nothing, as its backward has run")
        if len(slots) != len(self.outputs):
            raise ValueError(f"{self.name} has {len(self.outputs)} outputs, got {len(slots)} gradients")
        cdef bint in_graph = create_graph and self.function._is_differentiable()
        given = tuple([self.gradient_of(kind, slot, create_graph, in_graph) for kind, slot in zip(self.outputs, slots)])
        saved = tuple([self.unpack(<Saved>value, create_graph) for value in self.kept])
        cdef tuple result = self.check_number(self.function._run_backward(self.ctx, given, saved, in_graph))
        cdef list gradients = [None if edge is None or result[i] is None else self.check(result[i], i, kind, in_graph)
                               for (i, kind), edge in zip(self.inputs, self.edges)]
        return self.end_graph(gradients, slots) if create_graph and not in_graph else gradients

    cdef Tensor gradient_of(self, tuple kind, object slot, bint create_graph, bint in_graph):
        """What backward is given for an output: it may write into it, unless it is part of a graph."""
        if slot is None:
            return wrap(np.zeros(kind[0], kind[1])) if kind is not None and self.ctx._materialize_grads else None
        if not isinstance(slot, Tensor if create_graph else ndarray):
            raise TypeError(f"{self.name} needs gradients in tensors under create_graph, in arrays otherwise, got "
                            f"{type(slot).__name__}: leave the nodes' rules to backward")
        cdef Tensor g = <Tensor>slot if create_graph else wrap(<ndarray>slot)
        if kind_of(g.array) != kind:
            raise RuntimeError(f"{self.name} needs a gradient of {told(kind)}, got {told(kind_of(g.array))}")
        return g if in_graph and g.needs_gradient else wrap(copied(g.array))

    cdef tuple check_number(self, object result):
        """What backward returned as a tuple, a gradient or None for each argument."""
        if isinstance(result, list):
            raise TypeError(f"{self.name}.backward must return a tuple of gradients, or one gradient, not list")
        cdef tuple gradients = tuple(result) if isinstance(result, tuple) else (result,)
        if all([dx is None for dx in gradients[self.arguments:]]):
            gradients = gradients[:self.arguments]
        if len(gradients) != self.arguments:
            raise RuntimeError(f"{self.name}.backward must return a gradient for each of the {self.arguments} "
                               f"arguments of forward, None for what has none, got {len(gradients)}")
        tensors = {i for i, _ in self.inputs}
        kinds = (ndarray, np.generic) if self.function._on_arrays else Tensor
        for i, dx in enumerate(gradients):
            if dx is not None and i not in tensors:
                raise RuntimeError(f"{self.name}.backward returned a gradient of argument {i}, which is no tensor: "
                                   "return None for it")
            if dx is not None and not isinstance(dx, kinds):
                kind = "NumPy array" if self.function._on_arrays else "Tensor"
                raise TypeError(f"{self.name}.backward must return for argument {i} a {kind} or None, not "
                                f"{type(dx).__name__}")
        return gradients

    cdef Tensor check(self, object dx, Py_ssize_t i, tuple kind, bint in_graph):
        """A gradient of argument i that has its shape and dtype."""
        cdef Tensor x
        if isinstance(dx, Tensor):
            x = <Tensor>dx if in_graph and (<Tensor>dx).needs_gradient else wrap(copied((<Tensor>dx).array))
        else:
            check_unmasked(dx)
            x = wrap(copied(dx))
        if kind_of(x.array) != kind:
            raise RuntimeError(f"{self.name}.backward must return for argument {i} a gradient of its shape and dtype, "
                               f"{told(kind)}, got {told(kind_of(x.array))}: sum it over what forward broadcast, or "
                               "convert it")
        return x

    cdef list end_graph(self, list gradients, list slots):
        """The gradients, linked to what they were computed from by a node that refuses to be gone through."""
        cdef FunctionEnd end = FunctionEnd.__new__(FunctionEnd)
        end.function = self.name
        end.edges = self.edges + tuple([source_of(<Tensor>g) for g in slots if g is not None])
        return [None if dx is None else _in_graph((<Tensor>dx).array, end, None) for dx in gradients]

    cdef int run_forward(self) except -1:
        raise RuntimeError(f"{self.name} is a Function, whose forward is not repeated")

    cdef int run_backward(self) except -1:
        self.computed = [None if dx is None else (<Tensor>dx).array
                         for dx in self.run_user_code(<list?>self.g, False)]
        return 0

    cdef int give_gradients(self, Engine engine) except -1:
        cdef list computed = self.computed
        self.computed = None
        for i, dx in enumerate(computed):
            if dx is not None:
                engine.give(self, i, <ndarray>dx)
        return 0

    def rule(self, list g not None):
        return tuple(self.run_user_code(g, True))

    def results(self, bint backward=False):
        return [lent(<ndarray>array) for array in self.computed or () if array is not None]


@cython.final
@cython.no_gc
cdef class FunctionOutput(Op):
    """The node of one output: hands its gradient to the function's node."""

    cdef Py_ssize_t slot
    cdef object __weakref__

    samples = None

    @property
    def name(self):
        """The function's name."""
        return "Function" if self.edges is None else self.edges[0].name

    cdef int fill(self, object g) except -1:
        cdef FunctionNode node = <FunctionNode?>self.edges[0]
        if node.g is None:
            node.g = [None] * len(node.outputs)
        (<list?>node.g)[self.slot] = g
        return 0

    cdef int give_gradients(self, Engine engine) except -1:
        return self.fill(self.g)

    def rule(self, Tensor g not None):
        self.fill(g)
        return (None,)


@cython.final
@cython.no_gc
cdef class FunctionEnd(Op):
    """The node of gradients that cannot be differentiated, as backward was no code of differentiable ops."""

    cdef str function

    samples = None

    cdef int check_saved(self) except -1:
        raise RuntimeError(f"backward through the gradient of {self.function}, whose backward can be gone through once "
                           "only, as it is once_differentiable or on arrays: write it in operations on tensors")


def call(function, ctx, tuple arguments not None):
    """Run a Function's forward, and link what it returns to a node; see ``Function.apply``.

    Args:
        function: the subclass of Function, whose ``_run_forward(ctx, arguments)`` returns the outputs twice: as forward
            returned them, and with tensors in place of arrays.
        ctx: what forward leaves for backward.
        arguments: those of apply.

    Returns:
        A list of the outputs, tensors being new ones.
    """
    cdef FunctionNode node = FunctionNode.__new__(FunctionNode)
    cdef list inputs = [z for z in arguments if isinstance(z, Tensor)]
    cdef list writes = [(<Tensor>z).get_version().writes for z in inputs]
    cdef tuple raw, made
    cdef Tensor x, y
    node.function, node.ctx, node.arguments, node.kept = function, ctx, len(arguments), ()
    node.inputs = [(i, kind_of((<Tensor>z).array)) for i, z in enumerate(arguments) if isinstance(z, Tensor)]
    raw, made = function._run_forward(ctx, arguments)
    cdef list outputs = [view_of(<Tensor>z, (<Tensor>z).array) if isinstance(z, Tensor) else z for z in made]
    cdef list results = [z for z in outputs if isinstance(z, Tensor)]
    if not results:
        raise TypeError(f"{node.name}.forward returned no tensor")
    node.outputs = [kind_of((<Tensor>z).array) if isinstance(z, Tensor) else None for z in outputs]
    node.nodes = [None if kind is None or kind[1].kind != "f" or among(z, ctx._non_differentiable) else no_node
                  for kind, z in zip(node.outputs, raw, strict=True)]
    for z in ctx._non_differentiable:
        if not among(z, raw):
            raise RuntimeError(f"{node.name}.forward calls mark_non_differentiable with what has shape {z.shape} and "
                               "is no output: pass what forward returns")
    node.computed = [(<Tensor>z).array for z in results]
    node.y = node.computed[0]
    y = record_all(node, inputs)
    node.computed = None
    if y.op is None or not any(node.nodes):
        return outputs
    for (i, _), z, count in zip(node.inputs, inputs, writes):
        x = <Tensor>z
        if x.needs_gradient and x.get_version().writes != count:
            raise RuntimeError(f"{node.name}.forward wrote in place into argument {i}, a tensor of shape {x.shape} "
                               "that requires a gradient, which would be wrong: write into a clone()")
    for value in ctx._to_save:
        node.keep(value, raw, inputs + results)
    for i, z in enumerate(outputs):
        if node.nodes[i] is not None:
            y = <Tensor>z
            y.op, y.needs_gradient = node.output_node(i), True
    return outputs


cdef bint among(object x, object values):
    """Whether it is one of the values itself."""
    return any([x is value for value in values])


def no_node():
    """None: stands for a weak reference as long as an output has no node."""
