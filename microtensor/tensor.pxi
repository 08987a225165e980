# Tensor: a NumPy array, the op that computed it, and its gradient. Included by core.pyx, as Tensor and Op know of each
# other and Cython wants both in one module.

@cython.final
@cython.freelist(32)
cdef class Version:
    """How many times a piece of memory was written in place: one for all tensors that look at that memory."""


cdef Py_ssize_t _writes = 0         # to any memory: shows a pass that user code has written since it began


cdef void count_write(Version version) noexcept:
    """Whoever saved the memory before will notice."""
    global _writes
    version.writes += 1
    _writes += 1


cdef Py_ssize_t writes_of(list versions) except -1:
    """Their sum, which grows with a write to any."""
    cdef Version version
    cdef Py_ssize_t total = 0
    for version in versions:
        total += version.writes
    return total


cdef Tensor wrap(ndarray array):
    """A tensor around an array that nobody else writes into."""
    if cnp.PyArray_TYPE(array) > cnp.NPY_FLOAT64:
        check_dtype(array.dtype)
    cdef Tensor tensor = Tensor.__new__(Tensor)
    tensor.array = array
    return tensor


cdef tuple shape_of(Tensor x):
    """The shape of the memory: ``.shape`` is the same, unless a subclass has another property of that name."""
    return (<object>x.array).shape


cdef Tensor view_of(Tensor base, ndarray array):
    """A tensor around a view of base's memory: a write to one counts for both."""
    cdef Tensor tensor = wrap(array)
    if taping and base.made != -taping:
        take_in(base, "a view")               # so that it is noticed if the data of the base is replaced
    tensor.version = base.get_version()
    tensor.made = base.made
    return tensor


@cython.final
@cython.no_gc
cdef class Loan:
    """Keeps memory alive that two arrays look at: one of a tensor, and one of the user's."""

    cdef ndarray array
    cdef object owner           # a weak reference to the array that owns the memory


cdef ndarray lent(ndarray array):
    """Another array over the same memory, for the other side of the border between tensors and NumPy.

    The two have nothing else in common, so a new shape or dtype of one does not reach the other; and NumPy refuses to
    resize memory whose owner has a weak reference. Functions of NumPy that are written in Python are given it as well:
    others see their arguments, in a traceback or a profile.
    """
    cdef Loan loan = Loan.__new__(Loan)
    cdef object owner = array, base = cnp.get_array_base(array)
    while isinstance(base, (ndarray, Loan)):                # to who owns the memory: no loan is lent on
        owner = (<Loan>base).array if isinstance(base, Loan) else base
        base = cnp.get_array_base(<ndarray>owner)
    loan.array, loan.owner = owner, PyWeakref_NewRef(owner, None)
    cdef ndarray view = cnp.PyArray_New(
        ndarray, cnp.PyArray_NDIM(array), cnp.PyArray_DIMS(array), cnp.PyArray_TYPE(array), cnp.PyArray_STRIDES(array),
        cnp.PyArray_DATA(array), 0, cnp.PyArray_FLAGS(array) & cnp.NPY_ARRAY_WRITEABLE, None)
    cnp.set_array_base(view, loan)
    return view


cdef bint broadcasts_to(ndarray array, ndarray like) noexcept:
    """Whether an array broadcasts to the shape of another, and no further."""
    cdef int d, extra = cnp.PyArray_NDIM(like) - cnp.PyArray_NDIM(array)
    if extra < 0:
        return False
    for d in range(cnp.PyArray_NDIM(array)):
        if cnp.PyArray_DIM(array, d) != 1 and cnp.PyArray_DIM(array, d) != cnp.PyArray_DIM(like, d + extra):
            return False
    return True


def check_unmasked(array):
    """Raise TypeError for a masked array, whose numbers are not all meant."""
    if type(array) is not ndarray and isinstance(array, np.ma.MaskedArray):
        raise TypeError("a tensor has no mask: decide on the masked elements first, for example with .filled(0)")


cdef ndarray plain(ndarray array):
    """The array, if a tensor can hold what it means."""
    check_unmasked(array)
    check_dtype(<object>cnp.PyArray_DESCR(array))       # not .dtype, which a subclass may say anything of
    return array


