"""The nodes of a Function, an op that its user wrote in Python: microtensor/autograd.py is what they write.

    inputs <--edges-- FunctionNode <--edges-- FunctionOutput 0 <--op-- Tensor y_0
                                   <--edges-- FunctionOutput 1 <--op-- Tensor y_1

Each output has a node of its own. On the way back it puts its dL/dy into its slot of the function's node, which runs
when all outputs that the pass meets have done so. A function's code may return anything and keep anything, so each
number of gradients, type, shape and dtype is checked here, and each gradient copied. No node holds its tensor: an
output that was saved is made again for backward, around the same memory and, under create_graph, with the same node.
"""

cimport cython
cimport numpy as cnp
from cpython.weakref cimport PyWeakref_NewRef
from numpy cimport ndarray

from microtensor.core cimport (
    Engine, Op, Tensor, Version, _in_graph, lent, raise_replaced, record_all, refuse_in_capture, view_of, wrap,
    writes_of,
)

import numpy as np

from microtensor.core import check_unmasked
from microtensor.ops.shape import clone

cnp.import_array()


cdef enum:
    OVERLAP_WORK = 1000         # how hard NumPy tries to find out whether two arrays share memory, before it says yes


cdef tuple kind_of(ndarray array):
    """What a gradient has to have: shape and dtype."""
    return (<object>array).shape, array.dtype


cdef str told(tuple kind):
    """A kind, for a message."""
    return f"{kind[0]} {kind[1]}"


cdef ndarray copied(ndarray array):
    """A C-contiguous copy, which nobody else holds."""
    return np.array(array, order="C")


cdef object source_of(Tensor x):
    """Where a gradient of the tensor goes."""
    return x.op if x.op is not None else x if x.needs_gradient else None


cdef bint among(object x, object values):
    """Whether it is one of the values itself."""
    return any([x is value for value in values])


@cython.final
@cython.no_gc
cdef class Saved:
    """A value that forward saved, as backward will see it. It is one of three:

        a tensor        array and its version; slot if it is a differentiable output, source if it is not
        an array        value, and the versions of all inputs and outputs that it shares memory with
        another object  value
    """

    cdef object value
    cdef ndarray array
    cdef object source          # what the tensor was computed by, or it itself if it is a leaf that requires a gradient
    cdef Py_ssize_t slot        # which output the tensor is, -1 if none
    cdef list versions          # empty for another object
    cdef Py_ssize_t writes      # what they added up to


