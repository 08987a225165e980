"""What the op modules need to know of Tensor, Op and Engine: their fields, and how to make and link them."""

cimport cython
cimport numpy as cnp
from numpy cimport ndarray


cdef extern from "Python.h":        # a recursion in C that Python would not see
    int Py_EnterRecursiveCall(const char* where) except *
    void Py_LeaveRecursiveCall()


cdef class Version:
    cdef Py_ssize_t writes


@cython.no_gc
cdef class Tensor:
    cdef ndarray array              # the numbers
    cdef Op op                      # what computed this tensor, if gradients are recorded; None for a leaf
    cdef bint needs_gradient        # requires_grad
    cdef int depth                  # of how many gradients it is the .grad of the .grad of ...
    cdef Tensor gradient            # .grad
    cdef Version version            # counts in-place writes; made when first asked for, shared by views
    cdef Py_ssize_t replaced        # the number of replacements when .data last changed its shape or dtype
    cdef Py_ssize_t met             # the last search for parameters that found it: see nn/_call.pyx
    cdef int made                   # in which captured function, and how: see tape.pxi
    cdef Tensor arrived             # what a pass that is under way has sent to this leaf so far: see Engine.arrived_at
    cdef object __weakref__

    cdef Version get_version(self)
    cdef int check_new(self) except -1
    cdef int before_write(self) except -1
    cdef int check_writable(self) except -1
    cdef int set_gradient(self, Tensor gradient) except -1


cdef enum:                          # what an op's backward or rule reads, as a set: record drops the rest
    NOTHING = 0
    INPUT = 1                       # a
    OTHER = 2                       # b, the second input
    OUTPUT = 4                      # y
    CONTEXT = 8                     # context


@cython.no_gc
cdef class Op:
    # -- the graph
    cdef tuple edges                # per input, where its gradient goes: an Op, a leaf Tensor, or None
    cdef tuple input_shapes         # the inputs' shapes, kept only if one of them was broadcast
    # -- what forward computes with, and backward after it
    cdef ndarray a, b, y            # the first input, the second, the output
    cdef object context             # what else forward found out and backward needs, such as where a maximum is
    cdef object g                   # dL/dy so far: an ndarray, a Tensor under create_graph, or a list; only in a pass
    cdef ndarray da, db             # the gradients of the inputs; only until the engine has them
    # -- saved for backward
    cdef Version version_a, version_b, version_y
    cdef Py_ssize_t writes          # what the three versions added up to when the arrays were saved
    cdef Py_ssize_t recorded        # the number of replacements at forward: see Engine.check_leaf
    cdef unsigned char saved, freed     # truth values, in bytes: a long graph is as fast as its ops are small
    cdef unsigned char taped            # a tape keeps it, to run it again
    # -- while the engine runs
    cdef unsigned char owned        # g may be written into
    cdef int pending                # gradients still to come
    cdef Py_ssize_t pass_id         # the last pass that met this op

    cdef int run_forward(self) except -1
    cdef int allocate_gradients(self) except -1
    cdef int run_backward(self) except -1
    cdef int give_gradients(self, Engine engine) except -1
    cdef int reads(self) noexcept
    cdef object apply_rule(self, object g)

    @cython.final
    cdef inline bint needs(self, Py_ssize_t i) noexcept:
        """Whether input i needs a gradient."""
        return self.edges is not None and self.edges[i] is not None

    cdef int save(self, Tensor a, Tensor b, Tensor y) except -1
    cdef int check_saved(self) except -1
    cdef void free_saved(self) noexcept
    cpdef Tensor input(self, Py_ssize_t i)
    cdef object read_context(self)
    cpdef Tensor output(self)


