"""Tensor, Op and Engine: the graph, and the pass back through it.

A training step, as the data sees it:

    forward     y = f(x)     an Op computes y's array; if gradients are recorded, y.op = that Op, and the Op
                             keeps edges to what made its inputs and the arrays its backward will read
    backward    loss.backward()      the Engine goes through the Ops from the loss to the leaves, outputs before
                             inputs, hands each Op its dL/dy, and takes the dL/dx it gives back
    update      the leaves now hold .grad; an optimiser writes new numbers into their arrays

    Tensor y --op--> Op --edges--> (Op that made input 0, leaf Tensor that is input 1, None: needs no gradient)

No object points back at what it produced, so a graph has no cycles and dies by reference count alone.
"""

import collections
import contextlib
import copy
import operator
import warnings

cimport cython
cimport numpy as cnp
from cpython.exc cimport PyErr_CheckSignals
from cpython.weakref cimport PyWeakref_NewRef
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
    /* A variable of which each thread has its own. Linux finds it without a call, as those of a program's start are
       found: the loader has room left for some that come later, and these are small. */
    #if defined(_MSC_VER)
    #define PER_THREAD static __declspec(thread)
    #elif defined(__linux__)
    #define PER_THREAD static __thread __attribute__((tls_model("initial-exec")))
    #else
    #define PER_THREAD static __thread
    #endif
    PER_THREAD int recording = 1;
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


cpdef ndarray empty_array(object shape, object dtype):
    """np.empty, but of floats where vectors are aligned."""
    cdef ndarray array = np.empty(shape, dtype)             # its memory is not touched
    return empty_like(array) if is_float(array) else array


cdef ndarray contiguous(ndarray array):
    """The array itself if it is C-contiguous and aligned, a copy that is otherwise."""
    if cnp.PyArray_ISCARRAY_RO(array):
        return array
    return copy_of(array)


cdef ndarray copy_of(ndarray array):
    """A C-contiguous copy; of floats, where vectors are aligned."""
    if not is_float(array):
        return np.array(array, order="C")
    cdef ndarray y = empty_like(array)
    cnp.PyArray_CopyInto(y, array)
    return y


