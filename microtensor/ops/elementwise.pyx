"""What elementwise ops share: allocation, broadcasting, threads, and giving gradients to the engine.

An elementwise op supplies loops over contiguous runs and nothing else. ``Unary`` and ``Binary`` call them:

    Unary    y = f(x)       one run over the whole array, or one for each thread
    Binary   y = f(a, b)    the same if a and b have y's shape, and otherwise the runs of a Walk

A Walk goes through arrays that broadcast against each other. Broadcasting is a stride of 0: the same element
again. Dimensions that every array steps through evenly are merged first; the innermost one is the run. Where an
array is not contiguous along the run, its elements are gathered into a small buffer, so loops never see strides.

A short array is done at once; a longer one without the GIL; a long one by several threads, each its share.
"""

cimport cython
cimport numpy as cnp
from cython.parallel cimport prange
from libc.string cimport memcpy
from numpy cimport ndarray

from microtensor.core cimport Engine, Op, Tensor, contiguous, empty, empty_like, is_float, is_single, record
from microtensor.kernels.threads cimport PARALLEL_ELEMENTS, RELEASE_ELEMENTS, share, threads_for

import numpy as np

cnp.import_array()

cdef enum:
    UNIT = 16                   # elements: threads split runs at whole cache lines


cdef Tensor as_float(Tensor x):
    """x itself if it is float32 or float64, in float32 otherwise."""
    return x if is_float(x.array) else x.float()


# -- one input ------------------------------------------------------------------------------------------------

@cython.no_gc
cdef class Unary(Op):
    """An op y = f(x), element by element. Keeps x or y for its backward_loop, whichever that reads."""

    cdef Tensor apply(self, Tensor x, Keep keep):
        x = as_float(x)
        cdef ndarray x_array = contiguous(x.array)
        cdef ndarray y_array = empty_like(x_array)
        cdef Py_ssize_t n = cnp.PyArray_SIZE(y_array)
        cdef const char* x_data = <const char*>cnp.PyArray_DATA(x_array)
        cdef char* y_data = <char*>cnp.PyArray_DATA(y_array)
        self.single = is_single(x_array)
        if n < RELEASE_ELEMENTS:
            self.forward_loop(x_data, y_data, n)
        else:
            with nogil:
                self.forward_threads(x_data, y_data, n)
        cdef Tensor y = record(self, y_array, x)
        if y.op is not None:
            self.save(x if keep == INPUT else None, None, y if keep == OUTPUT else None)
        return y

    cdef int backward(self, ndarray g, Engine engine) except -1:
        cdef ndarray dx = empty_like(g)
        cdef ndarray saved = kept(self.a if self.a is not None else self.y)
        cdef Py_ssize_t n = cnp.PyArray_SIZE(g)
        cdef const char* kept_data = <const char*>data_of(saved)
        cdef const char* g_data = <const char*>cnp.PyArray_DATA(g)
        cdef char* dx_data = <char*>cnp.PyArray_DATA(dx)
        if n < RELEASE_ELEMENTS:
            self.backward_loop(kept_data, g_data, dx_data, n)
        else:
            with nogil:
                self.backward_threads(kept_data, g_data, dx_data, n)
        return engine.give(self, 0, dx)

    cdef void forward_threads(self, const char* x, char* y, Py_ssize_t n) noexcept nogil:
        cdef Py_ssize_t part, parts = threads_for(n, PARALLEL_ELEMENTS), start, itemsize = 4 if self.single else 8
        if parts == 1:                              # a team of one is not free either
            self.forward_loop(x, y, n)
            return
        for part in prange(parts, num_threads=<int>parts, schedule="static"):
            start = share(part, parts, n, UNIT)
            self.forward_loop(x + start * itemsize, y + start * itemsize, share(part + 1, parts, n, UNIT) - start)

    cdef void backward_threads(self, const char* kept, const char* g, char* dx, Py_ssize_t n) noexcept nogil:
        cdef const char* kept_part
        cdef Py_ssize_t part, parts = threads_for(n, PARALLEL_ELEMENTS), start, itemsize = 4 if self.single else 8
        if parts == 1:
            self.backward_loop(kept, g, dx, n)
            return
        for part in prange(parts, num_threads=<int>parts, schedule="static"):
            start = share(part, parts, n, UNIT)
            kept_part = kept
            if kept != NULL:
                kept_part = kept + start * itemsize
            self.backward_loop(kept_part, g + start * itemsize, dx + start * itemsize,
                               share(part + 1, parts, n, UNIT) - start)

    cdef void forward_loop(self, const void* x, void* y, Py_ssize_t n) noexcept nogil:
        """y[i] = f(x[i]) for i < n."""

    cdef void backward_loop(self, const void* kept, const void* g, void* dx, Py_ssize_t n) noexcept nogil:
        """dx[i] = g[i] f'(x[i]) for i < n, computed from the kept x or y."""