def from_numpy(ndarray array not None):
    """A tensor that shares memory with a NumPy array; writes to either show in both.

    While they do, NumPy refuses to resize the array.

    Args:
        array: any shape; bool, integer, float32 or float64. Of a subclass, such as a matrix or a memory map, only the
            memory is shared.

    Raises:
        TypeError: if the array has another dtype, or a mask.

    >>> import microtensor as mt, numpy as np
    >>> mt.from_numpy(np.array([1.0, 2.0]))
    tensor([1., 2.], dtype=float64)
    """
    return wrap(lent(plain(array)))


def check_dtype(dtype):
    """Raise TypeError unless a tensor can hold the dtype."""
    if dtype.char not in _STORABLE or not dtype.isnative:
        raise TypeError(f"a tensor holds bool, integers, float32 or float64, not {dtype}: convert it first, "
                        "for example with .astype('float32')")


cdef void set_number(ndarray one, double value) noexcept:
    """Set an array of one float32 or float64 to a value."""
    if is_single(one):
        (<float*>cnp.PyArray_DATA(one))[0] = <float>value
    else:
        (<double*>cnp.PyArray_DATA(one))[0] = value


cdef Tensor holding(ndarray one, double value):
    """A tensor around an array of one float32 or float64, which is set to a value."""
    set_number(one, value)
    return wrap(one)


cdef Tensor operand(object value, Tensor like):
    """A tensor made of the other side of an operator, or None if it cannot be one."""
    if isinstance(value, Tensor):
        return value
    cdef Tensor made = operand_of(value, like)
    return made if made is None or isinstance(value, ndarray) else constant(made)


cdef Tensor operand_of(object value, Tensor like):
    """operand, of what is no tensor.

    A Python number takes the tensor's dtype, unless it is of a higher kind (bool < integer < float).
    """
    cdef bint to_float = is_float(like.array)
    if isinstance(value, float):
        return holding(empty(0, NULL, cnp.PyArray_TYPE(like.array) if to_float else cnp.NPY_FLOAT32), value)
    if isinstance(value, np.generic):
        number = value.item()
        return None if isinstance(number, np.generic) else operand_of(number, like)     # a longdouble stays one
    if isinstance(value, int) and to_float:
        return holding(empty(0, NULL, cnp.PyArray_TYPE(like.array)), value)
    cdef object dtype = like.array.dtype
    if isinstance(value, bool):
        return wrap(np.asarray(value, dtype))
    if isinstance(value, int):
        try:
            return wrap(np.asarray(value, np.int64 if dtype.kind == "b" else dtype))
        except OverflowError:           # out of an 8-bit dtype's range, say: compared as it is, and wrapped otherwise
            return wrap(np.asarray(value, np.int64))
    return copied_in(value) if isinstance(value, ndarray) else None


cpdef Tensor copied_in(ndarray array):
    """A tensor with a copy of the array: a graph may keep it, and the caller write into the array."""
    return wrap(copy_of(plain(array)))


cdef Tensor taken(object value, str name):
    """as_tensor of what is no Tensor."""
    if isinstance(value, ndarray):
        return copied_in(value)
    raise TypeError(f"{name} must be a Tensor or a NumPy array, not {type(value).__name__}: make a tensor of numbers "
                    "with mt.tensor(...)")


cpdef int check_range(object value, ndarray array) except -1:
    """Raise OverflowError for a Python number that integers of the array's dtype do not reach: it would wrap around."""
    if cnp.PyArray_ISINTEGER(array) and isinstance(value, (int, float, np.integer, np.floating)):
        dtype = array.dtype
        limits = np.iinfo(dtype)
        if not limits.min <= value <= limits.max:
            raise OverflowError(f"{value} does not fit into {dtype}, which holds {limits.min} to {limits.max}")
    return 0


cdef object either(object dim, object axis):
    """The dimensions, under PyTorch's name of the argument or under NumPy's, which is taken as well."""
    if axis is None:
        return dim
    if dim is not None:
        raise TypeError(f"dim and axis are two names of one argument, got dim={dim} and axis={axis}: give dim")
    return axis


cdef Tensor _operate(binary_function function, object a, object b, bint swapped=False):
    """function(a, b) for a Tensor a and anything b; None if b cannot be an operand."""
    cdef Tensor x = a
    cdef Tensor y = operand(b, x)
    if y is None:
        return None
    return function(y, x) if swapped else function(x, y)


