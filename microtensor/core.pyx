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
import warnings

cimport cython
cimport numpy as cnp
from numpy cimport ndarray

import numpy as np

cnp.import_array()

ctypedef fused real:
    float
    double

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


cdef bint grad_enabled() noexcept nogil:
    return recording


def is_grad_enabled():
    """Whether operations on tensors that require a gradient are recorded, in this thread."""
    return recording


class set_grad_enabled(contextlib.ContextDecorator):    # noqa: N801  (PyTorch's name)
    """Record gradients or not: a context manager and a decorator, for this thread.

    >>> import microtensor as mt
    >>> x = mt.ones(2, requires_grad=True)
    >>> with mt.set_grad_enabled(False):
    ...     (x * 2).requires_grad
    False
    """

    def __init__(self, mode):
        self._mode = bool(mode)
        self._before = []

    def __enter__(self):
        global recording
        self._before.append(recording)
        recording = self._mode
        return self

    def __exit__(self, *exception):
        global recording
        recording = self._before.pop()


class no_grad(set_grad_enabled):    # noqa: N801
    """Do not record gradients inside: ``with mt.no_grad():`` or ``@mt.no_grad()``."""

    def __init__(self):
        super().__init__(False)


class enable_grad(set_grad_enabled):    # noqa: N801
    """Record gradients inside, even within no_grad: ``with mt.enable_grad():`` or ``@mt.enable_grad()``."""

    def __init__(self):
        super().__init__(True)


# -- arrays ---------------------------------------------------------------------------------------------------

cdef ndarray empty(int ndim, Py_ssize_t* shape, int typenum):
    """An uninitialised C-contiguous array."""
    return cnp.PyArray_EMPTY(ndim, <cnp.npy_intp*>shape, typenum, 0)


cdef ndarray empty_like(ndarray array):
    """An uninitialised C-contiguous array of the same shape and dtype."""
    return cnp.PyArray_EMPTY(cnp.PyArray_NDIM(array), cnp.PyArray_DIMS(array), cnp.PyArray_TYPE(array), 0)


cdef ndarray contiguous(ndarray array):
    """The array itself if it is C-contiguous and aligned, a copy that is otherwise."""
    if cnp.PyArray_ISCARRAY_RO(array):
        return array
    return cnp.PyArray_NewCopy(array, cnp.NPY_CORDER)


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


# -- tensors --------------------------------------------------------------------------------------------------

@cython.final
@cython.freelist(32)
cdef class Version:
    """How many times a piece of memory was written in place: one for all tensors that look at that memory."""


cdef Tensor wrap(ndarray array):
    """A tensor around an array that nobody else writes into."""
    cdef Tensor tensor = Tensor.__new__(Tensor)
    tensor.array = array
    return tensor


cdef Tensor view_of(Tensor base, ndarray array):
    """A tensor around a view of base's memory: a write to one counts for both."""
    cdef Tensor tensor = wrap(array)
    tensor.version = base.get_version()
    return tensor


def from_numpy(ndarray array not None):
    """A tensor that shares memory with a NumPy array; writes to either show in both.

    Args:
        array: any shape; bool, integer, float32 or float64.

    Raises:
        TypeError: if the array has another dtype.

    >>> import microtensor as mt, numpy as np
    >>> mt.from_numpy(np.array([1.0, 2.0]))
    tensor([1., 2.], dtype=float64)
    """
    check_dtype(array.dtype)
    return wrap(array)


def check_dtype(dtype):
    """Raise TypeError unless a tensor can hold the dtype."""
    if dtype.char not in _STORABLE or not dtype.isnative:
        raise TypeError(f"a tensor holds bool, integers, float32 or float64, not {dtype}: convert it first, "
                        "for example with .astype('float32')")


cdef Tensor operand(object value, Tensor like):
    """A tensor made of the other side of an operator, or None if it cannot be one.

    A Python number takes the tensor's dtype, unless it is of a higher kind (bool < integer < float).
    """
    if isinstance(value, Tensor):
        return value
    if isinstance(value, np.generic):
        value = value.item()
    cdef object dtype = like.array.dtype
    if isinstance(value, float):
        return wrap(np.asarray(value, dtype if is_float(like.array) else float32))
    if isinstance(value, bool):
        return wrap(np.asarray(value, dtype))
    if isinstance(value, int):
        return wrap(np.asarray(value, np.int64 if dtype.kind == "b" else dtype))
    if isinstance(value, ndarray):
        check_dtype(value.dtype)
        return wrap(value.copy())     # a graph may keep it; the caller may write into it
    return None


