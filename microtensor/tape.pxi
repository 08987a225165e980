# Tape: what a captured function did, action by action, to be done again without Python. Included by core.pyx.
#
# Every op keeps the arrays that it computed with, and each run reads and writes the same ones, so that an action has
# little to do but loops:
#
#     Forward     op.run_forward(); an output that is made as it runs is copied to where the first one is
#     Backward    op.run_backward(), and each gradient to where it went the first time
#     Found       whether a leaf has the gradient that it had, before a pass adds to it and where .grad is read
#     Arrived     the gradients of the leaves, at the end of a pass
#     Call        a function of those that change more than an op's arrays, such as an optimiser's step

cdef extern from *:
    """
    PER_THREAD int taping = 0;
    """
    int taping                  # the number of the tape that this thread records, inside a captured function; or 0

# Tensor.made is the number of the tape, too, for what an op made while it was recorded, and for constants; and its
# negative for what was made otherwise, and would not be made again.

cdef Tape tape = None           # what is recorded: one at a time
cdef int _tapes = 0             # numbers them


cdef class Action:
    """Something that a captured function did."""

    cdef int again(self) except -1:
        """Do it once more, on the same arrays."""
        raise NotImplementedError


cdef int copy_over(ndarray target, ndarray array) except -1:
    """target = array, unless it is the same memory."""
    if cnp.PyArray_DATA(array) != cnp.PyArray_DATA(target):
        cnp.PyArray_CopyInto(target, array)
    return 0


@cython.final
cdef class Forward(Action):
    """An op's run forward."""

    cdef Op op
    cdef ndarray y              # its output
    cdef Version version

    cdef int again(self) except -1:
        cdef Op op = self.op
        op.run_forward()
        if op.y is not self.y:
            copy_over(self.y, op.y)
            op.y = self.y
        count_write(self.version)
        return 0


@cython.final
cdef class Backward(Action):
    """An op's run backward, and what it sent; without an op, a gradient that a pass began with."""

    cdef Op op
    cdef ndarray seed
    cdef Engine engine          # its plan: where each gradient went, in order, as (array, whether added) or None

    cdef int again(self) except -1:
        self.engine.place = 0
        if self.op is None:
            return self.engine.send_again(self.seed)
        self.op.run_backward()
        return self.op.give_gradients(self.engine)


@cython.final
cdef class Found(Action):
    """Whether a leaf has the gradient that it had."""

    cdef Tensor leaf
    cdef ndarray array          # of the gradient, or None

    cdef int again(self) except -1:
        cdef Tensor gradient = self.leaf.gradient
        if (None if gradient is None else gradient.array) is not self.array:
            raise RuntimeError(
                f"a captured function found a leaf of shape {self.leaf.shape} "
                + ("without a gradient, and now it has one: call zero_grad() inside it, or before each call"
                   if self.array is None else
                   "with a gradient, and now it has another or none: zero_grad(set_to_none=False) keeps it"))
        return 0


cdef Found found_at(Tensor leaf):
    """The gradient that a leaf has now."""
    cdef Found found = Found.__new__(Found)
    found.leaf, found.array = leaf, None if leaf.gradient is None else leaf.gradient.array
    return found


cdef int note_gradient(Tensor leaf) except -1:
    """Inside a captured function: its gradient is read."""
    if taping:
        tape.actions.append(found_at(leaf))
    return 0


@cython.final
cdef class Arrived(Action):
    """The gradients of the leaves, which a pass ends with."""

    cdef list leaves            # (leaf, what arrived, the gradient that it was added into or None)

    cdef int again(self) except -1:
        cdef Tensor leaf, arrived, gradient
        for leaf, arrived, gradient in self.leaves:
            if gradient is None:
                count_write(arrived.get_version())
                leaf.gradient = arrived
            else:
                count_write(gradient.get_version())
                add_into(gradient.array, arrived.array)
        return 0


@cython.final
cdef class Call(Action):
    """A function that is called again."""

    cdef object function
    cdef tuple arguments
    cdef Tensor result          # that of the first time, which gets the numbers of the next

    cdef int again(self) except -1:
        result = self.function(*self.arguments)
        if self.result is not None:
            cnp.PyArray_CopyInto(self.result.array, (<Tensor?>result).array)
            count_write(self.result.get_version())
        return 0


