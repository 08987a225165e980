"""The families of ops: what all unary, binary, reducing and line-wise ops share, so that an op is only its mathematics.

An op supplies loops, float and double, in a table; its dtype is named nowhere else. The family gives it the life that
core.pyx describes: check, allocate, run, record, and the same on the way back.

    Unary       y = f(x)        loops over runs: n consecutive elements
    Binary      y = f(a, b)     the same; a and b are broadcast (kernels/broadcast.pyx), so the loops never see strides
    Reduction   y = f(lines of x)           loops over tiles: lines along any set of dimensions (kernels/lines.pyx)
    AlongDim    y_l = f(the line of x_l)    loops over blocks of lines along one dimension
    WithBias    y = f(x, weight) + bias     no loops of the family's own
"""

cimport cython
cimport numpy as cnp
from numpy cimport ndarray

from microtensor.core cimport (
    INPUT, OTHER, OUTPUT, Engine, Op, Tensor, as_tensor, contiguous, empty, empty_like, is_taping, is_float,
    is_single, lent, record,
)
from microtensor.kernels.broadcast cimport MAX_DIMS, Cursor, Plan, make_plan, next_run, start_at
from microtensor.kernels.lines cimport (
    Block, Blocks, Dims, Lines, ReductionLoops, block_at, blocks_of, blocks_per_thread, height_in_cache, make_lines,
    reduce_backward, reduce_forward,
)
from microtensor.kernels.threads cimport ELEMENTS_PER_THREAD, EXPONENTIALS_PER_THREAD, UNIT, parallel_for

import numpy as np

cnp.import_array()


# -- one input ------------------------------------------------------------------------------------------------

cdef struct UnaryJob:
    const UnaryLoops* loops
    const double* options
    bint single                 # float32, not float64
    const void* input           # forward: x; backward: what the loop reads, x or y
    const void* g               # backward only
    void* result                # forward: y; backward: dx