@cython.final
@cython.no_gc
cdef class FunctionNode(Op):
    """One call of a Function."""

    cdef object function, ctx   # the subclass of Function, and what its forward left for backward
    cdef list inputs            # per tensor among the arguments, its position, and what a gradient of it has to have
    cdef Py_ssize_t arguments   # their number
    cdef list outputs           # per output, what a gradient of it has; None for what is no tensor
    cdef list differentiable    # per output, whether it has a gradient
    cdef dict nodes             # by output, a weak reference to its node, alive or not
    cdef tuple kept             # what forward saved: Saved
    cdef list made, gradients   # the arrays of a run forward or backward, as long as an observer or the engine may ask

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
        saved.slot, saved.versions = -1, []
        if isinstance(value, Tensor):
            x = <Tensor>value
            saved.array, saved.source, saved.versions = x.array, source_of(x), [x.get_version()]
            for i, output in enumerate(raw):
                if output is value and self.differentiable[i] and saved.slot < 0:
                    saved.slot = i
        else:
            saved.value = value
            if isinstance(value, ndarray):
                array = np.asarray(value)           # a subclass may run code
                saved.versions = [(<Tensor>y).get_version() for y in tensors if np.may_share_memory(
                    array, lent((<Tensor>y).array), max_work=OVERLAP_WORK)]
        saved.writes = writes_of(saved.versions)
        self.kept += (saved,)
        return 0

    cdef FunctionOutput output_node(self, Py_ssize_t i):
        """The node of output i: the one that its tensor has, or a new one if both have died."""
        reference = self.nodes.get(i)
        cdef FunctionOutput node = None if reference is None else reference()
        if node is None:
            node = FunctionOutput.__new__(FunctionOutput)
            node.edges, node.slot = (self,), i
            self.nodes[i] = PyWeakref_NewRef(node, None)
        return node

    cdef int check_inputs(self, list inputs, list before) except -1:
        """Raise if forward changed what an input holds that the output was computed from."""
        cdef Tensor x
        for (i, _), value, (array, version, writes) in zip(self.inputs, inputs, before):
            x = <Tensor>value
            if not x.needs_gradient:
                continue
            if x.array is not array:
                raise_replaced(self, x)
            if (<Version>version).writes != writes:
                raise RuntimeError(f"{self.name}.forward wrote in place into argument {i}, a tensor of shape {x.shape} "
                                   "that requires a gradient, which would be wrong: write into a clone()")
        return 0

    # -- backward

    cdef int check_saved(self) except -1:
        cdef Saved saved
        if self.freed:
            raise RuntimeError(
                f"backward through {self.name} a second time: what it saved was freed by the first; pass "
                "retain_graph=True to the first backward, or compute the forward again")
        for i, value in enumerate(self.kept):
            saved = <Saved>value
            if writes_of(saved.versions) != saved.writes:
                array = saved.value if saved.array is None else saved.array
                raise RuntimeError(
                    f"backward through {self.name}: what it saved as number {i}, of shape {array.shape}, was written "
                    "in place since, so its gradient would be wrong: write after backward, or into a clone()")
        return 0

    cdef void free_saved(self) noexcept:
        if self.kept:
            self.kept, self.freed = None, True

    cdef object unpack(self, Saved saved, bint in_graph):
        """A saved value as backward sees it: in its place in the graph, but for an output that no graph is made of.

        That would lead to this node, so `ctx.y = y` would be a cycle.
        """
        if saved.array is None:
            return saved.value
        if saved.slot >= 0:
            return _in_graph(saved.array, self.output_node(saved.slot) if in_graph else None, saved.versions[0])
        if isinstance(saved.source, Tensor):
            if (<Tensor>saved.source).array is saved.array:
                return saved.source
            if in_graph:
                raise RuntimeError(f"the data of a leaf that {self.name} saved was replaced since forward: its "
                                   "gradient cannot be differentiated; compute the forward again")
        return _in_graph(saved.array, saved.source, saved.versions[0])

    cdef list run_user_code(self, list slots, bint create_graph):
        """The gradients that backward gives for the tensors among the arguments: a Tensor or None for each, checked.

        The tensors are the engine's, unless they are part of a graph.
        """
        cdef bint in_graph = create_graph and self.function._is_differentiable()
        given = tuple([self.gradient_of(kind, slot, create_graph, in_graph) for kind, slot in zip(self.outputs, slots)])
        saved = tuple([self.unpack(<Saved>value, in_graph) for value in self.kept])
        cdef tuple result = self.check_number(self.function._run_backward(self.ctx, given, saved, in_graph))
        cdef list gradients = [None if edge is None or result[i] is None else self.check(result[i], i, kind, in_graph)
                               for (i, kind), edge in zip(self.inputs, self.edges)]
        return self.end_graph(gradients, slots) if create_graph and not in_graph else gradients

    cdef Tensor gradient_of(self, tuple kind, object slot, bint create_graph, bint in_graph):
        """What backward is given for an output: its own, so it may write into it."""
        if slot is None:
            return wrap(np.zeros(kind[0], kind[1])) if kind is not None and self.ctx._materialize_grads else None
        cdef Tensor g = <Tensor?>slot if create_graph else wrap(<ndarray?>slot)
        if kind_of(g.array) != kind:
            raise RuntimeError(f"{self.name} needs a gradient of {told(kind)}, got {told(kind_of(g.array))}")
        return <Tensor?>clone(g) if in_graph and g.needs_gradient else wrap(copied(g.array))

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
        cdef bint on_arrays = self.function._on_arrays
        for i, dx in enumerate(gradients):
            if dx is not None and i not in tensors:
                raise RuntimeError(f"{self.name}.backward returned a gradient of argument {i}, which is no tensor: "
                                   "return None for it")
            # by the type itself: isinstance with a variable would believe a false __class__
            if dx is not None and not ((isinstance(dx, ndarray) or isinstance(dx, cnp.generic)) if on_arrays
                                       else isinstance(dx, Tensor)):
                kind = "NumPy array" if on_arrays else "Tensor"
                raise TypeError(f"{self.name}.backward must return for argument {i} a {kind} or None, not "
                                f"{type(dx).__name__}")
        return gradients

    cdef Tensor check(self, object dx, Py_ssize_t i, tuple kind, bint in_graph):
        """A gradient of argument i that has its shape and dtype, copied: backward may keep what it returned."""
        cdef Tensor x = None
        cdef ndarray array
        if not isinstance(dx, Tensor):
            check_unmasked(dx)
            array = copied(np.asarray(dx))
        elif in_graph and (<Tensor>dx).needs_gradient:
            x = clone(dx)
            array = x.array
        else:
            array = copied((<Tensor>dx).array)
        if kind_of(array) != kind:
            raise RuntimeError(f"{self.name}.backward must return for argument {i} a gradient of its shape and dtype, "
                               f"{told(kind)}, got {told(kind_of(array))}: sum it over what forward broadcast, or "
                               "convert it")
        return wrap(array) if x is None else x

    cdef list end_graph(self, list gradients, list slots):
        """The gradients, linked to what they were computed from by a node that refuses to be gone through."""
        cdef FunctionEnd end = FunctionEnd.__new__(FunctionEnd)
        end.function = self.name
        end.edges = self.edges + tuple([source_of(<Tensor?>g) for g in slots if g is not None])
        return [None if dx is None else _in_graph((<Tensor>dx).array, end, None) for dx in gradients]

    cdef int run_forward(self) except -1:
        raise RuntimeError(f"{self.name} is a Function, whose forward is not repeated")

    cdef int run_backward(self) except -1:
        self.gradients = [None if dx is None else (<Tensor>dx).array
                          for dx in self.run_user_code(<list?>self.g, False)]
        return 0

    cdef int give_gradients(self, Engine engine) except -1:
        cdef list gradients = self.gradients
        self.gradients = None
        for i, dx in enumerate(gradients):
            if dx is not None:
                engine.give(self, i, <ndarray?>dx)
        return 0

    cdef object apply_rule(self, object g):
        return self.run_user_code(<list?>g, True)

    def results(self, bint backward=False):
        return [lent(<ndarray?>array) for array in (self.gradients if backward else self.made) or ()
                if array is not None]


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

    cdef object apply_rule(self, object g):
        """Called by the engine alone, as it changes the function's node."""
        cdef FunctionNode node = <FunctionNode?>self.edges[0]
        if node.g is None:
            node.g = [None] * len(node.outputs)
        (<list?>node.g)[self.slot] = g
        return (None,)

    cdef int give_gradients(self, Engine engine) except -1:
        self.apply_rule(self.g)
        return 0


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
    cdef list inputs = [x for x in arguments if isinstance(x, Tensor)], before = [], outputs, tensors
    cdef tuple raw, made
    cdef Tensor y
    for x in inputs:
        before.append(((<Tensor>x).array, (<Tensor>x).get_version(), (<Tensor>x).version.writes))
    node.function, node.ctx, node.arguments, node.kept, node.nodes = function, ctx, len(arguments), (), {}
    node.inputs = [(i, kind_of((<Tensor>x).array)) for i, x in enumerate(arguments) if isinstance(x, Tensor)]
    raw, made = function._run_forward(ctx, arguments)
    outputs = [view_of(<Tensor>x, (<Tensor>x).array) if isinstance(x, Tensor) else x for x in made]
    tensors = [x for x in outputs if isinstance(x, Tensor)]
    if not tensors:
        raise TypeError(f"{node.name}.forward returned no tensor")
    for x in ctx._non_differentiable:
        if not among(x, raw):
            raise RuntimeError(f"{node.name}.forward calls mark_non_differentiable with what has shape {x.shape} and "
                               "is no output: pass what forward returns")
    node.outputs = [kind_of((<Tensor>x).array) if isinstance(x, Tensor) else None for x in outputs]
    node.differentiable = [kind is not None and kind[1].kind == "f" and not among(x, ctx._non_differentiable)
                           for kind, x in zip(node.outputs, raw, strict=True)]
    node.made = [(<Tensor>x).array for x in tensors]
    node.y = node.made[0]
    refuse_in_capture(f"{node.name}, a Function written in Python,")
    record_all(node, inputs)
    node.made = None
    if node.edges is None or not any(node.differentiable):
        return outputs
    for value in ctx._to_save:
        node.keep(value, raw, inputs + tensors)
    node.check_inputs(inputs, before)
    for i, x in enumerate(outputs):
        if node.differentiable[i]:
            y = <Tensor>x
            y.op, y.needs_gradient = node.output_node(i), True
    return outputs