# -- two inputs -----------------------------------------------------------------------------------------------


@cython.no_gc
cdef class Binary(Op):
    """An op y = f(a, b), element by element, broadcast."""

    cdef Tensor apply(self, Tensor a, Tensor b):
        cdef ndarray y_array, a_array, b_array
        if cnp.PyArray_TYPE(a.array) != cnp.PyArray_TYPE(b.array) or not is_float(a.array):
            a, b = promote(a, b)
        self.single = is_single(a.array)
        cdef bint same = cnp.PyArray_SAMESHAPE(a.array, b.array)
        if same and cnp.PyArray_SIZE(a.array) < RELEASE_ELEMENTS:
            a_array, b_array = contiguous(a.array), contiguous(b.array)
            y_array = empty_like(a_array)
            self.forward_loop(cnp.PyArray_DATA(a_array), cnp.PyArray_DATA(b_array), cnp.PyArray_DATA(y_array),
                              cnp.PyArray_SIZE(y_array))
        else:
            y_array = empty_like(a.array) if same else empty_broadcast(self, (a.array, b.array))
            self.run(FORWARD, (a.array, b.array, y_array), y_array)
        cdef Tensor y = record(self, y_array, a, b)
        if y.op is not None:
            if not same:
                self.input_shapes = ((<object>a.array).shape, (<object>b.array).shape)
            self.keep(a, b, y)
        return y

    cdef void keep(self, Tensor a, Tensor b, Tensor y):
        """Save what backward reads: by default both inputs."""
        self.save(a, b, None)

    cdef int backward(self, ndarray g, Engine engine) except -1:
        cdef ndarray a, b, dx
        cdef Py_ssize_t n = cnp.PyArray_SIZE(g)
        cdef int side
        for side in range(2):
            if not self.needs(side):
                continue
            dx = empty_like(g)
            if self.input_shapes is None and n < RELEASE_ELEMENTS:
                a, b = kept(self.a), kept(self.b)
                self.backward_loop(side, data_of(a), data_of(b), data_of(self.y), cnp.PyArray_DATA(g),
                                   cnp.PyArray_DATA(dx), n)
            else:
                self.run(side, (self.a, self.b, self.y, g, dx), g)
            engine.give(self, side, dx)
        return 0

    cdef int run(self, int side, tuple arrays, ndarray whole) except -1:
        """Call forward_loop, or the backward_loop of a side, on all runs of the arrays."""
        cdef Plan plan
        make_plan(&plan, arrays, whole)
        if plan.size < RELEASE_ELEMENTS:
            self.run_part(side, &plan, 0, plan.size)
        else:
            with nogil:
                self.run_threads(side, &plan)
        return 0

    cdef void run_threads(self, int side, Plan* plan) noexcept nogil:
        cdef Py_ssize_t part, parts = threads_for(plan.size, PARALLEL_ELEMENTS)
        if parts == 1:
            self.run_part(side, plan, 0, plan.size)
            return
        for part in prange(parts, num_threads=<int>parts, schedule="static"):
            self.run_part(side, plan, share(part, parts, plan.size, UNIT), share(part + 1, parts, plan.size, UNIT))

    cdef void run_part(self, int side, const Plan* plan, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
        cdef Walk walk
        start_walk(&walk, plan, first, last)
        while next_run(&walk):
            if side == FORWARD:
                self.forward_loop(walk.run[0], walk.run[1], <void*>walk.run[2], walk.n)
            else:
                self.backward_loop(side, walk.run[0], walk.run[1], walk.run[2], walk.run[3], <void*>walk.run[4], walk.n)

    cdef void backward_loop(self, int side, const void* a, const void* b, const void* y, const void* g, void* dx,
                            Py_ssize_t n) noexcept nogil:
        if side == 0:
            self.backward_loop_a(a, b, y, g, dx, n)
        else:
            self.backward_loop_b(a, b, y, g, dx, n)

    cdef void forward_loop(self, const void* a, const void* b, void* y, Py_ssize_t n) noexcept nogil:
        """y[i] = f(a[i], b[i]) for i < n."""

    cdef void backward_loop_a(self, const void* a, const void* b, const void* y, const void* g, void* da,
                              Py_ssize_t n) noexcept nogil:
        """da[i] = g[i] df/da for i < n. Of a, b, y those that keep() saved are there, the others NULL."""

    cdef void backward_loop_b(self, const void* a, const void* b, const void* y, const void* g, void* db,
                              Py_ssize_t n) noexcept nogil:
        """db[i] = g[i] df/db for i < n."""


cdef inline ndarray kept(ndarray array):
    """A saved array, contiguous; or None."""
    return None if array is None else contiguous(array)


cdef inline const void* data_of(ndarray array) noexcept:
    return NULL if array is None else cnp.PyArray_DATA(array)


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

    dtypes = [(kind(x.dtype), x.ndim > 0, x.dtype) for x in tensors]
    highest = max(k for k, _, _ in dtypes)
    deciding = [d for k, dimensioned, d in dtypes if k == highest and dimensioned] \
        or [d for k, _, d in dtypes if k == highest]
    return np.result_type(*deciding)


cdef tuple promote(Tensor a, Tensor b):
    """Both in the dtype that an operation on them computes in, at least float32."""
    dtype = result_type(a, b)
    if dtype.kind != "f":
        dtype = np.float32
    return a.to(dtype), b.to(dtype)


# -- going through arrays that broadcast ----------------------------------------------------------------------

cdef int make_plan(Plan* plan, tuple arrays, ndarray whole) except -1:
    """How to go through up to five arrays that broadcast to the shape of whole; None for an array is NULL in run."""
    cdef int k, d, source
    cdef int ndim = cnp.PyArray_NDIM(whole)
    cdef ndarray array
    cdef Py_ssize_t size
    cdef Py_ssize_t step[MAX_ARRAYS]
    cdef bint mergeable
    plan.count = <int>len(arrays)
    plan.size = cnp.PyArray_SIZE(whole)
    plan.ndim = 0
    # Dimensions from the outermost in; one is merged into the one before it if every array steps evenly over both.
    for d in range(ndim):
        size = cnp.PyArray_DIM(whole, d)
        if size == 1:
            continue
        mergeable = plan.ndim > 0
        for k in range(plan.count):
            step[k] = 0
            if arrays[k] is None:
                continue
            array = <ndarray>arrays[k]
            source = d - ndim + cnp.PyArray_NDIM(array)
            if source >= 0 and cnp.PyArray_DIM(array, source) != 1:
                step[k] = cnp.PyArray_STRIDE(array, source)
            if mergeable and plan.strides[k][plan.ndim - 1] != step[k] * size:
                mergeable = False
        if mergeable:
            plan.shape[plan.ndim - 1] *= size
        else:
            plan.shape[plan.ndim] = size
            plan.ndim += 1
        for k in range(plan.count):
            plan.strides[k][plan.ndim - 1] = step[k]
    if plan.ndim == 0:
        plan.shape[0] = 1
        plan.ndim = 1
        for k in range(plan.count):
            plan.strides[k][0] = 0 if arrays[k] is None else cnp.PyArray_ITEMSIZE(<ndarray>arrays[k])
    plan.any_gathered = False
    for k in range(plan.count):
        if arrays[k] is None:
            plan.data[k] = NULL
            plan.gathered[k] = False
            plan.itemsize[k] = 0
            continue
        array = <ndarray>arrays[k]
        plan.data[k] = <char*>cnp.PyArray_DATA(array)
        plan.itemsize[k] = cnp.PyArray_ITEMSIZE(array)
        plan.gathered[k] = plan.strides[k][plan.ndim - 1] != plan.itemsize[k] or not cnp.PyArray_ISALIGNED(array)
        plan.any_gathered = plan.any_gathered or plan.gathered[k]
    return 0


cdef void start_walk(Walk* walk, const Plan* plan, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """Stand before element first, counted in C order, to go up to element last."""
    cdef int k, d
    walk.plan = plan
    walk.left = last - first
    for k in range(plan.count):
        walk.data[k] = plan.data[k]
        walk.run[k] = NULL
        walk.repeated[k] = NULL
    if walk.left <= 0:
        return
    d = plan.ndim - 1
    walk.done = first % plan.shape[d]
    first //= plan.shape[d]
    while d > 0:
        d -= 1
        walk.index[d] = first % plan.shape[d]
        first //= plan.shape[d]
        for k in range(plan.count):
            walk.data[k] += walk.index[d] * plan.strides[k][d]      # NULL has strides of 0


cdef bint next_run(Walk* walk) noexcept nogil:
    """Point run[] at the next n elements; False when there are none left."""
    if walk.left <= 0:
        return False
    cdef const Plan* plan = walk.plan
    cdef int k, d, last = plan.ndim - 1
    cdef Py_ssize_t stride
    walk.n = min(plan.shape[last] - walk.done, walk.left)
    if plan.any_gathered and walk.n > BUFFER:
        walk.n = BUFFER
    for k in range(plan.count):
        stride = plan.strides[k][last]
        if not plan.gathered[k]:
            walk.run[k] = walk.data[k] + walk.done * stride
        elif stride != 0:
            gather(<char*>walk.buffer[k], walk.data[k] + walk.done * stride, stride, plan.itemsize[k], walk.n)
            walk.run[k] = walk.buffer[k]
        elif walk.repeated[k] != walk.data[k]:
            gather(<char*>walk.buffer[k], walk.data[k], 0, plan.itemsize[k], min(plan.shape[last], BUFFER))
            walk.repeated[k] = walk.data[k]
            walk.run[k] = walk.buffer[k]
    walk.left -= walk.n
    walk.done += walk.n
    if walk.done < plan.shape[last]:
        return True
    # The innermost dimension is through: step the one before it, like an odometer.
    walk.done = 0
    d = last - 1
    while d >= 0:
        walk.index[d] += 1
        for k in range(plan.count):
            walk.data[k] += plan.strides[k][d]
        if walk.index[d] < plan.shape[d]:
            return True
        for k in range(plan.count):
            walk.data[k] -= plan.strides[k][d] * plan.shape[d]
        walk.index[d] = 0
        d -= 1
    return True


cdef void gather(char* target, const char* source, Py_ssize_t stride, Py_ssize_t itemsize, Py_ssize_t n) noexcept nogil:
    """n elements, a stride of bytes apart, into consecutive memory; they need not be aligned."""
    cdef Py_ssize_t i
    if itemsize == 4:
        for i in range(n):
            memcpy(target + 4 * i, source + i * stride, 4)
    elif itemsize == 8:
        for i in range(n):
            memcpy(target + 8 * i, source + i * stride, 8)
    else:
        for i in range(n):
            target[i] = source[i * stride]