_KINDS = "buif"      # bool < unsigned < signed < float: NumPy's letters, lowest first

# Counts the times that some tensor's .data became of another shape or dtype: graphs recorded before cannot deliver.
cdef Py_ssize_t _replacements = 0

cdef enum:
    MAX_DEPTH_OF_GRADIENTS = 1000       # .grad of .grad of ...: they die by recursion


cdef inline int check_depth(int depth) except -1:
    if depth > MAX_DEPTH_OF_GRADIENTS:
        raise RuntimeError(f"a chain of more than {MAX_DEPTH_OF_GRADIENTS} gradients, each the .grad of the one "
                           "before: set some .grad to None, or use mt.grad")
    return 0


cdef ndarray NO_NUMBERS = np.empty(0, np.float32)


def _rebuild(kind, array, requires_grad):
    """A tensor out of a pickle or a copy."""
    cdef Tensor tensor = Tensor.__new__(kind)           # not kind.__new__, which may return one that there is
    tensor.array = lent(plain(array))
    if requires_grad:
        Tensor.requires_grad_(tensor)
    return tensor


@cython.no_gc
@cython.freelist(64)
cdef class Tensor:
    """An array of numbers that remembers how it was computed.

    Make one with ``mt.tensor(data)``. The numbers live in a NumPy array; ``.numpy()`` shows it.
    Operators broadcast as NumPy's do and take tensors, NumPy arrays and Python numbers on either side; functions take
    tensors and arrays. For ``dim`` and ``keepdim`` NumPy's names ``axis`` and ``keepdims`` may be written.

    >>> import microtensor as mt
    >>> x = mt.tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4., 6.])
    """

    def __cinit__(self):
        self.array = NO_NUMBERS            # until __init__, which a subclass may forget to call
        self.made = -taping

    def __init__(self, data=(), *, bint requires_grad=False):
        global _replacements
        self.check_new()
        cdef ndarray array = lent(np.array(data, np.float32))       # an __array__ may give one that others hold
        self.check_new()                                            # it may have run any code
        _replacements += 1          # a graph may hold the tensor as it was before
        self.replaced = _replacements
        self.array = array
        self.needs_gradient = requires_grad

    cdef int check_new(self) except -1:
        if self.array is not NO_NUMBERS or self.op is not None:
            raise RuntimeError("a tensor is initialised once: make a new one, or write into it with copy_()")
        return 0

    cdef Version get_version(self):
        if self.version is None:
            self.version = Version.__new__(Version)
        return self.version

    cdef int before_write(self) except -1:
        """Every in-place write starts here: refuse it where it cannot be, or would be lost on the graph.

        The write itself ends with count_write, which adds 1 to the version: whoever saved the memory will notice.
        """
        refuse_in_capture("an in-place write")
        return self.check_writable()

    cdef int check_writable(self) except -1:
        if recording and self.needs_gradient:
            raise RuntimeError(
                f"in-place write to {'a leaf' if self.op is None else 'a computed'} tensor of shape {self.shape} that "
                "requires a gradient: it would not be recorded; write inside `with mt.no_grad():`, or compute a new "
                "tensor (mt.where for a part of one)")
        if not cnp.PyArray_ISWRITEABLE(self.array):
            raise ValueError(f"in-place write to read-only memory, a tensor of shape {self.shape}: an expanded view, "
                             "or an array that NumPy may not write to; use a clone()")
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
        note_gradient(self)
        return self.gradient

    @grad.setter
    def grad(self, value):
        if value is not None:
            if not isinstance(value, Tensor):
                raise TypeError(f"grad must be a Tensor or None, not {type(value).__name__}")
            if value.shape != self.shape or value.dtype != self.dtype:
                raise RuntimeError(f"grad must have its tensor's shape and dtype {self.shape} {self.dtype}, "
                                   f"got {value.shape} {value.dtype}")
            refuse_in_capture("an assignment to .grad")
        elif taping:
            call_again(Tensor.zero_grad, (self,))
        self.set_gradient(value)

    cdef int set_gradient(self, Tensor gradient) except -1:
        cdef Tensor below = gradient
        cdef int depth = self.depth
        while below is not None:
            depth += 1
            check_depth(depth)
            below.depth = max(below.depth, depth)
            below = below.gradient
        self.gradient = gradient
        return 0

    def zero_grad(self):
        """Forget the gradient: ``x.grad = None``."""
        self.grad = None

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
        cdef Engine engine = Engine.__new__(Engine)
        engine.create_graph = create_graph
        engine.run([_edge(self)], [engine.seed(self, gradient)], create_graph if retain_graph is None else retain_graph)

    def detach(self):
        """A tensor over the same memory, cut off from the graph."""
        return view_of(self, self.array)

    @property
    def data(self):
        """The same numbers without the graph: reading gives ``detach()``, assigning replaces the array."""
        return view_of(self, self.array)

    @data.setter
    def data(self, Tensor value not None):
        refuse_in_capture("an assignment to .data")
        cdef ndarray array = value.array            # once: a subclass's properties, for the messages, may run code
        cdef Version version = value.get_version()
        cdef bint same = alike(self.array, array)
        if self.op is not None and not same:
            raise RuntimeError(f"data of a computed tensor keeps its shape and dtype, {self.shape} {self.dtype}, which "
                               f"its gradient will have; got {value.shape} {value.dtype}: use a new tensor, or "
                               "detach() first")
        if self.needs_gradient and not is_float(array):
            raise RuntimeError(f"data of a tensor that requires a gradient must be float, not {array.dtype}")
        global _replacements
        if not same:
            _replacements += 1
            self.replaced = _replacements
        cdef ndarray old = self.array           # lives until both are set: its end may run code that writes
        self.version = version
        self.array = array

    # -- out of it

    def numpy(self):
        """A NumPy array over the same memory: writes to either show in both.

        Raises:
            RuntimeError: if the tensor requires a gradient, which a write to the array would not be part of.
        """
        refuse_in_capture("numpy()")
        if self.needs_gradient:
            raise RuntimeError("numpy() of a tensor that requires a gradient: use x.detach().numpy()")
        return lent(self.array)

    def __array__(self, dtype=None, copy=None):
        array = self.numpy()
        return np.array(array, dtype, copy=copy) if copy or dtype is not None else array

    def item(self):
        """The one element as a Python number.

        Raises:
            ValueError: if there is not exactly one element.
        """
        refuse_in_capture("item()")
        if cnp.PyArray_SIZE(self.array) != 1:
            raise ValueError(f"item() needs a tensor of one element, got shape {self.shape}")
        if is_single(self.array) and cnp.PyArray_ISCARRAY_RO(self.array):       # as of a loss, in every step
            return (<float*>cnp.PyArray_DATA(self.array))[0]
        return (<object>self.array).item()

    def tolist(self):
        """The elements as nested lists of Python numbers."""
        refuse_in_capture("tolist()")
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
        return bool((self == value).any())

    def __hash__(self):
        return <Py_hash_t>(<size_t><void*>self >> 4)        # of the identity; the lowest bits are 0

    def __repr__(self):
        body = np.array2string(lent(self.array), separator=", ", prefix="tensor(", threshold=1000, precision=4)
        default = self.dtype in (float32, np.dtype(np.int64), np.dtype(np.bool_))
        parts = [body]
        if cnp.PyArray_SIZE(self.array) == 0:
            parts.append(f"shape={self.shape}")
        if not default:
            parts.append(f"dtype={self.dtype}")
        if self.op is not None:
            parts.append(f"grad_fn={self.op!r}")
        elif self.needs_gradient:
            parts.append("requires_grad=True")
        return f"tensor({', '.join(parts)})"

    def __format__(self, spec):
        return format(self.item(), spec) if spec else str(self)

    def __copy__(self):
        cdef Tensor tensor = _rebuild(type(self), self.array, self.needs_gradient)
        tensor.version, tensor.op, tensor.made = self.get_version(), self.op, self.made
        tensor.set_gradient(self.gradient)
        return tensor

    def __deepcopy__(self, memo):
        if self.op is not None:
            raise RuntimeError("only leaf tensors can be deep-copied: use x.detach() or x.clone()")
        array = cnp.PyArray_NewCopy(self.array, cnp.NPY_KEEPORDER)
        cdef Tensor tensor = _rebuild(type(self), array, self.needs_gradient)
        memo[id(self)] = tensor
        tensor.set_gradient(copy.deepcopy(self.gradient, memo))
        return tensor

    def __reduce__(self):
        if self.op is not None:
            raise RuntimeError("only leaf tensors can be pickled: use x.detach() first")
        return _rebuild, (type(self), lent(self.array), self.needs_gradient)

    # -- in place: allowed where no gradient is recorded

    def copy_(self, source):
        """Overwrite the elements with source's, broadcast; returns the tensor."""
        cdef Tensor value = operand(source, self)
        check_range(source, self.array)
        if value is None:
            raise TypeError(f"copy_ takes a tensor, an array or a number, not {type(source).__name__}")
        if recording and value.needs_gradient:
            raise RuntimeError("copy_ from a tensor that requires a gradient would not be recorded: use "
                               "source.detach()")
        self.before_write()
        cdef ndarray array = self.array, numbers = value.array
        cdef Version version = self.get_version()
        if not broadcasts_to(numbers, array):
            raise ValueError(f"cannot copy shape {value.shape} into shape {self.shape}")
        try:
            cnp.PyArray_CopyInto(array, numbers)
        finally:
            count_write(version)            # also where a number did not fit, and a warning is an error
        return self

    def fill_(self, value):
        """Set every element to a number; returns the tensor."""
        return self.copy_(value)

    def zero_(self):
        """Set every element to 0; returns the tensor."""
        return self.copy_(0)

    def __setitem__(self, key, value):
        cdef Tensor source = operand(value, self)
        check_range(value, self.array)
        if source is None:
            raise TypeError(f"cannot assign a {type(value).__name__} to elements of a tensor")
        if recording and source.needs_gradient:
            raise RuntimeError("assigning a tensor that requires a gradient would not be recorded: use mt.where, "
                               "mt.cat, or value.detach()")
        self.before_write()
        cdef object array = self.array              # once: the index may be an object that runs code
        cdef Version version = self.get_version()
        *firsts, last = index_steps(key)
        for first in firsts:
            array = array[first if Ellipsis in first else (*first, Ellipsis)]       # a view, also of one element
        try:
            array[last] = source.array
        except (IndexError, ValueError):        # before the first write
            raise
        except BaseException:
            count_write(version)
            raise
        count_write(version)

    def _in_place(self, Tensor result):
        """x += y: in place where no gradient is recorded, and elsewhere the recorded result under the name x."""
        if result is None:
            return NotImplemented
        if result.op is not None and not (self.op is None and self.needs_gradient):
            return result
        if result.shape != self.shape:
            raise RuntimeError(f"in-place result of shape {result.shape} does not fit into shape {self.shape}")
        if _KINDS.index(result.dtype.kind) > _KINDS.index(self.dtype.kind):
            raise RuntimeError(f"in-place result of dtype {result.dtype} cannot be stored in {self.dtype}")
        return self.copy_(result.detach())

    def __iadd__(self, other):
        return self._in_place(_operate(operators.add, self, other))

    def __isub__(self, other):
        return self._in_place(_operate(operators.sub, self, other))

    def __imul__(self, other):
        return self._in_place(_operate(operators.mul, self, other))

    def __itruediv__(self, other):
        return self._in_place(_operate(operators.div, self, other))

    # -- operators

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        """Called by NumPy: for ``array + tensor``, which is Tensor's, and for ``np.sin(tensor)``, which is refused."""
        reflected = _REFLECTED.get(ufunc)
        if (reflected is not None and method == "__call__" and not options and len(inputs) == 2
                and not isinstance(inputs[0], Tensor)):
            return getattr(self, reflected)(inputs[0])
        if "out" in options:            # array += tensor
            raise TypeError(f"np.{ufunc.__name__} writes no Tensor into an array, where no gradient would be recorded: "
                            "make a tensor, as in array + x, or write x.detach().numpy()")
        name = _OUR_NAMES.get(ufunc.__name__, ufunc.__name__)
        ours = method == "__call__" and hasattr(ops, name)
        way_out = f"mt.{name}, which records the gradient, or " if ours else ""
        raise TypeError(f"np.{ufunc.__name__} takes arrays, not a Tensor: use {way_out}x.detach().numpy()")

    def __add__(self, other):
        result = _operate(operators.add, self, other)
        return NotImplemented if result is None else result

    def __radd__(self, other):
        result = _operate(operators.add, self, other, True)
        return NotImplemented if result is None else result

    def __sub__(self, other):
        result = _operate(operators.sub, self, other)
        return NotImplemented if result is None else result

    def __rsub__(self, other):
        result = _operate(operators.sub, self, other, True)
        return NotImplemented if result is None else result

    def __mul__(self, other):
        result = _operate(operators.mul, self, other)
        return NotImplemented if result is None else result

    def __rmul__(self, other):
        result = _operate(operators.mul, self, other, True)
        return NotImplemented if result is None else result

    def __truediv__(self, other):
        result = _operate(operators.div, self, other)
        return NotImplemented if result is None else result

    def __rtruediv__(self, other):
        result = _operate(operators.div, self, other, True)
        return NotImplemented if result is None else result

    def __pow__(self, other, modulo):
        result = _operate(operators.pow, self, other)
        return NotImplemented if result is None else result

    def __rpow__(self, other, modulo):
        result = _operate(operators.pow, self, other, True)
        return NotImplemented if result is None else result

    def __matmul__(self, other):
        result = _operate(operators.matmul, self, other)
        return NotImplemented if result is None else result

    def __rmatmul__(self, other):
        result = _operate(operators.matmul, self, other, True)
        return NotImplemented if result is None else result

    def __neg__(self):
        return ops.neg(self)

    def __pos__(self):
        return self

    def __abs__(self):
        return ops.abs(self)

    # Comparisons and logic have no gradient: NumPy computes them.

    def __richcmp__(self, other, int operation):
        return _logic(_COMPARISONS[operation], self, other)

    def __and__(self, other):
        return _logic(np.bitwise_and, self, other)

    def __rand__(self, other):
        return _logic(np.bitwise_and, self, other)

    def __or__(self, other):
        return _logic(np.bitwise_or, self, other)

    def __ror__(self, other):
        return _logic(np.bitwise_or, self, other)

    def __xor__(self, other):
        return _logic(np.bitwise_xor, self, other)

    def __rxor__(self, other):
        return _logic(np.bitwise_xor, self, other)

    def __invert__(self):
        return wrap(np.asarray(np.invert(self.array)))

    def any(self):
        """Whether any element is nonzero, as a 0-d bool tensor."""
        return wrap(np.asarray(lent(self.array).any()))

    def all(self):
        """Whether all elements are nonzero, as a 0-d bool tensor."""
        return wrap(np.asarray(lent(self.array).all()))

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

    def softmax(self, dim=None, *, axis=None):
        """exp(self) normalised to sum to 1 along dim."""
        return ops.softmax(self, either(dim, axis))

    def log_softmax(self, dim=None, *, axis=None):
        """log(softmax(self, dim)), stably."""
        return ops.log_softmax(self, either(dim, axis))

    def sum(self, dim=None, keepdim=False, *, axis=None, keepdims=False):
        """The sum of all elements, or along dim."""
        return ops.sum(self, either(dim, axis), keepdim or keepdims)

    def mean(self, dim=None, keepdim=False, *, axis=None, keepdims=False):
        """The mean of all elements, or along dim."""
        return ops.mean(self, either(dim, axis), keepdim or keepdims)

    def var(self, dim=None, correction=1, keepdim=False, *, axis=None, keepdims=False):
        """The variance, with divisor n - correction."""
        return ops.var(self, either(dim, axis), correction, keepdim or keepdims)

    def std(self, dim=None, correction=1, keepdim=False, *, axis=None, keepdims=False):
        """The standard deviation: sqrt(var)."""
        return ops.std(self, either(dim, axis), correction, keepdim or keepdims)

    def max(self, dim=None, keepdim=False, *, axis=None, keepdims=False):
        """The largest element; along a dim, (values, indices)."""
        return ops.max(self, either(dim, axis), keepdim or keepdims)

    def min(self, dim=None, keepdim=False, *, axis=None, keepdims=False):
        """The smallest element; along a dim, (values, indices)."""
        return ops.min(self, either(dim, axis), keepdim or keepdims)

    def amax(self, dim=None, keepdim=False, *, axis=None, keepdims=False):
        """The largest element; ties share the gradient."""
        return ops.amax(self, either(dim, axis), keepdim or keepdims)

    def amin(self, dim=None, keepdim=False, *, axis=None, keepdims=False):
        """The smallest element; ties share the gradient."""
        return ops.amin(self, either(dim, axis), keepdim or keepdims)

    def argmax(self, dim=None, keepdim=False, *, axis=None, keepdims=False):
        """Where the largest element is, int64."""
        return ops.argmax(self, either(dim, axis), keepdim or keepdims)

    def argmin(self, dim=None, keepdim=False, *, axis=None, keepdims=False):
        """Where the smallest element is, int64."""
        return ops.argmin(self, either(dim, axis), keepdim or keepdims)

    def logsumexp(self, dim=None, keepdim=False, *, axis=None, keepdims=False):
        """log(sum(exp(self))) along dim, stably."""
        return ops.logsumexp(self, either(dim, axis), keepdim or keepdims)

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