cdef Tensor _operate(binary_function function, object a, object b, bint swapped=False):
    """function(a, b) for a Tensor a and anything b; None if b cannot be an operand."""
    cdef Tensor x = a
    cdef Tensor y = operand(b, x)
    if y is None:
        return None
    return function(y, x) if swapped else function(x, y)


def _rebuild(kind, array, requires_grad):
    """A tensor out of a pickle or a deep copy."""
    cdef Tensor tensor = kind.__new__(kind)
    tensor.array = array
    tensor.needs_gradient = requires_grad
    return tensor


@cython.no_gc
@cython.freelist(64)
cdef class Tensor:
    """An array of numbers that remembers how it was computed.

    Make one with ``mt.tensor(data)``. The numbers live in a NumPy array; ``.numpy()`` shows it.
    Operators broadcast as NumPy's do and take tensors, NumPy arrays and Python numbers on either side.

    >>> import microtensor as mt
    >>> x = mt.tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4., 6.])
    """

    __array_ufunc__ = None      # NumPy's operators leave `array + tensor` to Tensor.__radd__

    def __init__(self, data=(), *, bint requires_grad=False):
        array = np.array(data, np.float32)
        self.array = array
        self.needs_gradient = requires_grad

    cdef Version get_version(self):
        if self.version is None:
            self.version = Version.__new__(Version)
        return self.version

    cdef int before_write(self) except -1:
        """Every in-place write starts here: refuse it where it would be lost on the graph, count it elsewhere."""
        if recording and self.needs_gradient:
            raise RuntimeError(
                f"in-place write to {'a leaf' if self.op is None else 'a computed'} tensor of shape {self.shape} that "
                "requires a gradient: it would not be recorded; write inside `with mt.no_grad():`, or compute a new "
                "tensor (mt.where for a part of one)")
        cdef Version version = self.get_version()
        version.writes += 1
        return 0

    # -- what it is

    @property
    def shape(self):
        """The sizes of the dimensions, a tuple of ints."""
        return (<object>self.array).shape

    def size(self, dim=None):
        """The shape, or the size of one dimension."""
        shape = (<object>self.array).shape
        return shape if dim is None else shape[dim]

    @property
    def dtype(self):
        """The NumPy dtype: ``mt.float32``, ``mt.float64``, ``mt.int64``, ``mt.bool``, ..."""
        return (<object>self.array).dtype

    @property
    def ndim(self):
        """The number of dimensions."""
        return cnp.PyArray_NDIM(self.array)

    def dim(self):
        """The number of dimensions (PyTorch's spelling of ``ndim``)."""
        return cnp.PyArray_NDIM(self.array)

    def numel(self):
        """The number of elements."""
        return cnp.PyArray_SIZE(self.array)

    @property
    def is_leaf(self):
        """Whether it was made by the user rather than computed from tensors that require a gradient."""
        return self.op is None

    @property
    def grad_fn(self):
        """The op that computed it, or None for a leaf."""
        return self.op

    def is_contiguous(self):
        """Whether the elements lie in memory in row-major order without gaps."""
        return cnp.PyArray_IS_C_CONTIGUOUS(self.array)

    # -- gradients

    @property
    def requires_grad(self):
        """Whether operations on it are recorded; settable on a leaf of float32 or float64."""
        return self.needs_gradient

    @requires_grad.setter
    def requires_grad(self, bint value):
        self.requires_grad_(value)

    def requires_grad_(self, bint requires_grad=True):
        """Set ``requires_grad`` and return the tensor.

        Raises:
            RuntimeError: for an integer or bool tensor, or when turned off for a computed tensor.
        """
        if requires_grad and not is_float(self.array):
            raise RuntimeError(f"only float32 and float64 tensors can require a gradient, not {self.dtype}: "
                               "convert it with .float() first")
        if not requires_grad and self.op is not None:
            raise RuntimeError("requires_grad of a computed tensor cannot be turned off: use x.detach()")
        self.needs_gradient = requires_grad
        return self

    @property
    def grad(self):
        """dL/dx as a Tensor of the same shape and dtype, accumulated by ``backward``; None before."""
        return self.gradient

    @grad.setter
    def grad(self, value):
        if value is not None:
            if not isinstance(value, Tensor):
                raise TypeError(f"grad must be a Tensor or None, not {type(value).__name__}")
            if value.shape != self.shape or value.dtype != self.dtype:
                raise RuntimeError(f"grad must have its tensor's shape and dtype {self.shape} {self.dtype}, "
                                   f"got {value.shape} {value.dtype}")
        self.gradient = value

    def zero_grad(self):
        """Forget the gradient: ``x.grad = None``."""
        self.gradient = None

    def backward(self, gradient=None, retain_graph=None, bint create_graph=False):
        """Add dL/dx to ``x.grad`` of every leaf x that L, this tensor, was computed from.

        Args:
            gradient: dL/d(this tensor), of the same shape; may be left out for one element, where it is 1.
            retain_graph: keep the saved arrays for another backward; by default only with create_graph.
            create_graph: compute the gradients by differentiable ops, so that they can be differentiated again.

        Raises:
            RuntimeError: if the tensor needs no gradient, has several elements and no gradient is given, was
                already gone through, or if an array that the graph saved was overwritten since.
        """
        if create_graph:
            warnings.warn("backward(create_graph=True) ties each leaf and its .grad into a reference cycle, which is "
                          "never freed: prefer mt.grad(..., create_graph=True), or set .grad = None when done",
                          stacklevel=2)
        seed = _seed(self, gradient)
        cdef Engine engine = Engine.__new__(Engine)
        engine.create_graph = create_graph
        engine.run([self if self.op is None else self.op], [seed],
                   create_graph if retain_graph is None else retain_graph)

    def detach(self):
        """A tensor over the same memory, cut off from the graph."""
        return view_of(self, self.array)

    @property
    def data(self):
        """The same numbers without the graph: reading gives ``detach()``, assigning replaces the array."""
        return view_of(self, self.array)

    @data.setter
    def data(self, Tensor value not None):
        if value.dtype != self.dtype and self.needs_gradient and not is_float(value.array):
            raise RuntimeError(f"data of a tensor that requires a gradient must be float, not {value.dtype}")
        self.array = value.array
        self.version = value.get_version()

    # -- out of it

    def numpy(self):
        """The NumPy array itself: shares memory.

        Raises:
            RuntimeError: if the tensor requires a gradient, which a write to the array would not be part of.
        """
        if self.needs_gradient:
            raise RuntimeError("numpy() of a tensor that requires a gradient: use x.detach().numpy()")
        return self.array

    def __array__(self, dtype=None, copy=None):
        array = self.numpy()
        return np.array(array, dtype, copy=copy) if copy or dtype is not None else array

    def item(self):
        """The one element as a Python number.

        Raises:
            ValueError: if there is not exactly one element.
        """
        if cnp.PyArray_SIZE(self.array) != 1:
            raise ValueError(f"item() needs a tensor of one element, got shape {self.shape}")
        return (<object>self.array).item()

    def tolist(self):
        """The elements as nested lists of Python numbers."""
        return (<object>self.array).tolist()

    def __float__(self):
        return float(self.item())

    def __int__(self):
        return int(self.item())

    def __index__(self):
        if is_float(self.array):
            raise TypeError(f"a {self.dtype} tensor cannot be used as an index")
        return int(self.item())

    def __bool__(self):
        if cnp.PyArray_SIZE(self.array) != 1:
            raise ValueError(f"the truth of a tensor of shape {self.shape} is ambiguous: use (x != 0).any() or .all()")
        return bool(self.item())

    def __len__(self):
        if cnp.PyArray_NDIM(self.array) == 0:
            raise TypeError("len() of a 0-d tensor")
        return cnp.PyArray_DIM(self.array, 0)

    def __iter__(self):
        return iter([self[i] for i in range(len(self))])

    def __contains__(self, value):
        return bool((<object>self.array == (value.array if isinstance(value, Tensor) else value)).any())

    def __hash__(self):
        return id(self)

    def __repr__(self):
        body = np.array2string(self.array, separator=", ", prefix="tensor(", threshold=1000, precision=4)
        default = self.dtype in (float32, np.dtype(np.int64), np.dtype(np.bool_))
        parts = [body]
        if cnp.PyArray_SIZE(self.array) == 0:
            parts.append(f"shape={self.shape}")
        if not default:
            parts.append(f"dtype={self.dtype}")
        if self.op is not None:
            parts.append(f"grad_fn=<{type(self.op).__name__}>")
        elif self.needs_gradient:
            parts.append("requires_grad=True")
        return f"tensor({', '.join(parts)})"

    def __format__(self, spec):
        return format(self.item(), spec) if spec else str(self)

    def __reduce__(self):
        if self.op is not None:
            raise RuntimeError("only leaf tensors can be pickled or deep-copied: use x.detach() first")
        return _rebuild, (type(self), self.array, self.needs_gradient)

    # -- in place: allowed where no gradient is recorded

    def copy_(self, source):
        """Overwrite the elements with source's, broadcast; returns the tensor."""
        cdef Tensor value = operand(source, self)
        if value is None:
            raise TypeError(f"copy_ takes a tensor, an array or a number, not {type(source).__name__}")
        if recording and value.needs_gradient:
            raise RuntimeError("copy_ from a tensor that requires a gradient would not be recorded: use "
                               "source.detach()")
        try:
            np.broadcast_to(value.array, self.shape)
        except ValueError:
            raise ValueError(f"cannot copy shape {value.shape} into shape {self.shape}") from None
        self.before_write()
        np.copyto(self.array, value.array, casting="unsafe")
        return self

    def fill_(self, value):
        """Set every element to a number; returns the tensor."""
        return self.copy_(value)

    def zero_(self):
        """Set every element to 0; returns the tensor."""
        return self.copy_(0)

    def __setitem__(self, key, value):
        cdef Tensor source = operand(value, self)
        if source is None:
            raise TypeError(f"cannot assign a {type(value).__name__} to elements of a tensor")
        if recording and source.needs_gradient:
            raise RuntimeError("assigning a tensor that requires a gradient would not be recorded: use mt.where, "
                               "mt.cat, or value.detach()")
        self.before_write()
        self.array[index_arrays(key)] = source.array

    def _in_place(self, Tensor result):
        """x += y: in place where no gradient is recorded, and elsewhere the recorded result under the name x."""
        if result is None:
            return NotImplemented
        if result.op is not None and not (self.op is None and self.needs_gradient):
            return result
        if result.shape != self.shape:
            raise RuntimeError(f"in-place result of shape {result.shape} does not fit into shape {self.shape}")
        if result.dtype.kind > self.dtype.kind and self.dtype.kind != "f":
            raise RuntimeError(f"in-place result of dtype {result.dtype} cannot be stored in {self.dtype}")
        return self.copy_(result.detach())

    def __iadd__(self, other):
        return self._in_place(_operate(late.add, self, other))

    def __isub__(self, other):
        return self._in_place(_operate(late.sub, self, other))

    def __imul__(self, other):
        return self._in_place(_operate(late.mul, self, other))

    def __itruediv__(self, other):
        return self._in_place(_operate(late.div, self, other))

    # -- operators

    def __add__(self, other):
        result = _operate(late.add, self, other)
        return NotImplemented if result is None else result

    def __radd__(self, other):
        result = _operate(late.add, self, other, True)
        return NotImplemented if result is None else result

    def __sub__(self, other):
        result = _operate(late.sub, self, other)
        return NotImplemented if result is None else result

    def __rsub__(self, other):
        result = _operate(late.sub, self, other, True)
        return NotImplemented if result is None else result

    def __mul__(self, other):
        result = _operate(late.mul, self, other)
        return NotImplemented if result is None else result

    def __rmul__(self, other):
        result = _operate(late.mul, self, other, True)
        return NotImplemented if result is None else result

    def __truediv__(self, other):
        result = _operate(late.div, self, other)
        return NotImplemented if result is None else result

    def __rtruediv__(self, other):
        result = _operate(late.div, self, other, True)
        return NotImplemented if result is None else result

    def __pow__(self, other, modulo):
        result = _operate(late.pow, self, other)
        return NotImplemented if result is None else result

    def __rpow__(self, other, modulo):
        result = _operate(late.pow, self, other, True)
        return NotImplemented if result is None else result

    def __matmul__(self, other):
        result = _operate(late.matmul, self, other)
        return NotImplemented if result is None else result

    def __rmatmul__(self, other):
        result = _operate(late.matmul, self, other, True)
        return NotImplemented if result is None else result

    def __neg__(self):
        return ops.neg(self)

    def __pos__(self):
        return self

    def __abs__(self):
        return ops.abs(self)

    # Comparisons and logic have no gradient: NumPy computes them.

    def __richcmp__(self, other, int operation):
        cdef Tensor value = operand(other, self)
        if value is None:
            return NotImplemented
        return wrap(np.asarray(_COMPARISONS[operation](self.array, value.array)))

    def __and__(self, other):
        return wrap(np.asarray(np.bitwise_and(self.array, operand(other, self).array)))

    def __or__(self, other):
        return wrap(np.asarray(np.bitwise_or(self.array, operand(other, self).array)))

    def __xor__(self, other):
        return wrap(np.asarray(np.bitwise_xor(self.array, operand(other, self).array)))

    def __invert__(self):
        return wrap(np.asarray(np.invert(self.array)))

    def any(self):
        """Whether any element is nonzero, as a 0-d bool tensor."""
        return wrap(np.asarray(self.array.any()))

    def all(self):
        """Whether all elements are nonzero, as a 0-d bool tensor."""
        return wrap(np.asarray(self.array.all()))

    def __getitem__(self, key):
        return ops.index(self, key)

    # -- methods: each is the function of the same name in microtensor.ops, with self as its first argument

    def add(self, other):
        """self + other, broadcast."""
        return ops.add(self, other)

    def sub(self, other):
        """self - other, broadcast."""
        return ops.sub(self, other)

    def mul(self, other):
        """self * other, broadcast."""
        return ops.mul(self, other)

    def div(self, other):
        """self / other, broadcast."""
        return ops.div(self, other)

    def pow(self, exponent):
        """self ** exponent, broadcast."""
        return ops.pow(self, exponent)

    def neg(self):
        """-self."""
        return ops.neg(self)

    def exp(self):
        """e ** self."""
        return ops.exp(self)

    def log(self):
        """The natural logarithm."""
        return ops.log(self)

    def sqrt(self):
        """The square root."""
        return ops.sqrt(self)

    def square(self):
        """self * self."""
        return ops.square(self)

    def abs(self):
        """The absolute value."""
        return ops.abs(self)

    def maximum(self, other):
        """The larger of the two, element by element."""
        return ops.maximum(self, other)

    def minimum(self, other):
        """The smaller of the two, element by element."""
        return ops.minimum(self, other)

    def clamp(self, min=None, max=None):
        """Each element limited to [min, max]."""
        return ops.clamp(self, min, max)

    def where(self, condition, other):
        """self where condition holds, other elsewhere."""
        return ops.where(condition, self, other)

    def relu(self):
        """max(self, 0)."""
        return ops.relu(self)

    def sigmoid(self):
        """1 / (1 + e ** -self)."""
        return ops.sigmoid(self)

    def tanh(self):
        """The hyperbolic tangent."""
        return ops.tanh(self)

    def softmax(self, dim):
        """exp(self) normalised to sum to 1 along dim."""
        return ops.softmax(self, dim)

    def log_softmax(self, dim):
        """log(softmax(self, dim)), stably."""
        return ops.log_softmax(self, dim)

    def sum(self, dim=None, keepdim=False):
        """The sum of all elements, or along dim."""
        return ops.sum(self, dim, keepdim)

    def mean(self, dim=None, keepdim=False):
        """The mean of all elements, or along dim."""
        return ops.mean(self, dim, keepdim)

    def var(self, dim=None, correction=1, keepdim=False):
        """The variance, with divisor n - correction."""
        return ops.var(self, dim, correction, keepdim)

    def std(self, dim=None, correction=1, keepdim=False):
        """The standard deviation: sqrt(var)."""
        return ops.std(self, dim, correction, keepdim)

    def max(self, dim=None, keepdim=False):
        """The largest element; along a dim, (values, indices)."""
        return ops.max(self, dim, keepdim)

    def min(self, dim=None, keepdim=False):
        """The smallest element; along a dim, (values, indices)."""
        return ops.min(self, dim, keepdim)

    def amax(self, dim=None, keepdim=False):
        """The largest element; ties share the gradient."""
        return ops.amax(self, dim, keepdim)

    def amin(self, dim=None, keepdim=False):
        """The smallest element; ties share the gradient."""
        return ops.amin(self, dim, keepdim)

    def argmax(self, dim=None, keepdim=False):
        """Where the largest element is, int64."""
        return ops.argmax(self, dim, keepdim)

    def argmin(self, dim=None, keepdim=False):
        """Where the smallest element is, int64."""
        return ops.argmin(self, dim, keepdim)

    def logsumexp(self, dim, keepdim=False):
        """log(sum(exp(self))) along dim, stably."""
        return ops.logsumexp(self, dim, keepdim)

    def reshape(self, *shape):
        """The same elements in another shape; one size may be -1."""
        return ops.reshape(self, _sizes(shape))

    def view(self, *shape):
        """The same as reshape."""
        return ops.reshape(self, _sizes(shape))

    def transpose(self, dim0, dim1):
        """Two dimensions swapped."""
        return ops.transpose(self, dim0, dim1)

    def t(self):
        """The transpose of a matrix."""
        return ops.t(self)

    def permute(self, *dims):
        """The dimensions in another order."""
        return ops.permute(self, _sizes(dims))

    def squeeze(self, dim=None):
        """Without the dimensions of size 1."""
        return ops.squeeze(self, dim)

    def unsqueeze(self, dim):
        """With a dimension of size 1 inserted at dim."""
        return ops.unsqueeze(self, dim)

    def expand(self, *sizes):
        """Dimensions of size 1 repeated, without copying; -1 keeps a size."""
        return ops.expand(self, _sizes(sizes))

    def expand_as(self, other):
        """expand to other's shape."""
        return ops.expand(self, other.shape)

    def flatten(self, start_dim=0, end_dim=-1):
        """The dimensions from start_dim to end_dim made one."""
        return ops.flatten(self, start_dim, end_dim)

    def matmul(self, other):
        """The matrix product self @ other."""
        return ops.matmul(self, other)

    def mm(self, other):
        """The matrix product self @ other."""
        return ops.matmul(self, other)

    def clone(self):
        """A copy with memory of its own; the gradient flows back."""
        return ops.clone(self)

    def contiguous(self):
        """Itself, or a row-major copy."""
        return self if cnp.PyArray_IS_C_CONTIGUOUS(self.array) else ops.clone(self)

    def to(self, dtype):
        """In another dtype; itself if it has it already."""
        return ops.to(self, dtype)

    def float(self):
        """As float32."""
        return ops.to(self, float32)

    def double(self):
        """As float64."""
        return ops.to(self, float64)

    def long(self):
        """As int64."""
        return ops.to(self, np.int64)

    def bool(self):
        """As bool: nonzero is True."""
        return ops.to(self, np.bool_)

    @property
    def T(self):
        """All dimensions in reverse order: the transpose of a matrix."""
        return ops.permute(self, tuple(range(cnp.PyArray_NDIM(self.array)))[::-1])