@cython.final
cdef class Tape:
    """The actions of a function, in order.

    Attributes:
        result: what the function returned.
    """

    cdef list actions
    cdef list inputs            # (tensor, its array, whether it requires a gradient), of what must stay as it was
    cdef list modules           # (module, its training mode), of those that were called
    cdef bint recording         # the grad mode
    cdef bint running
    cdef readonly object result

    def __init__(self, function):
        """Run the function and record it."""
        global tape, taping, _tapes
        if taping or tape is not None:
            raise RuntimeError("a function is captured while another one is: capture one function that calls both, or "
                               "in threads one after the other")
        if observer is not None:
            raise RuntimeError("a function cannot be captured while runs of ops are observed, as with observe()")
        self.actions, self.inputs, self.modules, self.recording = [], [], [], recording
        _tapes += 1
        tape, taping = self, _tapes
        try:
            self.result = function()
            check_result(self.result)
        finally:
            tape, taping = None, 0

    def again(self):
        """Do everything once more.

        Raises:
            RuntimeError: if something is no longer what it was computed with, such as the data of a tensor, or if it is
                running already.
        """
        cdef Action action
        cdef Tensor x
        cdef bint needed
        if taping:
            raise RuntimeError("a captured function is called inside another one, which is captured: "
                               "capture one function that calls both")
        if observer is not None:
            raise RuntimeError("a captured function cannot run again while runs of ops are observed")
        if self.running:
            raise RuntimeError("a captured function is running already, in another thread or around this call")
        if recording != self.recording:
            raise RuntimeError(f"a function was captured with gradients {'on' if self.recording else 'off'}, and is "
                               "called with them the other way: call it in the same grad mode, or capture another")
        for x, array, needed in self.inputs:
            if x.array is not array:
                raise RuntimeError(f"the data of a tensor of shape {x.shape} was replaced since the function was "
                                   "captured: write into it with copy_(), or capture the function again")
            if x.needs_gradient != needed:
                raise RuntimeError(f"requires_grad of a tensor of shape {x.shape} was changed since the function "
                                   "was captured: set it back, or capture the function again")
        for module, training in self.modules:
            if module.training is not training:
                raise RuntimeError(f"a {type(module).__name__} was captured with training={training}, and that was "
                                   "changed: call train() or eval() before, or capture one function for each mode")
        self.running = True
        try:
            for action in self.actions:
                action.again()
        finally:
            self.running = False

    cdef int forward(self, Op op, Tensor y, list inputs) except -1:
        """Record an op's run, once its output is linked to it."""
        cdef Tensor x
        for x in inputs:
            if x is None:
                continue
            if recording and x.op is not None and x.op.taped and x.made != taping:
                raise RuntimeError(f"{op.name} computes with a tensor of shape {x.shape} that belongs to another "
                                   "captured function, which gradients cannot flow back through: begin at its detach()")
            take_in(x, op.name)
        cdef Forward action = Forward.__new__(Forward)
        action.op, action.y, action.version = op, op.y, y.get_version()
        op.taped, y.made = True, taping
        self.actions.append(action)
        return 0


cdef int check_result(object result) except -1:
    """Raise where a captured function returns what would not be made again."""
    if isinstance(result, Tensor):
        if (<Tensor>result).made == -taping:
            raise RuntimeError(f"a captured function returns a tensor of shape {(<Tensor>result).shape} that no op "
                               "made, as comparisons and argmax do: it would be the same each time; compute it "
                               "outside, from what the function returns")
        tape.inputs.append(input_of(<Tensor>result))
    elif isinstance(result, (dict, list, tuple)):
        Py_EnterRecursiveCall(" in what a captured function returns")
        try:
            for part in list(result.values()) if isinstance(result, dict) else result:
                check_result(part)
        finally:
            Py_LeaveRecursiveCall()
    elif hasattr(result, "__next__"):
        raise RuntimeError(f"a captured function returns a {type(result).__name__}, which could be gone through only "
                           "once: return its parts in a list")
    return 0


cdef tuple input_of(Tensor x):
    """What must stay as it is."""
    return x, x.array, x.needs_gradient


cdef Tensor constant(Tensor x):
    """x, which would be made again with the same numbers."""
    x.made = taping
    return x


cdef int take_in(Tensor x, str name) except -1:
    """Inside a captured function: an op computes with x. Raise where that would not be made again."""
    if taping == 0 or x is None or x.made == taping:
        return 0
    if x.made == -taping:
        raise RuntimeError(f"{name} computes with a tensor of shape {x.shape} that was made inside a captured "
                           "function, but by no op, as comparisons, argmax and mt.tensor do: it would be the same each "
                           "time; make it before")
    tape.inputs.append(input_of(x))
    return 0


cdef int note_mode(object module) except -1:
    """Inside a captured function: a module is called, whose forward may depend on its training mode."""
    if taping:
        tape.modules.append((module, module.training))
    return 0


cpdef int refuse_in_capture(str what) except -1:
    """Raise inside a captured function for something that would happen once only."""
    if taping:
        raise RuntimeError(f"{what} inside a captured function would happen the first time only: do it outside, on "
                           "what the function returns")
    return 0


cdef bint is_taping() noexcept:
    """Whether this thread is inside a captured function that runs for the first time."""
    return taping != 0


cdef Action call_again(object function, tuple arguments):
    """Inside a captured function: let the tape call a function, too, each time."""
    cdef Call call = Call.__new__(Call)
    call.function, call.arguments = function, arguments
    tape.actions.append(call)
    return call


cdef int give_result(Action call, Tensor result) except -1:
    """What such a function gave the first time, which gets the numbers of the next times."""
    (<Call>call).result, result.made = result, taping
    return 0