@cython.no_gc
cdef class Engine:
    cdef dict captured              # for grad(): what to return, by the id of an op or leaf; None for backward()
    cdef bint create_graph
    cdef Py_ssize_t pass_id
    cdef Engine before              # the pass that had begun before this one, and is under way too
    cdef Py_ssize_t replacements    # when the pass began,
    cdef Py_ssize_t writes          # and the number of in-place writes
    cdef list seeds                 # the versions of the gradients that the user gave, None if he gave none,
    cdef Py_ssize_t seed_writes     # and what they added up to
    cdef size_t ops_run
    cdef list leaves                # those that were sent a gradient
    cdef dict sums                  # what they were sent, by id, if another pass may use their `arrived`; None if not
    cdef list sent                  # inside a captured function: where the gradients of an op went, in order
    cdef list plan                  # when a tape runs an op again: where they go
    cdef Py_ssize_t place           # in plan
    cdef Py_ssize_t began           # inside a captured function: how many actions there were before the pass

    cdef int run(self, list roots, list gradients, bint retain_graph) except -1
    cdef int begin_at(self, object root, object gradient) except -1
    cdef void leave(self, Engine later) noexcept
    cdef int forget_gradients(self, list roots) except -1
    cdef list count_gradients(self, Py_ssize_t pass_id, list roots)
    cdef int check_leaf(self, Tensor leaf, Op op) except -1
    cdef object seed(self, Tensor output, object gradient)
    cdef int check_again(self, Op op) except -1
    cdef int run_in_order(self, list ready, bint retain_graph) except -1
    cdef int look_for_signals(self) except -1
    cdef int run_rule(self, Op op, object g) except -1
    cdef int give(self, Op op, Py_ssize_t i, ndarray dx) except -1
    cdef int lend(self, Op op, Py_ssize_t i, ndarray dx) except -1
    cdef int deliver(self, object edge, object dx, bint owned) except -1
    cdef int send(self, object edge, ndarray dx, bint owned) except -1
    cdef int send_again(self, ndarray dx) except -1
    cdef int tape_backward(self, Op op, ndarray seed) except -1
    cdef int let_go(self, Op op) except -1
    cdef int deliver_to_leaf(self, Tensor leaf, object dx, bint owned) except -1
    cdef Tensor arrived_at(self, Tensor leaf)
    cdef int add_to_leaves(self) except -1
    cdef bint adds_into(self, Tensor gradient) noexcept
    cdef Tensor total(self, Tensor gradient, Tensor arrived)
    cdef object copied(self, object gradient)


# Tensor's operators are made of ops, and ops are made of Tensors: the ops fill this table in when they load.
ctypedef Tensor (*binary_function)(Tensor a, Tensor b)

cdef struct Operators:
    binary_function add, sub, mul, div, pow, matmul
    ndarray (*sum_to)(ndarray array, tuple shape)

cdef Operators operators

cdef class Action:
    cdef int again(self) except -1

cpdef int refuse_in_capture(str what) except -1
cdef Action call_again(object function, tuple arguments)
cdef int give_result(Action call, Tensor result) except -1
cdef bint is_taping() noexcept
cdef int take_in(Tensor x, str name) except -1
cdef Tensor constant(Tensor x)
cdef int note_gradient(Tensor leaf) except -1
cdef int note_mode(object module) except -1

cdef Tensor wrap(ndarray array)
cdef void set_number(ndarray one, double value) noexcept
cdef Tensor holding(ndarray one, double value)
cdef Tensor view_of(Tensor base, ndarray array)
cdef bint broadcasts_to(ndarray array, ndarray like) noexcept
cdef void count_write(Version version) noexcept
cdef Py_ssize_t writes_of(list versions) except -1
cdef Version raise_replaced(Op op, Tensor x)
cdef Tensor record(Op op, Tensor a, Tensor b=*, Tensor c=*)
cdef Tensor record_all(Op op, list inputs)
cdef Tensor _in_graph(ndarray array, object edge, Version version)
cdef Tensor operand(object value, Tensor like)
cdef object either(object dim, object axis)
cdef Tensor taken(object value, str name)

cdef inline Tensor as_tensor(object value, str name):
    """An argument of a function as a tensor: every function of tensors takes NumPy arrays too."""
    return <Tensor>value if isinstance(value, Tensor) else taken(value, name)

cdef inline bint is_single(ndarray array) noexcept:
    """Whether an array is of float32."""
    return cnp.PyArray_TYPE(array) == cnp.NPY_FLOAT32

cdef inline bint is_float(ndarray array) noexcept:
    """Whether an array is of float32 or float64."""
    return is_single(array) or cnp.PyArray_TYPE(array) == cnp.NPY_FLOAT64

cdef inline bint alike(ndarray x, ndarray y) noexcept:
    """Whether two arrays have one shape and dtype."""
    return cnp.PyArray_SAMESHAPE(x, y) and cnp.PyArray_TYPE(x) == cnp.PyArray_TYPE(y)

cdef inline object identity(object x):
    """id(x), without the auditing that comes with a call of it."""
    return <size_t><void*>x

cdef ndarray lent(ndarray array)
cdef tuple shape_of(Tensor x)
cdef ndarray empty(int ndim, Py_ssize_t* shape, int typenum)
cdef ndarray empty_like(ndarray array)
cdef ndarray contiguous(ndarray array)
cdef ndarray copy_of(ndarray array)
cdef int add_into(ndarray total, ndarray x) except -1
cdef bint picks_once(object key)