def _sizes(arguments):
    """The sizes of x.reshape(2, 3) or x.reshape((2, 3)) as one tuple."""
    if len(arguments) == 1 and isinstance(arguments[0], (tuple, list)):
        return tuple(arguments[0])
    return arguments


_COMPARISONS = (np.less, np.less_equal, np.equal, np.not_equal, np.greater, np.greater_equal)


def index_arrays(key):
    """An index as NumPy takes it: tensors in it become arrays, all else stays."""
    if isinstance(key, Tensor):
        return (<Tensor>key).array
    if isinstance(key, tuple):
        return tuple([index_arrays(part) for part in key])
    if isinstance(key, list):
        return [index_arrays(part) for part in key]
    return key


# -- ops ------------------------------------------------------------------------------------------------------

cdef object ops = None      # the module microtensor.ops, once it has loaded


def bind_ops(module):
    """Let Tensor's methods find their functions; called once, by microtensor.ops."""
    global ops
    ops = module


# An op that dies takes with it the ops of its inputs, and they take theirs. Waiting in this list instead of
# recursing, a chain of a million ops dies in a loop.
cdef list _dying = []
cdef bint _burying = False


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
        tensor.op = op
        tensor.needs_gradient = True
    return tensor


cdef Tensor record_all(Op op, ndarray y, list inputs):
    """record for any number of inputs."""
    cdef Tensor tensor = wrap(y)
    if recording and any([(<Tensor>x).needs_gradient for x in inputs]):
        op.edges = tuple([_edge(<Tensor>x) for x in inputs])
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
        global _burying
        if self.edges is None:
            return
        _dying.append(self.edges)
        if _burying:
            return
        _burying = True
        while _dying:
            _dying.pop()
        _burying = False

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
        edge = self.edges[i]
        if isinstance(edge, Tensor) and (<Tensor>edge).array is array:
            return edge
        return _in_graph(array, edge, self.version_a if i == 0 else self.version_b)

    cpdef Tensor output(self):
        """The saved output as a tensor in its place in the graph."""
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