cdef void _add_into(real* total, const real* x, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        total[i] += x[i]


cdef int add_into(ndarray total, ndarray x) except -1:
    """total += x, both of the same shape and dtype, which is float; total is C-contiguous."""
    cdef Py_ssize_t n = cnp.PyArray_SIZE(total)
    if not alike(total, x) or not is_float(total):
        raise RuntimeError(f"a gradient of shape {(<object>x).shape} {x.dtype} meets one of shape "
                           f"{(<object>total).shape} {total.dtype}: data was replaced since forward; compute it again")
    x = contiguous(x)
    if is_single(total):
        _add_into(<float*>cnp.PyArray_DATA(total), <const float*>cnp.PyArray_DATA(x), n)
    else:
        _add_into(<double*>cnp.PyArray_DATA(total), <const double*>cnp.PyArray_DATA(x), n)
    return 0


# -- tensors: class Tensor and how to make one stand in a file of their own -------------------------------------

include "tensor.pxi"


# -- captured functions: what a tape is stands in a file of its own ---------------------------------------------

include "tape.pxi"


# -- ops ------------------------------------------------------------------------------------------------------

cdef object ops = None      # the module microtensor.ops, once it has loaded
cdef object observer = None     # called after each run of an op: see observe
cdef Op observed = None         # the op whose arrays are all there, while the observer is called,
cdef bint observed_backward = False     # and those of which run


def bind_ops(module):
    """Let Tensor's methods find their functions; called once, by microtensor.ops."""
    global ops
    ops = module


def observe(function):
    """Call function(op, backward) after each run of an op, forward or backward; None: no more. Returns the one before.

    The op still holds all arrays then: ``op.results(backward)`` shows them, ``op.run_again(backward)`` repeats the run.
    """
    global observer
    before, observer = observer, function
    return before


cdef int call_observer(Op op, bint backward, list inputs) except -1:
    """inputs: of a run forward, those that it computed with, or None; the op will save them as they are afterwards."""
    global observed, observed_backward
    cdef list versions = [(<Tensor>x).get_version() for x in inputs if x is not None]
    cdef Py_ssize_t writes = writes_of(versions)
    cdef Op before = observed                   # an observer may compute with tensors itself
    cdef bint before_backward = observed_backward
    observed, observed_backward = op, backward
    try:
        observer(op, backward)
    finally:
        observed, observed_backward = before, before_backward
    if writes_of(versions) != writes:
        raise RuntimeError(f"{op.name}: an input was written in place by an observer, after it was computed with: an "
                           "observer may write into a clone()")
    return 0


# An op that dies takes with it the ops of its inputs, and they take theirs. From some depth on they wait in a list
# instead of recursing, so that a chain of a million ops dies without overflowing the stack.
cdef enum:
    MAX_DEPTH = 50
cdef list _dying = []
cdef int _depth = 0


cdef Tensor record(Op op, Tensor a, Tensor b=None, Tensor c=None):
    """The op's output as a tensor, linked to the op if gradients are recorded for any of its inputs."""
    if observer is not None:
        call_observer(op, False, [a, b, c])
    cdef Tensor y = wrap(op.y)
    if recording and (a.needs_gradient or (b is not None and b.needs_gradient)
                      or (c is not None and c.needs_gradient)):
        if b is None:
            op.edges = (_edge(a),)
        elif c is None:
            op.edges = (_edge(a), _edge(b))
        else:
            op.edges = (_edge(a), _edge(b), _edge(c))
        op.save(a, b, y)
    if taping:
        tape.forward(op, y, [a, b, c])
    return y


cdef Tensor record_all(Op op, list inputs):
    """record for any number of inputs, none of which backward reads."""
    if observer is not None:
        call_observer(op, False, inputs)
    cdef Tensor y = wrap(op.y)
    if recording and any([(<Tensor>x).needs_gradient for x in inputs]):
        op.edges = tuple([_edge(<Tensor>x) for x in inputs])
        op.save(None, None, y)
    if taping:
        tape.forward(op, y, inputs)
    return y


cdef inline object _edge(Tensor x):
    if not x.needs_gradient:
        return None
    return x if x.op is None else x.op


@cython.no_gc
cdef class Op:
    """A node of the graph: one computation, with what its backward needs. Each op is a subclass.

    Its life has four steps. A subclass, or the family of ops that it belongs to (microtensor/ops/base.pyx), gives each:

        check      the arguments, and bring them to one dtype (the public function, and apply)
        allocate   the output y (apply does this and the next two)
        run        the loops: run_forward computes y from a, b and the op's options
        record     link the output to the op, and drop what backward does not read (``reads`` says what it does)

    On the way back the engine checks that what was saved is as it was, and calls allocate_gradients, run_backward and
    give_gradients. A run reads and writes the arrays in the op's fields and nothing else, so it can be watched, timed
    and done again. ``rule`` is the backward once more, in Tensor language, for create_graph; ``samples`` are inputs to
    verify both on.
    """

    def __dealloc__(self):
        global _depth
        if _depth == MAX_DEPTH:
            _dying.append(self.edges)
            if self.g is not None:      # after a pass that an exception ended: it may hold a graph
                _dying.append(self.g)
            return
        _depth += 1
        self.edges = self.g = None
        _depth -= 1
        if _depth == 0:
            while _dying:
                _depth = 1
                _dying.pop()
                _depth = 0

    cdef int run_forward(self) except -1:
        """Compute y."""
        raise NotImplementedError(f"{type(self).__name__}.run_forward")

    cdef int allocate_gradients(self) except -1:
        """Make da and db, those of them that are needed; by default run_backward makes them itself."""
        return 0

    cdef int run_backward(self) except -1:
        """Compute the gradients from g = dL/dy, which has y's shape and dtype and is C-contiguous."""
        return 0

    cdef int give_gradients(self, Engine engine) except -1:
        """Hand the gradients to the engine, which may write into them from then on."""
        if self.da is not None:
            engine.give(self, 0, self.da)
        if self.db is not None:
            engine.give(self, 1, self.db)
        return 0

    cdef int reads(self) noexcept:
        """What backward or rule reads: a set of INPUT, OTHER, OUTPUT and CONTEXT."""
        return NOTHING

    def rule(self, Tensor g not None):
        """dL/dx for every input as a tuple of tensors, None where it is not needed, made of differentiable ops."""
        raise NotImplementedError(f"{self.name} has no rule: gradients through it are for backward and grad to compute")

    cdef object apply_rule(self, object g):
        """rule, for the engine. An operator of a subclass of Tensor may write: what the rule read is checked again."""
        gradients = self.rule(g)
        if not isinstance(gradients, tuple):
            raise TypeError(f"{type(self).__name__}.rule must return a tuple with a gradient for each input, got "
                            f"{type(gradients).__name__}")
        self.check_saved()
        return gradients

    @staticmethod
    def samples(draw):
        """Yield the Samples to verify the op on; see microtensor.ops.sample."""
        raise NotImplementedError

    cdef int save(self, Tensor a, Tensor b, Tensor y) except -1:
        """Link the output y to the op, and of what forward computed with keep what reads() names."""
        cdef int reads = self.reads()
        self.recorded = _replacements
        y.op, y.needs_gradient = self, True
        self.saved = reads != NOTHING
        if reads & INPUT:
            self.version_a = a.get_version() if a.array is self.a else raise_replaced(self, a)
            self.writes += self.version_a.writes
        elif not taping:
            self.a = None
        if reads & OTHER:
            self.version_b = b.get_version() if b.array is self.b else raise_replaced(self, b)
            self.writes += self.version_b.writes
        elif not taping:
            self.b = None
        if reads & OUTPUT:
            self.version_y = y.get_version()
            self.writes += self.version_y.writes
        elif not taping:
            self.y = None
        if not reads & CONTEXT and not taping:
            self.context = None
        return 0

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
        if self.saved and not self.taped:
            self.a = self.b = self.y = None
            self.version_a = self.version_b = self.version_y = None
            self.context = None
            self.freed = True

    cpdef Tensor input(self, Py_ssize_t i):
        """The saved input 0 or 1 as a tensor in its place in the graph: what rules compute with."""
        cdef ndarray array = self.a if i == 0 else self.b if i == 1 else None
        if array is None or i >= len(self.edges):
            raise IndexError(f"{type(self).__name__} keeps no input {i}")
        edge = self.edges[i]
        if isinstance(edge, Tensor):
            if (<Tensor>edge).array is not array:
                raise RuntimeError(f"the data of a leaf, input {i} of {type(self).__name__}, was replaced since "
                                   "forward: its gradient cannot be differentiated; compute the forward again")
            return edge
        return _in_graph(array, edge, self.version_a if i == 0 else self.version_b)

    cdef object read_context(self):
        """The saved context."""
        if self.context is None:
            raise IndexError(f"{type(self).__name__} keeps nothing, as its backward has run")
        return self.context

    cpdef Tensor output(self):
        """The saved output as a tensor in its place in the graph."""
        if self.y is None or self.edges is None:        # before it is recorded, writes to it would not be noticed
            raise IndexError(f"{type(self).__name__} keeps no output")
        return _in_graph(self.y, self, self.version_y)

    def run_again(self, bint backward=False):
        """Repeat the loops of forward or backward on the arrays that the op holds, for an observer of runs.

        Raises:
            RuntimeError: if it is not called from an observer of this run, as later the arrays are gone.
        """
        if self is not observed or backward != observed_backward:
            raise RuntimeError(f"{type(self).__name__} can run again only while an observer of its run is called: see "
                               "microtensor.core.observe")
        if backward:
            self.check_saved()                  # the observer may have written
            self.run_backward()
        else:
            self.run_forward()

    def results(self, bint backward=False):
        """The arrays that forward or backward has just filled in: [y], or the gradients that were needed."""
        return [lent(array) for array in ((self.da, self.db) if backward else (self.y,)) if array is not None]

    @property
    def name(self):
        """The op's name."""
        return type(self).__name__

    @property
    def next_functions(self):
        """Where the gradients of the inputs go: an Op, a leaf Tensor, or None."""
        return self.edges

    def __repr__(self):
        return f"<{self.name}>"


cdef Version raise_replaced(Op op, Tensor x):
    """Raise, where x no longer has the array that an op computed with: writes to that would not be noticed."""
    raise RuntimeError(f"{op.name}: the data of an input of shape {x.shape} was replaced while it ran, by an observer, "
                       "another thread or its own code: compute the forward again")


cdef Tensor _in_graph(ndarray array, object edge, Version version):
    cdef Tensor tensor = wrap(array)
    tensor.version = version
    if isinstance(edge, Op):
        tensor.op = edge
        tensor.needs_gradient = True
    return tensor


# -- the engine -----------------------------------------------------------------------------------------------

cdef enum:
    SIGNAL_OPS = 1024               # after so many ops a pass looks whether Ctrl-C was pressed
    FORGOTTEN = -1                  # pending, of an op that an exception keeps from running

cdef Py_ssize_t _passes = 0         # numbers the passes
cdef Engine _running = None         # the one that began last of those under way: more than one only with threads
cdef object _interrupted = collections.deque(maxlen=100)    # the last that ended by an exception while ops ran


@cython.final
@cython.no_gc
@cython.freelist(4)
cdef class Engine:
    """One backward pass, in topological order (Kahn's algorithm): an op runs when its output's gradients are all there.

    1. Go from the roots over all edges: count for each op how many gradients it will be sent, and check that
       what it saved is still good, so that an error comes before anything is changed.
    2. Ops that have been sent all their gradients are ready. Take one, let it send gradients to its inputs,
       free what it saved, repeat.
    3. Add what the leaves were sent to their gradients. What can fail comes before the first of them changes.

    The first gradient sent to an op is adopted. The next one is added into it if the engine owns it, and else into a
    new array. A leaf does the same, but copies a first one that is only lent.
    """

    cdef object seed(self, Tensor output, object gradient):
        """dL/d(output) to start a backward pass with, checked: a Tensor under create_graph, else an array."""
        cdef Tensor given
        if not output.needs_gradient:
            raise RuntimeError(f"backward from a tensor of shape {output.shape} that requires no gradient: nothing it "
                               "was computed from has requires_grad=True, or it was computed under no_grad")
        if gradient is None:
            if cnp.PyArray_SIZE(output.array) != 1:
                raise RuntimeError(f"backward from a tensor of shape {output.shape} needs a gradient of that shape: "
                                   "reduce it to a scalar first (.sum() or .mean()), or pass gradient=")
            given = constant(holding(empty_like(output.array), 1))
        elif isinstance(gradient, Tensor):
            given = gradient
            self.seeds = self.seeds or []
            self.seeds.append(given.get_version())
            self.seed_writes += given.version.writes
        else:
            raise TypeError(f"gradient must be a Tensor, not {type(gradient).__name__}")
        if not alike(given.array, output.array):
            raise RuntimeError(f"gradient must have the output's shape and dtype {output.shape} {output.dtype}, "
                               f"got {given.shape} {given.dtype}")
        take_in(given, "backward")
        if self.create_graph:
            return given
        return given.array if taping else contiguous(given.array)       # a tape begins with what is in it each time

    cdef int run(self, list roots, list gradients, bint retain_graph) except -1:
        """Send a gradient to each root (an Op or a leaf), and on to all leaves behind them."""
        global _passes, _running
        _passes += 1
        cdef Py_ssize_t pass_id = _passes, i
        cdef list start
        self.pass_id, self.leaves, self.replacements, self.writes = pass_id, [], _replacements, _writes
        if _running is not None:
            self.sums = {}
        self.before, _running = _running, self
        try:
            start = self.count_gradients(pass_id, roots)
            for i in range(len(roots)):
                self.begin_at(roots[i], gradients[i])
            # A root that lies behind another one is ready later.
            self.run_in_order([root for root in start if (<Op>root).pending == 0], retain_graph)
            self.add_to_leaves()
        except BaseException:
            if self.sums is None:
                for leaf in self.leaves:
                    (<Tensor>leaf).arrived = None
            if self.ops_run > 0:
                _interrupted.append(pass_id)
            if self.create_graph:
                self.forget_gradients(roots)
            raise
        finally:
            if _running is self:
                _running = self.before
            else:
                self.leave(_running)
        return 0

    cdef int begin_at(self, object root, object gradient) except -1:
        """Send a root the gradient that the pass begins with."""
        if taping and (self.create_graph or self.captured is not None):
            refuse_in_capture("grad, or backward with create_graph=True,")
        if not taping:
            return self.deliver(root, gradient, False)
        if self.sent is None:
            self.began = len(tape.actions)
        self.sent = []
        self.send(root, gradient, False)
        return self.tape_backward(None, gradient)

    cdef void leave(self, Engine later) noexcept:
        """Take this pass out from under those that began later."""
        while later.before is not self:
            later = later.before
        later.before = self.before

    cdef int forget_gradients(self, list roots) except -1:
        """After an exception: a gradient that is a graph may lead back to the op that was sent it, a cycle."""
        cdef list found = [root for root in roots if isinstance(root, Op)]
        cdef Op op
        while found:
            op = <Op>found.pop()
            if op.pass_id == self.pass_id and op.pending != FORGOTTEN:
                op.g, op.pending = None, FORGOTTEN
                found += [edge for edge in op.edges if isinstance(edge, Op)]
        return 0

    cdef list count_gradients(self, Py_ssize_t pass_id, list roots):
        """Step 1: count, and check. Returns the roots that are Ops, each once."""
        cdef list start = [], found
        cdef Op op = None, source, following            # the next op, without a trip through the list
        for root in roots:
            if isinstance(root, Op) and (<Op>root).pass_id != pass_id:
                _meet(<Op>root, pass_id)
                start.append(root)
        found = start[:]
        while op is not None or found:
            if op is None:
                op = <Op>found.pop()
            op.check_saved()
            following = None
            for edge in op.edges:
                if edge is None:
                    continue
                if isinstance(edge, Op):
                    source = <Op>edge
                    if source.pass_id != pass_id:
                        _meet(source, pass_id)
                        if following is None:
                            following = source
                        else:
                            found.append(source)
                    source.pending += 1
                else:
                    self.check_leaf(<Tensor>edge, op)
            op = following
        return start

    cdef int check_leaf(self, Tensor leaf, Op op) except -1:
        """Raise unless the leaf can take the gradient that the op will send it."""
        cdef Tensor gradient = leaf.gradient
        if leaf.replaced > op.recorded:
            raise RuntimeError(f"backward through {op.name} to a leaf whose data was replaced since forward, "
                               f"now of shape {leaf.shape} {leaf.dtype}: compute the forward again")
        if self.captured is None and gradient is not None and not alike(gradient.array, leaf.array):
            raise RuntimeError(f"backward to a leaf of shape {leaf.shape} {leaf.dtype} whose .grad is of shape "
                               f"{gradient.shape} {gradient.dtype}, from before its data was replaced: set .grad to "
                               "None")
        return 0

    cdef int check_again(self, Op op) except -1:
        """Check what an op saved just before it runs, in a pass during which something was written."""
        op.check_saved()
        if self.seeds is not None and writes_of(self.seeds) != self.seed_writes:
            raise RuntimeError("the gradient that backward was given was written in place while it ran, by code that "
                               "it called: give it a clone()")
        return 0

    cdef int run_in_order(self, list ready, bint retain_graph) except -1:
        """Step 2: run each op that has been sent all its gradients, and send on what it gives."""
        cdef Op op = None, source, following
        while op is not None or ready:
            self.look_for_signals()
            if op is None:
                op = <Op>ready.pop()
            if self.captured is not None and identity(op) in self.captured:
                self.captured[identity(op)] = None if op.g is None else self.copied(op.g)
            if op.g is not None:                    # None where no gradient was given
                if _writes != self.writes:          # by code of the user's that ran since the pass began
                    self.check_again(op)
                if self.create_graph:
                    self.run_rule(op, op.g)
                else:
                    op.allocate_gradients()
                    op.run_backward()
                    if observer is not None:
                        call_observer(op, True, [])
                    op.give_gradients(self)
                self.let_go(op)
            if not retain_graph:
                op.free_saved()
            following = None
            for edge in op.edges:
                if edge is not None and isinstance(edge, Op):
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
            dx = operators.sum_to(dx, op.input_shapes[i])
        return self.send(op.edges[i], dx, True)

    cdef int lend(self, Op op, Py_ssize_t i, ndarray dx) except -1:
        """Send dx, which others hold too (it is g itself, or a view of it), so the engine may not write into it."""
        cdef ndarray summed
        if op.input_shapes is not None and op.edges[i] is not None:
            summed = operators.sum_to(dx, op.input_shapes[i])
            if summed is not dx:
                return self.send(op.edges[i], summed, True)
        return self.send(op.edges[i], dx, False)

    cdef inline int look_for_signals(self) except -1:
        """Let Ctrl-C end a long pass."""
        self.ops_run += 1
        if self.ops_run % SIGNAL_OPS == 0:
            PyErr_CheckSignals()
        return 0

    cdef int run_rule(self, Op op, object g) except -1:
        with enable_grad():
            gradients = op.apply_rule(g)
            for i in range(len(op.edges)):
                edge, dx = op.edges[i], gradients[i]
                if edge is None or dx is None:
                    continue
                if op.input_shapes is not None:
                    dx = ops.sum_to(dx, op.input_shapes[i])
                if not isinstance(dx, Tensor):      # an operator of a subclass of Tensor gave it
                    raise TypeError(f"backward of {type(op).__name__} with create_graph=True: its rule gave a gradient "
                                    f"of type {type(dx).__name__}: the operators of a subclass of Tensor must return "
                                    "tensors")
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
        if op.g is None:
            op.g, op.owned = dx, owned
        elif self.create_graph:
            op.g = operators.add(<Tensor>op.g, <Tensor>dx)
        elif op.owned:
            add_into(<ndarray>op.g, <ndarray>dx)
        else:
            op.g, op.owned = _sum(<ndarray>op.g, <ndarray>dx), True
        return 0

    cdef int deliver_to_leaf(self, Tensor leaf, object dx, bint owned) except -1:
        cdef ndarray array = (<Tensor>dx).array if self.create_graph else <ndarray>dx
        if not alike(array, leaf.array):
            raise RuntimeError(f"backward to a leaf of shape {leaf.shape} {leaf.dtype}, whose data was replaced since "
                               "forward: compute the forward again")
        if self.captured is not None:
            if identity(leaf) in self.captured:
                so_far = self.captured[identity(leaf)]
                if so_far is None:
                    so_far = dx if owned else self.copied(dx)
                else:
                    so_far = operators.add(so_far, dx) if self.create_graph else _sum(<ndarray>so_far, <ndarray>dx)
                self.captured[identity(leaf)] = so_far
            return 0
        if not leaf.needs_gradient:     # frozen since forward
            return 0
        cdef Tensor arrived = self.arrived_at(leaf)
        if arrived is None:
            if not owned:
                dx = self.copied(dx)
            arrived = <Tensor>dx if self.create_graph else wrap(contiguous(<ndarray>dx))
            self.leaves.append(leaf)
        elif self.create_graph:
            arrived = operators.add(arrived, <Tensor>dx)
        else:
            add_into(arrived.array, array)
            return 0
        if self.sums is None:
            leaf.arrived = arrived
        else:
            self.sums[identity(leaf)] = arrived
        return 0

    cdef int send(self, object edge, ndarray dx, bint owned) except -1:
        """deliver; inside a captured function in a way that a tape can repeat, and for a tape again."""
        if edge is None:
            return 0
        if self.plan is not None:
            return self.send_again(dx)
        if not taping:
            return self.deliver(edge, dx, owned)
        if not owned or not cnp.PyArray_ISCARRAY(dx):
            dx = copy_of(dx)                    # so that the first that is sent somewhere is what will be there
        self.deliver(edge, dx, True)
        cdef Tensor arrived
        cdef ndarray there = None               # nothing, in a leaf that was frozen
        if isinstance(edge, Op):
            there = (<Op>edge).g
        else:
            arrived = self.arrived_at(<Tensor>edge)
            if arrived is not None:
                there, arrived.made = arrived.array, taping
        self.sent.append(None if there is None else (there, there is not dx))
        return 0

    cdef int send_again(self, ndarray dx) except -1:
        """When a tape runs an op again: to where the same gradient went the first time."""
        cdef ndarray there
        place = self.plan[self.place]
        self.place += 1
        if place is None:
            return 0
        there, added = place
        return add_into(there, dx) if added else copy_over(there, dx)

    cdef int tape_backward(self, Op op, ndarray seed) except -1:
        """Let the tape run the op again, or begin again with a seed, and send what was sent to where it went."""
        cdef Backward action = Backward.__new__(Backward)
        action.op, action.seed, action.engine = op, seed, Engine.__new__(Engine)
        action.engine.plan = self.sent
        tape.actions.append(action)
        self.sent = []
        return 0

    cdef int let_go(self, Op op) except -1:
        """After an op's turn: forget what its run needed, unless a tape keeps it."""
        if not op.taped:
            op.g = op.da = op.db = None
        elif op.g is not None:
            self.tape_backward(op, None)
        return 0

    cdef inline Tensor arrived_at(self, Tensor leaf):
        """What this pass has sent to the leaf so far."""
        return leaf.arrived if self.sums is None else self.sums.get(identity(leaf))

    cdef int add_to_leaves(self) except -1:
        """Step 3: for all leaves, or after an exception for none."""
        cdef Tensor leaf, gradient, arrived
        cdef list sums = None if self.sums is None else [self.sums[identity(leaf)] for leaf in self.leaves]
        cdef dict totals = None         # by leaf number, if its gradient cannot be added into: (it, the new gradient)
        cdef Py_ssize_t i, n = len(self.leaves)
        cdef bint changed = True
        while changed:                  # a total may let another thread run, which may change a gradient: look again
            changed = False
            for i in range(n):
                leaf = <Tensor>self.leaves[i]
                gradient = leaf.gradient
                check_depth(leaf.depth + 1)
                if leaf.replaced > self.replacements or gradient is not None and not alike(gradient.array, leaf.array):
                    raise RuntimeError(f"backward to a leaf of shape {leaf.shape} {leaf.dtype}, whose data or gradient "
                                       "was replaced meanwhile: compute the forward again")
                if gradient is None:
                    continue
                if self.adds_into(gradient):
                    gradient.get_version()
                elif totals is None or i not in totals or totals[i][0] is not gradient:
                    totals = totals or {}
                    totals[i] = gradient, self.total(gradient, self.arrived_at(leaf))
                    changed = True
        cdef Arrived action
        if taping:
            action = Arrived.__new__(Arrived)
            action.leaves = [(leaf, self.arrived_at(leaf), leaf.gradient) for leaf in self.leaves]
            tape.actions.append(action)
            tape.actions[self.began:self.began] = [found_at(leaf) for leaf in self.leaves]     # before anything changes
            tape.inputs += [input_of(arrived) for _, arrived, _ in action.leaves]
        for i in range(n):
            leaf = <Tensor>self.leaves[i]
            gradient = leaf.gradient
            arrived = leaf.arrived if sums is None else <Tensor>sums[i]
            if gradient is None:
                arrived.depth = leaf.depth + 1
                leaf.gradient = arrived
            elif self.adds_into(gradient):
                count_write(gradient.version)
                add_into(gradient.array, arrived.array)
            else:
                leaf.gradient = <Tensor>totals[i][1]
            if sums is None:
                leaf.arrived = None
        return 0

    cdef bint adds_into(self, Tensor gradient) noexcept:
        """Whether a gradient is added to in its own memory."""
        return not self.create_graph and gradient.op is None and cnp.PyArray_ISCARRAY(gradient.array)

    cdef Tensor total(self, Tensor gradient, Tensor arrived):
        """A new gradient, for one that is not added to in its own memory."""
        if not self.create_graph:
            return wrap(_sum(gradient.array, arrived.array))
        with enable_grad():
            return operators.add(gradient, arrived)

    cdef object copied(self, object gradient):
        """A gradient in memory of its own: a Tensor under create_graph, an ndarray otherwise."""
        return <Tensor?>ops.clone(gradient) if self.create_graph else copy_of(<ndarray>gradient)


cdef bint is_under_way(Py_ssize_t pass_id) noexcept:
    """Whether a pass has begun and not ended."""
    cdef Engine engine = _running
    while engine is not None and engine.pass_id != pass_id:
        engine = engine.before
    return engine is not None


cdef inline int _meet(Op op, Py_ssize_t pass_id) except -1:
    """Claim an op for this pass."""
    if _running.before is not None and is_under_way(op.pass_id):
        raise RuntimeError(f"backward through {op.name} while another pass goes through it, of another thread or "
                           "of the code around this call: a graph is for one pass at a time; begin at a detach() of "
                           "what the other pass computes with")
    if taping and not op.taped:
        raise RuntimeError(f"backward inside a captured function through {op.name}, which was computed outside: "
                           "compute it inside, or begin at a detach() of it")
    if op.taped and (not taping or op.g is not None):
        raise RuntimeError(f"backward through {op.name}, which belongs to a captured function: it runs inside that "
                           "function, once for each forward")
    if op.freed and op.pass_id in _interrupted:
        raise RuntimeError(f"backward through {op.name}, whose last backward was interrupted by an exception "
                           "after it had freed saved arrays: compute the forward again")
    op.pass_id = pass_id
    op.pending = 0
    op.g = None
    return 0


cdef ndarray _sum(ndarray x, ndarray y):
    cdef ndarray total = copy_of(x)
    add_into(total, y)
    return total


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
    grad_outputs = tuple(grad_outputs)
    for i, y in enumerate(outputs):
        if not isinstance(y, Tensor):
            raise TypeError(f"outputs[{i}] must be a Tensor, not {type(y).__name__}")
    if len(grad_outputs) != len(outputs):
        raise ValueError(f"grad_outputs must hold one gradient per output: {len(outputs)}, got {len(grad_outputs)}")
    for i, x in enumerate(inputs):
        if not isinstance(x, Tensor):
            raise TypeError(f"inputs[{i}] must be a Tensor, not {type(x).__name__}")
        if not x.requires_grad:
            raise RuntimeError(f"inputs[{i}] of shape {x.shape} does not require a gradient")

    cdef Engine engine = Engine.__new__(Engine)
    engine.create_graph = create_graph
    seeds = [engine.seed(output, gradient) for output, gradient in zip(outputs, grad_outputs)]
    places = [_edge(x) for x in inputs]
    engine.captured = dict.fromkeys([identity(place) for place in places])
    engine.run([_edge(y) for y in outputs], seeds, create_graph if retain_graph is None else retain_graph)
    gradients, seen = [], set()
    for i, place in enumerate(places):
        gradient = engine.captured[identity(place)]
        if gradient is None and not allow_unused:
            raise RuntimeError(f"no output depends on inputs[{i}] of shape {inputs[i].shape}: "
                               "pass allow_unused=True to get None for it")
        if identity(place) in seen and gradient is not None:        # an input named twice gets two gradients
            gradient = engine.copied(gradient)
        seen.add(identity(place))
        gradients.append(wrap(gradient) if isinstance(gradient, ndarray) else gradient)
    return tuple(gradients)
