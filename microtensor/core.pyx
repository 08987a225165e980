"""Tensor, Op and Engine: the graph, and the walk back through it.

A training step, as the data sees it:

    forward     y = f(x)     an Op computes y's array; if gradients are recorded, y.op = that Op, and the Op
                             keeps edges to what made its inputs and the arrays its backward will read
    backward    loss.backward()      the Engine walks the Ops from the loss to the leaves, outputs before
                             inputs, hands each Op its dL/dy, and takes the dL/dx it gives back
    update      the leaves now hold .grad; an optimiser writes new numbers into their arrays

    Tensor y --op--> Op --edges--> (Op that made input 0, leaf Tensor that is input 1, None: needs no gradient)

No object points back at what it produced, so a graph has no cycles and dies by reference count alone.
"""

import contextlib
import copy
import warnings

cimport cython
cimport numpy as cnp
from numpy cimport ndarray

from microtensor.kernels.memory cimport new_array
from microtensor.kernels.simd cimport real

import numpy as np

cnp.import_array()

float32, float64 = np.dtype(np.float32), np.dtype(np.float64)
_STORABLE = frozenset("?bBhHiIlLqQfd")    # dtype characters: bool, integers, float32, float64


# -- grad mode: one flag per thread ---------------------------------------------------------------------------

cdef extern from *:
    """
    #if defined(_MSC_VER)
    static __declspec(thread) int recording = 1;
    #else
    static __thread int recording = 1;
    #endif
    """
    bint recording


def is_grad_enabled():
    """Whether operations on tensors that require a gradient are recorded, in this thread."""
    return recording


_GENERATOR = 0x20     # inspect.CO_GENERATOR: importing inspect takes a tenth of an import of microtensor


class no_grad(contextlib.ContextDecorator):    # noqa: N801  (PyTorch's name)
    """Do not record gradients inside, in this thread: ``with mt.no_grad():`` or ``@mt.no_grad()``.

    >>> import microtensor as mt
    >>> x = mt.ones(2, requires_grad=True)
    >>> with mt.no_grad():
    ...     (x * 2).requires_grad
    False
    """

    _mode = False

    def __new__(cls, function=None):
        return super().__new__(cls) if function is None else cls()(function)     # @mt.no_grad without parentheses

    def __call__(self, function):
        if getattr(getattr(function, "__code__", None), "co_flags", 0) & _GENERATOR:
            raise TypeError(f"{type(self).__name__} cannot decorate the generator function {function.__name__}, which "
                            "runs after the call: use `with` inside it")
        return super().__call__(function)

    def _recreate_cm(self):
        return type(self)()                 # one for each call of a decorated function: threads may overlap

    def __enter__(self):
        global recording
        self._before = [*getattr(self, "_before", []), recording]
        recording = self._mode
        return self

    def __exit__(self, *exception):
        global recording
        recording = self._before.pop()


class enable_grad(no_grad):    # noqa: N801
    """Record gradients inside, even within no_grad: ``with mt.enable_grad():`` or ``@mt.enable_grad()``."""

    _mode = True


class set_grad_enabled:    # noqa: N801
    """Record gradients from now on, or not; with ``with``, until the end of the block.

    >>> import microtensor as mt
    >>> with mt.set_grad_enabled(False):
    ...     mt.is_grad_enabled()
    False
    """

    def __init__(self, mode):
        global recording
        self._before = recording
        recording = bool(mode)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        global recording
        recording = self._before


# -- arrays ---------------------------------------------------------------------------------------------------

cdef ndarray empty(int ndim, Py_ssize_t* shape, int typenum):
    """An uninitialised C-contiguous array."""
    return new_array(ndim, shape, typenum)


cdef ndarray empty_like(ndarray array):
    """An uninitialised C-contiguous array of the same shape and dtype."""
    return new_array(cnp.PyArray_NDIM(array), <Py_ssize_t*>cnp.PyArray_DIMS(array), cnp.PyArray_TYPE(array))


cdef ndarray contiguous(ndarray array):
    """The array itself if it is C-contiguous and aligned, a copy that is otherwise."""
    if cnp.PyArray_ISCARRAY_RO(array):
        return array
    return copy_of(array)


cdef ndarray copy_of(ndarray array):
    """A C-contiguous copy."""
    cdef ndarray y = empty_like(array)
    cnp.PyArray_CopyInto(y, array)
    return y


cdef bint is_float(ndarray array) noexcept:
    cdef int typenum = cnp.PyArray_TYPE(array)
    return typenum == cnp.NPY_FLOAT32 or typenum == cnp.NPY_FLOAT64