cdef Py_ssize_t _walks = 0


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
        global _walks
        _walks += 1
        cdef Py_ssize_t walk = _walks, i
        cdef list ready = [], stack = []
        cdef Op op, source

        for root in roots:
            if isinstance(root, Op):
                stack.append(root)
                (<Op>root).walk = 0                 # not met yet
        for root in stack:
            if (<Op>root).walk != walk:
                _meet(<Op>root, walk)
                ready.append(root)
        stack = ready[:]
        while stack:
            op = <Op>stack.pop()
            op.check_saved()
            for edge in op.edges:
                if isinstance(edge, Op):
                    source = <Op>edge
                    if source.walk != walk:
                        _meet(source, walk)
                        stack.append(source)
                    source.pending += 1
        ready = [root for root in ready if (<Op>root).pending == 0]     # a root may lie behind another

        for i in range(len(roots)):
            seed = gradients[i] if self.create_graph else contiguous((<Tensor>gradients[i]).array)
            self.deliver(roots[i], seed, False)

        while ready:
            op = <Op>ready.pop()
            g, op.incoming = op.incoming, None
            if self.captured is not None and op in self.captured:
                self.captured[op] = g if self.create_graph or g is None else (<ndarray>g).copy()
            if g is not None:
                if self.create_graph:
                    self.run_rule(op, g)
                else:
                    op.backward(<ndarray>g, self)
            for edge in op.edges:
                if isinstance(edge, Op):
                    source = <Op>edge
                    source.pending -= 1
                    if source.pending == 0:
                        ready.append(source)
            if not retain_graph:
                op.free_saved()
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
                if so_far is not None:
                    dx = so_far + dx if self.create_graph else _sum(<ndarray>so_far, <ndarray>dx)
                elif not owned and not self.create_graph:
                    dx = (<ndarray>dx).copy()
                self.captured[leaf] = dx
            return 0
        gradient = leaf.gradient
        if gradient is None:
            if self.create_graph:
                leaf.gradient = dx
            else:
                leaf.gradient = wrap(<ndarray>dx if owned else cnp.PyArray_NewCopy(<ndarray>dx, cnp.NPY_CORDER))
        elif self.create_graph:
            leaf.gradient = gradient + dx
        elif gradient.op is not None or not cnp.PyArray_ISCARRAY(gradient.array):
            leaf.gradient = wrap(_sum(gradient.array, <ndarray>dx))
        else:
            version = gradient.get_version()
            version.writes += 1
            add_into(gradient.array, <ndarray>dx)
        return 0


cdef inline void _meet(Op op, Py_ssize_t walk) noexcept:
    op.walk = walk
    op.pending = 0
    op.incoming = None


cdef ndarray _sum(ndarray x, ndarray y):
    cdef ndarray total = cnp.PyArray_NewCopy(x, cnp.NPY_CORDER)
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
        return wrap(np.ones_like(output.array))
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
    gradients = []
    for i, place in enumerate(places):
        gradient = engine.captured[place]
        if gradient is None and not allow_unused:
            raise RuntimeError(f"no output depends on inputs[{i}] of shape {inputs[i].shape}: "
                               "pass allow_unused=True to get None for it")
        gradients.append(wrap(gradient) if isinstance(gradient, ndarray) else gradient)
    return tuple(gradients)