cdef object _logic(object function, Tensor x, object other):
    """A comparison or bitwise operation, which has no gradient: NumPy's."""
    cdef Tensor value = operand(other, x)
    if value is None:
        return NotImplemented
    try:
        return wrap(np.asarray(function(x.array, value.array)))
    except ValueError:
        raise ValueError(f"{function.__name__}: shapes {x.shape} and {value.shape} do not broadcast") from None


# The method of the Tensor on the right of an operator that NumPy was asked for by what is on the left.
_REFLECTED = {
    np.add: "__radd__", np.subtract: "__rsub__", np.multiply: "__rmul__", np.divide: "__rtruediv__",
    np.power: "__rpow__", np.matmul: "__rmatmul__", np.bitwise_and: "__rand__", np.bitwise_or: "__ror__",
    np.bitwise_xor: "__rxor__", np.less: "__gt__", np.less_equal: "__ge__", np.equal: "__eq__",
    np.not_equal: "__ne__", np.greater: "__lt__", np.greater_equal: "__le__",
}
_OUR_NAMES = {"absolute": "abs", "negative": "neg", "subtract": "sub", "multiply": "mul", "divide": "div"}

_COMPARISONS = (np.less, np.less_equal, np.equal, np.not_equal, np.greater, np.greater_equal)