cdef void unary_forward_part(void* job_pointer, Py_ssize_t _number, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef UnaryJob* job = <UnaryJob*>job_pointer
    if job.single:
        job.loops.forward_float(<const float*>job.input + first, <float*>job.result + first, last - first,
                                job.options)
    else:
        job.loops.forward_double(<const double*>job.input + first, <double*>job.result + first, last - first,
                                 job.options)


cdef void unary_backward_part(void* job_pointer, Py_ssize_t _number, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef UnaryJob* job = <UnaryJob*>job_pointer
    if job.single:
        job.loops.backward_float(<const float*>job.input + first, <const float*>job.g + first,
                                 <float*>job.result + first, last - first, job.options)
    else:
        job.loops.backward_double(<const double*>job.input + first, <const double*>job.g + first,
                                  <double*>job.result + first, last - first, job.options)


@cython.no_gc
cdef class Unary(Op):
    """An op y = f(x), element by element."""

    cdef Tensor apply(self, const UnaryLoops* loops, object input):
        cdef Tensor x = as_float(input)
        self.loops = loops
        self.a = x.array
        self.y = empty_like(x.array)
        self.run_forward()
        return record(self, x)

    cdef int run_forward(self) except -1:
        cdef ndarray x = contiguous(self.a)
        cdef UnaryJob job
        job.loops, job.options, job.single = self.loops, self.options, is_single(x)
        job.input, job.result = cnp.PyArray_DATA(x), cnp.PyArray_DATA(self.y)
        parallel_for(unary_forward_part, &job, cnp.PyArray_SIZE(x), UNIT, ELEMENTS_PER_THREAD)
        return 0

    cdef int reads(self) noexcept:
        return self.loops.reads

    cdef int allocate_gradients(self) except -1:
        self.da = empty_like(<ndarray>self.g)
        return 0

    cdef int run_backward(self) except -1:
        cdef ndarray g = <ndarray>self.g, saved = g         # a loop that reads nothing is given g in its place
        cdef UnaryJob job
        if self.loops.reads == INPUT:
            saved = contiguous(self.a)
        elif self.loops.reads == OUTPUT:
            saved = contiguous(self.y)
        job.loops, job.options, job.single = self.loops, self.options, is_single(g)
        job.input, job.g, job.result = cnp.PyArray_DATA(saved), cnp.PyArray_DATA(g), cnp.PyArray_DATA(self.da)
        parallel_for(unary_backward_part, &job, cnp.PyArray_SIZE(g), UNIT, ELEMENTS_PER_THREAD)
        return 0


# -- two inputs -----------------------------------------------------------------------------------------------

cdef enum:
    FORWARD = -1                # where a side would be: 0 for a, 1 for b


cdef struct BinaryJob:
    const BinaryLoops* loops
    bint single
    int side
    const Plan* plan            # where arrays broadcast or are not contiguous, or else
    const char* a               # where the whole arrays are
    const char* b
    const char* y
    const char* g
    char* result                # y, da or db


cdef void binary_run(const BinaryJob* job, const void* a, const void* b, const void* y, const void* g, void* result,
                     Py_ssize_t n) noexcept nogil:
    """Call the loop of the job's side and dtype on n consecutive elements."""
    if job.side == FORWARD:
        if job.single:
            job.loops.forward_float(<const float*>a, <const float*>b, <float*>result, n)
        else:
            job.loops.forward_double(<const double*>a, <const double*>b, <double*>result, n)
    elif job.single:
        (job.loops.backward_b_float if job.side else job.loops.backward_a_float)(
            <const float*>a, <const float*>b, <const float*>y, <const float*>g, <float*>result, n)
    else:
        (job.loops.backward_b_double if job.side else job.loops.backward_a_double)(
            <const double*>a, <const double*>b, <const double*>y, <const double*>g, <double*>result, n)


cdef void binary_part(void* job_pointer, Py_ssize_t _number, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef const BinaryJob* job = <const BinaryJob*>job_pointer
    cdef Py_ssize_t start = first * (4 if job.single else 8)
    binary_run(job, job.a + start, job.b + start, job.y + start, job.g + start, job.result + start, last - first)


cdef void binary_broadcast_part(void* job_pointer, Py_ssize_t _number, Py_ssize_t first,
                                Py_ssize_t last) noexcept nogil:
    cdef const BinaryJob* job = <const BinaryJob*>job_pointer
    cdef Cursor cursor
    start_at(&cursor, job.plan, first, last)
    while next_run(&cursor):
        binary_run(job, cursor.run[1], cursor.run[2], cursor.run[3], cursor.run[4], cursor.run[0], cursor.n)


@cython.no_gc
cdef class Binary(Op):
    """An op y = f(a, b), element by element, broadcast."""

    cdef Tensor apply(self, const BinaryLoops* loops, Tensor a, Tensor b):
        self.a, self.b = a.array, b.array
        if cnp.PyArray_TYPE(self.a) != cnp.PyArray_TYPE(self.b) or not is_float(self.a):
            a, b = promote(a, b)
            self.a, self.b = a.array, b.array
            check_promoted(self)
        self.loops = loops
        if cnp.PyArray_SAMESHAPE(self.a, self.b):
            self.y = empty_like(self.a)
        else:
            self.y = empty_broadcast(self, (self.a, self.b))
            self.input_shapes = ((<object>self.a).shape, (<object>self.b).shape)
        self.run_forward()
        return record(self, a, b)

    cdef int run_forward(self) except -1:
        return self.run_side(FORWARD, self.y, self.y, self.y)

    cdef int reads(self) noexcept:
        return INPUT | OTHER

    cdef int allocate_gradients(self) except -1:
        if self.needs(0):
            self.da = empty_like(<ndarray>self.g)
        if self.needs(1):
            self.db = empty_like(<ndarray>self.g)
        return 0

    cdef int run_backward(self) except -1:
        cdef ndarray g = <ndarray>self.g, y = g if self.y is None else self.y
        if self.da is not None:
            self.run_side(0, y, g, self.da)
        if self.db is not None:
            self.run_side(1, y, g, self.db)
        return 0

    cdef int run_side(self, int side, ndarray y, ndarray g, ndarray result) except -1:
        """Run the forward loop, or the backward loop of a side; arrays that it does not read stand for each other."""
        cdef ndarray a = g if self.a is None else self.a, b = g if self.b is None else self.b
        cdef BinaryJob job
        cdef Plan plan
        job.loops, job.side, job.single = self.loops, side, is_single(result)
        if self.input_shapes is None and cnp.PyArray_ISCARRAY_RO(a) and cnp.PyArray_ISCARRAY_RO(b) \
                and cnp.PyArray_ISCARRAY_RO(y):
            job.a, job.b = <const char*>cnp.PyArray_DATA(a), <const char*>cnp.PyArray_DATA(b)
            job.y, job.g = <const char*>cnp.PyArray_DATA(y), <const char*>cnp.PyArray_DATA(g)
            job.result = <char*>cnp.PyArray_DATA(result)
            parallel_for(binary_part, &job, cnp.PyArray_SIZE(result), UNIT, ELEMENTS_PER_THREAD)
        else:
            make_plan(&plan, (result, a, b) if side == FORWARD else (result, a, b, y, g), result)
            job.plan = &plan
            parallel_for(binary_broadcast_part, &job, plan.size, UNIT, ELEMENTS_PER_THREAD)
        return 0


cdef ndarray empty_broadcast(Op op, tuple arrays):
    """An uninitialised array of the shape that the arrays broadcast to, and of the last one's dtype."""
    cdef Py_ssize_t shape[MAX_DIMS]             # the last ndim of them: sizes are compared from the right
    cdef Py_ssize_t size
    cdef int d, own, place, ndim = 0
    cdef ndarray array = None
    for d in range(MAX_DIMS):
        shape[d] = 1
    for array in arrays:
        own = cnp.PyArray_NDIM(array)
        ndim = max(ndim, own)
        for d in range(own):
            place = MAX_DIMS - own + d
            size = cnp.PyArray_DIM(array, d)
            if size == 1:
                continue
            if shape[place] != 1 and shape[place] != size:
                raise ValueError(
                    f"{type(op).__name__.lower()}: shapes {' and '.join([str(x.shape) for x in arrays])} do not "
                    "broadcast: from the right, sizes must be equal or 1")
            shape[place] = size
    return empty(ndim, shape + MAX_DIMS - ndim, cnp.PyArray_TYPE(array))


def result_type(*tensors):
    """The dtype that an operation on these tensors computes in.

    The highest kind among them (bool < integer < float) decides, and within that kind the largest type; a 0-d tensor
    counts only if it is of a higher kind than all others (PyTorch's rule).
    """
    def kind(dtype):
        return "bif".index("i" if dtype.kind == "u" else dtype.kind)

    arrays = [(<Tensor?>x).array for x in tensors]         # their dtypes, whatever a subclass calls .dtype
    dtypes = [(kind(x.dtype), x.ndim > 0, x.dtype) for x in arrays]
    highest = max(k for k, _, _ in dtypes)
    deciding = [d for k, dimensioned, d in dtypes if k == highest and dimensioned] \
        or [d for k, _, d in dtypes if k == highest]
    return np.result_type(*deciding)


cdef tuple promote(Tensor a, Tensor b):
    """Both in the dtype that an operation on them computes in, at least float32."""
    dtype = result_type(a, b)
    if dtype.kind != "f":
        dtype = np.float32
    return Tensor.to(a, dtype), Tensor.to(b, dtype)


cdef int check_promoted(Op op) except -1:
    """Raise unless the op's two arrays are of one float dtype: another thread may have replaced one since promote."""
    if cnp.PyArray_TYPE(op.a) != cnp.PyArray_TYPE(op.b) or not is_float(op.a):
        raise RuntimeError(f"{type(op).__name__.lower()}: data was replaced while it was converted, and its dtypes are "
                           f"now {op.a.dtype} and {op.b.dtype}: let one thread at a time replace data")
    return 0


cdef Tensor as_float(object input):
    """The input as a tensor: itself if it is float32 or float64, in float32 otherwise."""
    cdef Tensor x = as_tensor(input, "input")
    if is_float(x.array):
        return x
    x = Tensor.float(x)
    if not is_float(x.array):       # somebody replaced a function of mt.ops
        raise TypeError(f"a float tensor is needed, got {x.dtype}")
    return x


# -- dimensions -----------------------------------------------------------------------------------------------

cdef Py_ssize_t normal_dim(object dim, Py_ssize_t ndim) except -1:
    """dim counted from the front: -1 is the last. A 0-d array has one dimension to name, 0 or -1, as in PyTorch."""
    cdef Py_ssize_t number, dims = max(ndim, 1)
    if dim is None:
        raise TypeError("no dimension is given: pass one, such as dim=-1 for the last")
    try:
        number = dim
    except TypeError:
        raise TypeError(f"a dimension is an int, not {type(dim).__name__}") from None
    if not -dims <= number < dims:
        raise IndexError(f"dimension {number} is out of range: a tensor of {ndim} dimensions has {-dims} to {dims - 1}")
    return number + dims if number < 0 else number


cdef Dims dims_of(object dim, Py_ssize_t ndim) except? 0:
    """The dimensions in dim (None: all; an int; a sequence of ints), to be reduced."""
    cdef Dims dims = 0, bit
    if dim is None or isinstance(dim, (tuple, list)) and len(dim) == 0:
        return ~dims
    for d in dim if isinstance(dim, (tuple, list)) else (dim,):
        bit = <Dims>1 << normal_dim(d, ndim)
        if dims & bit:
            raise ValueError(f"a dimension is named twice in dim={dim}")
        dims |= bit
    return dims


cdef ndarray empty_of(tuple shape, int typenum):
    """An uninitialised C-contiguous array of this shape."""
    cdef Py_ssize_t sizes[MAX_DIMS]
    cdef int d
    for d in range(len(shape)):
        sizes[d] = shape[d]
    return empty(<int>len(shape), sizes, typenum)


# -- one result for each line ---------------------------------------------------------------------------------

@cython.no_gc
cdef class Reduction(Op):
    """An op that makes one element of all those along the reduced dimensions."""

    cdef Tensor apply(self, const ReductionLoops* loops, object input, object dim, bint keepdim):
        cdef Tensor x = as_float(input)
        cdef ndarray array = x.array            # once: the dim may be an object that runs code of its own
        cdef int d, kept = 0, ndim = cnp.PyArray_NDIM(array)
        cdef const Py_ssize_t* shape = <const Py_ssize_t*>cnp.PyArray_DIMS(array)
        cdef Py_ssize_t y_shape[MAX_DIMS]
        cdef Py_ssize_t outputs = 1
        self.loops = loops
        self.dims = dims_of(dim, ndim)
        self.length = 1
        for d in range(ndim):
            if self.dims >> d & 1:
                self.length *= shape[d]
                if keepdim:
                    y_shape[kept] = 1
                    kept += 1
            else:
                outputs *= shape[d]
                y_shape[kept] = shape[d]
                kept += 1
        self.prepare(array, outputs)
        self.shape = (<object>array).shape
        self.a = array
        self.y = empty(kept, y_shape, cnp.PyArray_TYPE(array))
        self.run_forward()
        return record(self, x)

    cdef int prepare(self, ndarray x, Py_ssize_t outputs) except -1:
        """Set the scale; raise if outputs outputs cannot be made of length elements of x each."""
        self.scale = 1
        return 0

    cdef int run_forward(self) except -1:
        cdef ndarray x = contiguous(self.a)
        cdef Lines lines
        make_lines(&lines, cnp.PyArray_NDIM(x), <const Py_ssize_t*>cnp.PyArray_DIMS(x), self.dims)
        reduce_forward(self.loops, is_single(x), cnp.PyArray_DATA(x), cnp.PyArray_DATA(self.y), &lines, self.scale)
        return 0

    cdef int allocate_gradients(self) except -1:
        self.da = empty_of(self.shape, cnp.PyArray_TYPE(<ndarray>self.g))
        return 0

    cdef int run_backward(self) except -1:
        cdef ndarray g = <ndarray>self.g, dx = self.da
        cdef ndarray x = dx if self.a is None else contiguous(self.a), y = g if self.y is None else contiguous(self.y)
        cdef Lines lines
        make_lines(&lines, cnp.PyArray_NDIM(dx), <const Py_ssize_t*>cnp.PyArray_DIMS(dx), self.dims)
        reduce_backward(self.loops, is_single(dx), cnp.PyArray_DATA(x), cnp.PyArray_DATA(y), cnp.PyArray_DATA(g),
                        cnp.PyArray_DATA(dx), &lines, self.scale)
        return 0

    cdef tuple reduced(self):
        """The reduced dimensions."""
        return tuple([d for d in range(len(self.shape)) if self.dims >> d & 1])

    cdef Tensor put_back(self, Tensor g):
        """An output-shaped tensor with the reduced dimensions put back as 1, for rules to broadcast against x."""
        return g.reshape(tuple([1 if self.dims >> d & 1 else self.shape[d] for d in range(len(self.shape))]))


# -- a result for each element, from all of its line ------------------------------------------------------------

cdef struct AlongDimJob:
    const AlongDimLoops* loops
    bint single
    Blocks blocks
    const void* input           # forward: x; backward: y
    const void* g               # backward only; NULL for forward
    void* result                # forward: y; backward: dx


cdef void along_dim_part(void* job_pointer, Py_ssize_t _number, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef AlongDimJob* job = <AlongDimJob*>job_pointer
    cdef Py_ssize_t number, i
    cdef Block block
    for number in range(first, last):
        block = block_at(&job.blocks, number)
        i = block.start
        if job.single and job.g == NULL:
            job.loops.forward_float(<const float*>job.input + i, <float*>job.result + i, &block)
        elif job.g == NULL:
            job.loops.forward_double(<const double*>job.input + i, <double*>job.result + i, &block)
        elif job.single:
            job.loops.backward_float(<const float*>job.input + i, <const float*>job.g + i, <float*>job.result + i,
                                     &block)
        else:
            job.loops.backward_double(<const double*>job.input + i, <const double*>job.g + i, <double*>job.result + i,
                                      &block)


@cython.no_gc
cdef class AlongDim(Op):
    """An op whose outputs along one dimension each depend on all inputs along it; backward reads y."""

    cdef Tensor apply(self, const AlongDimLoops* loops, object input, object dim):
        cdef Tensor x = as_float(input)
        self.loops = loops
        self.a = x.array
        self.dim = normal_dim(dim, cnp.PyArray_NDIM(self.a))
        self.y = empty_like(self.a)
        self.run_forward()
        return record(self, x)

    cdef int run_forward(self) except -1:
        return self.run_blocks(contiguous(self.a), None, self.y)

    cdef int reads(self) noexcept:
        return OUTPUT

    cdef int allocate_gradients(self) except -1:
        self.da = empty_like(<ndarray>self.g)
        return 0

    cdef int run_backward(self) except -1:
        return self.run_blocks(contiguous(self.y), <ndarray>self.g, self.da)

    cdef int run_blocks(self, ndarray x, ndarray g, ndarray y) except -1:
        """Call the forward loops on all blocks of x and y, or with a g the backward loops on those of y, g and dx."""
        cdef AlongDimJob job
        cdef Lines lines
        make_lines(&lines, cnp.PyArray_NDIM(x), <const Py_ssize_t*>cnp.PyArray_DIMS(x), <Dims>1 << self.dim)
        job.loops, job.single = self.loops, is_single(x)
        job.blocks = blocks_of(&lines, height_in_cache(lines.length.size, lines.columns))
        job.input, job.result = cnp.PyArray_DATA(x), cnp.PyArray_DATA(y)
        job.g = NULL if g is None else cnp.PyArray_DATA(g)
        if lines.length.size > 0:
            parallel_for(along_dim_part, &job, job.blocks.count, 1,
                         blocks_per_thread(&job.blocks, EXPONENTIALS_PER_THREAD))
        return 0


# -- a layer's input, weight and bias ---------------------------------------------------------------------------

@cython.no_gc
cdef class WithBias(Op):
    """An op of three inputs, of which backward does not read the third."""

    cdef int save(self, Tensor a, Tensor b, Tensor y) except -1:
        Op.save(self, a, b, y)
        if not is_taping():
            self.bias = None
        return 0

    cdef int give_gradients(self, Engine engine) except -1:
        Op.give_gradients(self, engine)
        if self.dbias is not None:
            engine.give(self, 2, self.dbias)
            if not self.taped:
                self.dbias = None
        return 0

    def results(self, bint backward=False):
        return super().results(backward) + ([lent(self.dbias)] if backward and self.dbias is not None else [])