cdef bint is_single(ndarray array) noexcept:
    return cnp.PyArray_TYPE(array) == cnp.NPY_FLOAT32


cdef void _add_into(real* total, const real* x, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        total[i] += x[i]


cdef int add_into(ndarray total, ndarray x) except -1:
    """total += x, both of the same shape and dtype, total C-contiguous."""
    cdef Py_ssize_t n = cnp.PyArray_SIZE(total)
    x = contiguous(x)
    if is_single(total):
        _add_into(<float*>cnp.PyArray_DATA(total), <const float*>cnp.PyArray_DATA(x), n)
    else:
        _add_into(<double*>cnp.PyArray_DATA(total), <const double*>cnp.PyArray_DATA(x), n)
    return 0


# -- tensors: class Tensor and how to make one stand in a file of their own -------------------------------------

include "tensor.pxi"


# -- ops ------------------------------------------------------------------------------------------------------

cdef object ops = None      # the module microtensor.ops, once it has loaded


def bind_ops(module):
    """Let Tensor's methods find their functions; called once, by microtensor.ops."""
    global ops
    ops = module


# An op that dies takes with it the ops of its inputs, and they take theirs. From some depth on they wait in a list
# instead of recursing, so that a chain of a million ops dies without overflowing the stack.
cdef enum:
    MAX_DEPTH = 50
cdef list _dying = []
cdef int _depth = 0


cdef Tensor record(Op op, ndarray y, Tensor a, Tensor b=None, Tensor c=None):
    """A tensor around the op's output y; linked to the op if gradients are recorded for any of its inputs."""
    cdef Tensor tensor = wrap(y)
    if recording and (a.needs_gradient or (b is not None and b.needs_gradient)
                      or (c is not None and c.needs_gradient)):
        if b is None:
            op.edges = (_edge(a),)
        elif c is None:
            op.edges = (_edge(a), _edge(b))
        else:
            op.edges = (_edge(a), _edge(b), _edge(c))
        op.recorded = _replacements
        tensor.op = op
        tensor.needs_gradient = True
    return tensor


cdef Tensor record_all(Op op, ndarray y, list inputs):
    """record for any number of inputs."""
    cdef Tensor tensor = wrap(y)
    if recording and any([(<Tensor>x).needs_gradient for x in inputs]):
        op.edges = tuple([_edge(<Tensor>x) for x in inputs])
        op.recorded = _replacements
        tensor.op = op
        tensor.needs_gradient = True
    return tensor


cdef inline object _edge(Tensor x):
    if not x.needs_gradient:
        return None
    return x if x.op is None else x.op


@cython.no_gc
cdef class Op:
    """A node of the graph: one computation, with what its backward needs. Each op is a subclass.

    A subclass gives ``backward`` (kernels on arrays: fast), ``rule`` (the same in Tensor language: for
    create_graph) and ``samples`` (inputs to verify both on).
    """

    def __dealloc__(self):
        global _depth
        if _depth == MAX_DEPTH:
            _dying.append(self.edges)
            return
        _depth += 1
        self.edges = None
        _depth -= 1
        if _depth == 0:
            while _dying:
                _depth = 1
                _dying.pop()
                _depth = 0

    cdef int backward(self, ndarray g, Engine engine) except -1:
        """Give the engine dL/dx for every input that needs one. g = dL/dy: y's shape and dtype, C-contiguous."""
        raise NotImplementedError(f"{type(self).__name__}.backward")

    def rule(self, Tensor g):
        """dL/dx for every input as a tuple of tensors, None where it is not needed, made of differentiable ops."""
        raise NotImplementedError(f"{type(self).__name__}.rule")

    @staticmethod
    def samples(draw):
        """Yield the Samples to verify the op on; see microtensor.ops.sample."""
        raise NotImplementedError

    cdef bint needs(self, Py_ssize_t i) noexcept:
        """Whether input i needs a gradient."""
        return self.edges[i] is not None

    cdef void save(self, Tensor a, Tensor b, Tensor y):
        """Keep the arrays of the first input, the second input and the output, or of those that are not None."""
        self.writes = 0
        if a is not None:
            self.a, self.version_a = a.array, a.get_version()
            self.writes += self.version_a.writes
        if b is not None:
            self.b, self.version_b = b.array, b.get_version()
            self.writes += self.version_b.writes
        if y is not None:
            self.y, self.version_y = y.array, y.get_version()
            self.writes += self.version_y.writes
        self.saved = True

    cdef int check_saved(self) except -1:
        """Raise if the saved arrays are gone or no longer hold what they held in forward."""
        if not self.saved:
            return 0
        if self.freed:
            raise RuntimeError(
                f"backward through {type(self).__name__} a second time: its saved arrays were freed by the first; "
                "pass retain_graph=True to the first backward, or compute the forward again")
        cdef Py_ssize_t writes = 0          # versions only grow, so the sum shows a change of any
        if self.version_a is not None:
            writes += self.version_a.writes
        if self.version_b is not None:
            writes += self.version_b.writes
        if self.version_y is not None:
            writes += self.version_y.writes
        if writes != self.writes:
            shapes = [(<object>x).shape for x in (self.a, self.b, self.y) if x is not None]
            raise RuntimeError(
                f"backward through {type(self).__name__}: an array that it saved in forward (shapes {shapes}) was "
                "written in place since, so its gradient would be wrong: write after backward, or into a clone()")
        return 0

    cdef void free_saved(self) noexcept:
        if self.saved:
            self.a = self.b = self.y = None
            self.version_a = self.version_b = self.version_y = None
            self.context = None
            self.freed = True

    cpdef Tensor input(self, Py_ssize_t i):
        """The saved input 0 or 1 as a tensor in its place in the graph: what rules compute with."""
        cdef ndarray array = self.a if i == 0 else self.b
        if not 0 <= i < 2 or array is None:
            raise IndexError(f"{type(self).__name__} keeps no input {i}")
        edge = self.edges[i]
        if isinstance(edge, Tensor):
            if (<Tensor>edge).array is not array:
                raise RuntimeError(f"the data of a leaf, input {i} of {type(self).__name__}, was replaced since "
                                   "forward: its gradient cannot be differentiated; compute the forward again")
            return edge
        return _in_graph(array, edge, self.version_a if i == 0 else self.version_b)

    cpdef Tensor output(self):
        """The saved output as a tensor in its place in the graph."""
        if self.y is None:
            raise IndexError(f"{type(self).__name__} keeps no output")
        return _in_graph(self.y, self, self.version_y)

    @property
    def name(self):
        """The op's name."""
        return type(self).__name__

    @property
    def next_functions(self):
        """Where the gradients of the inputs go: an Op, a leaf Tensor, or None."""
        return self.edges

    def __repr__(self):
        return f"<{type(self).__name__}>"


cdef Tensor _in_graph(ndarray array, object edge, Version version):
    cdef Tensor tensor = wrap(array)
    tensor.version = version
    if isinstance(edge, Op):
        tensor.op = edge
        tensor.needs_gradient = True
    return tensor


# -- the engine -----------------------------------------------------------------------------------------------

cdef Py_ssize_t _walks = 0          # numbers the walks
cdef set _running = set()           # those that are under way: more than one only with threads


@cython.final
@cython.no_gc
@cython.freelist(4)
cdef class Engine:
    """One backward pass.

    1. Walk from the roots over all edges: count for each op how many gradients it will be sent, and check that
       what it saved is still good, so that an error comes before anything is changed.
    2. Ops that have been sent all their gradients are ready. Take one, let it send gradients to its inputs,
       free what it saved, repeat.

    The first gradient sent to an op or a leaf is adopted, the second makes a sum, later ones are added in place.
    """

    cdef int run(self, list roots, list gradients, bint retain_graph) except -1:
        """Send a gradient to each root (an Op or a leaf), and on to all leaves behind them."""
        global _walks
        _walks += 1
        cdef Py_ssize_t walk = _walks, i
        cdef list start
        _running.add(walk)
        try:
            start = self.count(walk, roots)
            for i in range(len(roots)):
                seed = gradients[i] if self.create_graph else contiguous((<Tensor>gradients[i]).array)
                self.deliver(roots[i], seed, False)
            # A root that lies behind another one is ready later.
            self.send([root for root in start if (<Op>root).pending == 0], retain_graph)
        finally:
            _running.discard(walk)
        return 0

    cdef list count(self, Py_ssize_t walk, list roots):
        """Step 1. Returns the roots that are Ops, each once."""
        cdef list start = [], found
        cdef Op op = None, source, following            # the next op is kept at hand: most have one input to go on to
        for root in roots:
            if isinstance(root, Op) and (<Op>root).walk != walk:
                _meet(<Op>root, walk)
                start.append(root)
        found = start[:]
        while op is not None or found:
            if op is None:
                op = <Op>found.pop()
            op.check_saved()
            following = None
            for edge in op.edges:
                if isinstance(edge, Op):
                    source = <Op>edge
                    if source.walk != walk:
                        _meet(source, walk)
                        if following is None:
                            following = source
                        else:
                            found.append(source)
                    source.pending += 1
                elif edge is not None:
                    self.check_leaf(<Tensor>edge, op)
            op = following
        return start

    cdef int check_leaf(self, Tensor leaf, Op op) except -1:
        """Raise unless the leaf can take the gradient that the op will send it."""
        cdef Tensor gradient = leaf.gradient
        if leaf.replaced > op.recorded:
            raise RuntimeError(f"backward through {type(op).__name__} to a leaf whose data was replaced since forward, "
                               f"now of shape {leaf.shape} {leaf.dtype}: compute the forward again")
        if self.captured is None and gradient is not None and (
                not cnp.PyArray_SAMESHAPE(gradient.array, leaf.array)
                or cnp.PyArray_TYPE(gradient.array) != cnp.PyArray_TYPE(leaf.array)):
            raise RuntimeError(f"backward to a leaf of shape {leaf.shape} {leaf.dtype} whose .grad is of shape "
                               f"{gradient.shape} {gradient.dtype}, from before its data was replaced: set .grad to "
                               "None")
        return 0

    cdef int send(self, list ready, bint retain_graph) except -1:
        """Step 2."""
        cdef Op op = None, source, following
        while op is not None or ready:
            if op is None:
                op = <Op>ready.pop()
            g, op.incoming = op.incoming, None
            if self.captured is not None and op in self.captured:
                self.captured[op] = None if g is None else self.copied(g)
            if g is not None:
                if self.create_graph:
                    self.run_rule(op, g)
                else:
                    op.backward(<ndarray>g, self)
            if not retain_graph:
                op.free_saved()
            following = None
            for edge in op.edges:
                if isinstance(edge, Op):
                    source = <Op>edge
                    source.pending -= 1
                    if source.pending == 0:
                        if following is None:
                            following = source
                        else:
                            ready.append(source)
            op = following
        return 0

    cdef int give(self, Op op, Py_ssize_t i, ndarray dx) except -1:
        """Send dx to where input i came from. The array is the engine's from now on."""
        if op.input_shapes is not None and op.edges[i] is not None:
            dx = late.sum_to(dx, op.input_shapes[i])
        return self.deliver(op.edges[i], dx, True)

    cdef int lend(self, Op op, Py_ssize_t i, ndarray dx) except -1:
        """Send dx, which others hold too (it is g itself, or a view of it), so the engine may not write into it."""
        cdef ndarray summed
        if op.input_shapes is not None and op.edges[i] is not None:
            summed = late.sum_to(dx, op.input_shapes[i])
            if summed is not dx:
                return self.deliver(op.edges[i], summed, True)
        return self.deliver(op.edges[i], dx, False)

    cdef int run_rule(self, Op op, Tensor g) except -1:
        with enable_grad():
            gradients = op.rule(g)
            for i in range(len(op.edges)):
                edge, dx = op.edges[i], gradients[i]
                if edge is None or dx is None:
                    continue
                if op.input_shapes is not None:
                    dx = ops.sum_to(dx, op.input_shapes[i])
                self.deliver(edge, dx, False)
        return 0

    cdef int deliver(self, object edge, object dx, bint owned) except -1:
        """Add dx to what an op or a leaf has been sent so far."""
        cdef Op op
        if edge is None:
            return 0
        if not isinstance(edge, Op):
            return self.deliver_to_leaf(<Tensor>edge, dx, owned)
        op = <Op>edge
        if op.incoming is None:
            op.incoming, op.owned = dx, owned
        elif self.create_graph:
            op.incoming = op.incoming + dx
        elif op.owned:
            add_into(<ndarray>op.incoming, <ndarray>dx)
        else:
            op.incoming, op.owned = _sum(<ndarray>op.incoming, <ndarray>dx), True
        return 0

    cdef int deliver_to_leaf(self, Tensor leaf, object dx, bint owned) except -1:
        cdef Tensor gradient
        cdef Version version
        if self.captured is not None:
            if leaf in self.captured:
                so_far = self.captured[leaf]
                if so_far is None:
                    self.captured[leaf] = dx if owned else self.copied(dx)
                else:
                    self.captured[leaf] = so_far + dx if self.create_graph else _sum(<ndarray>so_far, <ndarray>dx)
            return 0
        if leaf.gradient is None and not owned:
            dx = self.copied(dx)        # may let another thread run, so it comes before the gradient is read
        gradient = leaf.gradient
        if gradient is None:
            leaf.gradient = dx if self.create_graph else wrap(<ndarray>dx)
        elif self.create_graph:
            leaf.gradient = gradient + dx
        elif gradient.op is not None or not cnp.PyArray_ISCARRAY(gradient.array):
            leaf.gradient = wrap(_sum(gradient.array, <ndarray>dx))
        else:
            version = gradient.get_version()
            version.writes += 1
            add_into(gradient.array, <ndarray>dx)
        return 0

    cdef object copied(self, object gradient):
        """A gradient in memory of its own: a Tensor under create_graph, an ndarray otherwise."""
        return ops.clone(gradient) if self.create_graph else copy_of(<ndarray>gradient)


cdef inline int _meet(Op op, Py_ssize_t walk) except -1:
    """Claim an op for this walk."""
    if len(_running) > 1 and op.walk in _running:
        raise RuntimeError(f"backward through {type(op).__name__} while another thread goes through it: a graph is for "
                           "one thread at a time")
    op.walk = walk
    op.pending = 0
    op.incoming = None
    return 0


cdef ndarray _sum(ndarray x, ndarray y):
    cdef ndarray total = copy_of(x)
    add_into(total, y)
    return total


cdef Tensor _seed(Tensor output, object gradient):
    """dL/d(output) to start a backward pass with, checked against the output."""
    if not output.needs_gradient:
        raise RuntimeError(f"backward from a tensor of shape {output.shape} that requires no gradient: nothing it was "
                           "computed from has requires_grad=True, or it was computed under no_grad")
    if gradient is None:
        if cnp.PyArray_SIZE(output.array) != 1:
            raise RuntimeError(f"backward from a tensor of shape {output.shape} needs a gradient of that shape: "
                               "reduce it to a scalar first (.sum() or .mean()), or pass gradient=")
        return holding(empty_like(output.array), 1)
    if not isinstance(gradient, Tensor):
        raise TypeError(f"gradient must be a Tensor, not {type(gradient).__name__}")
    if gradient.shape != output.shape or gradient.dtype != output.dtype:
        raise RuntimeError(f"gradient must have the output's shape and dtype {output.shape} {output.dtype}, "
                           f"got {gradient.shape} {gradient.dtype}")
    return gradient


def grad(outputs, inputs, grad_outputs=None, retain_graph=None, bint create_graph=False, bint allow_unused=False):
    """The gradients of the sum of outputs with respect to inputs, returned instead of stored in ``.grad``.

    Args:
        outputs: a tensor or a sequence of tensors.
        inputs: a tensor or a sequence of tensors that require a gradient, leaves or not.
        grad_outputs: dL/d(output) for each output; may be left out (None) for outputs of one element.
        retain_graph: keep the saved arrays for another backward; by default only with create_graph.
        create_graph: make the gradients differentiable themselves.
        allow_unused: return None for an input that no output depends on, instead of raising.

    Returns:
        A tuple of tensors, one per input, of its shape and dtype.

    Raises:
        RuntimeError: if an input requires no gradient or is unused, and as ``Tensor.backward``.

    >>> import microtensor as mt
    >>> x = mt.tensor(3.0, requires_grad=True)
    >>> dx, = mt.grad(x ** 3, x, create_graph=True)
    >>> mt.grad(dx, x)                              # d(3 x^2)/dx = 6 x
    (tensor(18.),)
    """
    outputs = (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)
    inputs = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    if grad_outputs is None or isinstance(grad_outputs, Tensor):
        grad_outputs = (grad_outputs,) * (len(outputs) if grad_outputs is None else 1)
    if len(grad_outputs) != len(outputs):
        raise ValueError(f"grad_outputs must hold one gradient per output: {len(outputs)}, got {len(grad_outputs)}")
    for i, x in enumerate(inputs):
        if not isinstance(x, Tensor):
            raise TypeError(f"inputs[{i}] must be a Tensor, not {type(x).__name__}")
        if not x.requires_grad:
            raise RuntimeError(f"inputs[{i}] of shape {x.shape} does not require a gradient")

    seeds = [_seed(output, gradient) for output, gradient in zip(outputs, grad_outputs)]
    places = [_edge(x) for x in inputs]
    cdef Engine engine = Engine.__new__(Engine)
    engine.create_graph = create_graph
    engine.captured = dict.fromkeys(places)
    engine.run([_edge(y) for y in outputs], seeds, create_graph if retain_graph is None else retain_graph)
    gradients, seen = [], set()
    for i, place in enumerate(places):
        gradient = engine.captured[place]
        if gradient is None and not allow_unused:
            raise RuntimeError(f"no output depends on inputs[{i}] of shape {inputs[i].shape}: "
                               "pass allow_unused=True to get None for it")
        if id(place) in seen and gradient is not None:      # an input named twice gets two gradients, not one shared
            gradient = engine.copied(gradient)
        seen.add(id(place))
        gradients.append(wrap(gradient) if isinstance(gradient, ndarray) else gradient)
    return tuple(gradients)