def index_steps(key):
    """An index as a list of one or two that NumPy takes one after the other, and that nobody else can change.

    NumPy takes integers for arrays where there are arrays too, and moves dimensions; PyTorch applies them first.
    """
    key = _settled(key)
    if isinstance(key, tuple) and not picks_once(key) and any([_is_integer(part) for part in key]):
        return _split(key)
    return [key]


cdef object _settled(object key):
    """An index of integers, slices, None, ..., and arrays that nobody else holds."""
    Py_EnterRecursiveCall(" in an index")
    try:
        return _settled_part(key)
    finally:
        Py_LeaveRecursiveCall()


cdef object _settled_part(object key):
    if key is None or key is Ellipsis or isinstance(key, (bool, np.bool_)):
        return key
    if isinstance(key, slice):
        return slice(*[None if part is None else operator.index(part) for part in (key.start, key.stop, key.step)])
    if isinstance(key, tuple):
        return tuple([_settled(part) for part in key])
    if isinstance(key, Tensor):
        key = (<Tensor>key).array
    if isinstance(key, list):
        key = [_settled(part) for part in key]
    elif not isinstance(key, ndarray) and hasattr(key, "__index__"):
        return operator.index(key)
    array = np.array(key, np.intp if isinstance(key, list) and not key else None)
    return int(array) if array.ndim == 0 and array.dtype.kind in "iu" else array


cdef bint picks_once(object key):
    """Whether an index is basic: integers, slices, None and ..., which pick no element twice."""
    for part in (key if isinstance(key, tuple) else (key,)):
        if not (part is None or part is Ellipsis or isinstance(part, slice) or _is_integer(part)):
            return False
    return True


cdef bint _is_integer(object part):
    return isinstance(part, int) and not isinstance(part, bool)


cdef list _split(tuple key):
    """An index as two: its integers, and the rest, to be applied after them."""
    first, rest = [], []
    for part in key:
        if _is_integer(part):
            first.append(part)
            continue
        rest.append(part)
        if isinstance(part, ndarray):
            first += [slice(None)] * (part.ndim if part.dtype.kind == "b" else 1)
        elif part is not None and not isinstance(part, (bool, np.bool_)):       # these go along no dimension of x
            first.append(Ellipsis if part is Ellipsis else slice(None))
    return [tuple(first), tuple(rest)]
