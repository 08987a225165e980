"""What elementwise ops share: allocation, broadcasting, threads, and giving gradients to the engine.

An elementwise op supplies loops over contiguous runs and nothing else. ``Unary`` and ``Binary`` call them:

    Unary    y = f(x)       one run over the whole array, split among threads if it is long
    Binary   y = f(a, b)    one run if a and b have y's shape, and otherwise the runs of a Walk

A Walk goes through arrays that broadcast against each other. Broadcasting is a stride of 0: the same element
again. Dimensions that every array steps through evenly are merged first; the innermost one is the run. Where an
array is not contiguous along the run, its elements are gathered into a small buffer, so loops never see strides.
"""

cimport cython
cimport numpy as cnp
from cython.parallel cimport prange
from numpy cimport ndarray

from microtensor.core cimport Engine, Op, Tensor, contiguous, empty_like, is_float, is_single, record
from microtensor.threads cimport PARALLEL_ELEMENTS, RELEASE_ELEMENTS, share, threads_for

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
        cdef Py_ssize_t part, parts, itemsize = cnp.PyArray_ITEMSIZE(y_array)
        self.single = is_single(x_array)
        if n < RELEASE_ELEMENTS:
            self.forward_loop(x_data, y_data, n)
        else:
            parts = threads_for(n, PARALLEL_ELEMENTS)
            for part in prange(parts, nogil=True, num_threads=<int>parts, schedule="static"):
                self.forward_loop(x_data + share(part, parts, n, UNIT) * itemsize, y_data + share(part, parts, n, UNIT) * itemsize,
                                  share(part + 1, parts, n, UNIT) - share(part, parts, n, UNIT))
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
        cdef Py_ssize_t part, parts, itemsize = cnp.PyArray_ITEMSIZE(g)
        if n < RELEASE_ELEMENTS:
            self.backward_loop(kept_data, g_data, dx_data, n)
        else:
            parts = threads_for(n, PARALLEL_ELEMENTS)
            for part in prange(parts, nogil=True, num_threads=<int>parts, schedule="static"):
                self.backward_loop(
                    kept_data + share(part, parts, n, UNIT) * itemsize if kept_data != NULL else NULL,
                    g_data + share(part, parts, n, UNIT) * itemsize, dx_data + share(part, parts, n, UNIT) * itemsize,
                    share(part + 1, parts, n, UNIT) - share(part, parts, n, UNIT))
        return engine.give(self, 0, dx)

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
        cdef Walk walk
        if cnp.PyArray_TYPE(a.array) != cnp.PyArray_TYPE(b.array) or not is_float(a.array):
            a, b = promote(a, b)
        self.single = is_single(a.array)
        if cnp.PyArray_SAMESHAPE(a.array, b.array):
            a_array, b_array = contiguous(a.array), contiguous(b.array)
            y_array = empty_like(a_array)
            self.forward_loop(cnp.PyArray_DATA(a_array), cnp.PyArray_DATA(b_array), cnp.PyArray_DATA(y_array),
                              cnp.PyArray_SIZE(y_array))
        else:
            self.shape = broadcast_shape(self, a.array, b.array)
            y_array = np.empty(self.shape, a.array.dtype)
            start_walk(&walk, (a.array, b.array, y_array), self.shape)
            while next_run(&walk):
                self.forward_loop(walk.run[0], walk.run[1], <void*>walk.run[2], walk.n)
        cdef Tensor y = record(self, y_array, a, b)
        if y.op is not None:
            if self.shape is not None:
                self.input_shapes = ((<object>a.array).shape, (<object>b.array).shape)
            self.keep(a, b, y)
        return y

    cdef void keep(self, Tensor a, Tensor b, Tensor y):
        """Save what backward reads: by default both inputs."""
        self.save(a, b, None)

    cdef int backward(self, ndarray g, Engine engine) except -1:
        cdef ndarray a = kept(self.a), b = kept(self.b), y = kept(self.y), dx
        cdef int side
        cdef Walk walk
        for side in range(2):
            if not self.needs(side):
                continue
            dx = empty_like(g)
            if self.shape is None:
                self.backward_loop(side, data_of(a), data_of(b), data_of(y), cnp.PyArray_DATA(g), cnp.PyArray_DATA(dx),
                                   cnp.PyArray_SIZE(g))
            else:
                start_walk(&walk, (a, b, y, g, dx), self.shape)
                while next_run(&walk):
                    self.backward_loop(side, walk.run[0], walk.run[1], walk.run[2], walk.run[3], <void*>walk.run[4],
                                       walk.n)
            engine.give(self, side, dx)
        return 0

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


cdef tuple broadcast_shape(Op op, ndarray a, ndarray b):
    """The shape that a and b broadcast to."""
    try:
        return np.broadcast_shapes((<object>a).shape, (<object>b).shape)
    except ValueError:
        raise ValueError(
            f"{type(op).__name__.lower()}: shapes {(<object>a).shape} and {(<object>b).shape} do not broadcast: from "
            "the right, sizes must be equal or 1") from None


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


cdef int start_walk(Walk* walk, tuple arrays, tuple shape) except -1:
    """Prepare to go through up to five arrays that broadcast to one shape; None for an array is NULL in run."""
    cdef int k, d, source
    cdef int ndim = <int>len(shape)
    cdef ndarray array
    walk.count = <int>len(arrays)
    walk.ndim = 0
    walk.finished = False
    walk.done = 0
    # Dimensions from the outermost in; one is merged into the one before it if every array steps evenly over both.
    cdef Py_ssize_t size
    cdef Py_ssize_t step[MAX_ARRAYS]
    cdef bint mergeable
    for d in range(ndim):
        size = shape[d]
        if size == 0:
            walk.finished = True
            return 0
        if size == 1:
            continue
        mergeable = walk.ndim > 0
        for k in range(walk.count):
            step[k] = 0
            if arrays[k] is None:
                continue
            array = <ndarray>arrays[k]
            source = d - ndim + cnp.PyArray_NDIM(array)
            if source >= 0 and cnp.PyArray_DIM(array, source) != 1:
                step[k] = cnp.PyArray_STRIDE(array, source)
            if mergeable and walk.strides[k][walk.ndim - 1] != step[k] * size:
                mergeable = False
        if mergeable:
            walk.shape[walk.ndim - 1] *= size
        else:
            walk.shape[walk.ndim] = size
            walk.ndim += 1
        for k in range(walk.count):
            walk.strides[k][walk.ndim - 1] = step[k]
    if walk.ndim == 0:
        walk.shape[0] = 1
        walk.ndim = 1
        for k in range(walk.count):
            walk.strides[k][0] = 0 if arrays[k] is None else cnp.PyArray_ITEMSIZE(<ndarray>arrays[k])
    walk.any_gathered = False
    for k in range(walk.count):
        if arrays[k] is None:
            walk.data[k] = NULL
            walk.run[k] = NULL
            walk.gathered[k] = False
            walk.itemsize[k] = 0
            continue
        array = <ndarray>arrays[k]
        walk.data[k] = <char*>cnp.PyArray_DATA(array)
        walk.itemsize[k] = cnp.PyArray_ITEMSIZE(array)
        walk.gathered[k] = walk.strides[k][walk.ndim - 1] != walk.itemsize[k]
        walk.any_gathered = walk.any_gathered or walk.gathered[k]
    for d in range(walk.ndim):
        walk.index[d] = 0
    return 0

cdef bint next_run(Walk* walk) noexcept nogil:
    """Point run[] at the next n elements; False when there are none left."""
    if walk.finished:
        return False
    cdef int k, d, last = walk.ndim - 1
    cdef Py_ssize_t stride
    walk.n = walk.shape[last] - walk.done
    if walk.any_gathered and walk.n > BUFFER:
        walk.n = BUFFER
    for k in range(walk.count):
        if walk.data[k] == NULL:
            continue
        stride = walk.strides[k][last]
        if walk.gathered[k]:
            gather(<char*>walk.buffer[k], walk.data[k] + walk.done * stride, stride, walk.itemsize[k], walk.n)
            walk.run[k] = walk.buffer[k]
        else:
            walk.run[k] = walk.data[k] + walk.done * stride
    walk.done += walk.n
    if walk.done < walk.shape[last]:
        return True
    # The innermost dimension is through: step the one before it, like an odometer.
    walk.done = 0
    d = last - 1
    while d >= 0:
        walk.index[d] += 1
        for k in range(walk.count):
            if walk.data[k] != NULL:
                walk.data[k] += walk.strides[k][d]
        if walk.index[d] < walk.shape[d]:
            return True
        for k in range(walk.count):
            if walk.data[k] != NULL:
                walk.data[k] -= walk.strides[k][d] * walk.shape[d]
        walk.index[d] = 0
        d -= 1
    walk.finished = True
    return True


cdef void gather(char* target, const char* source, Py_ssize_t stride, Py_ssize_t itemsize, Py_ssize_t n) noexcept nogil:
    """n elements, a stride of bytes apart, into consecutive memory."""
    cdef Py_ssize_t i
    if itemsize == 4:
        for i in range(n):
            (<int*>target)[i] = (<const int*>(source + i * stride))[0]
    elif itemsize == 8:
        for i in range(n):
            (<long long*>target)[i] = (<const long long*>(source + i * stride))[0]
    else:
        for i in range(n):
            target[i] = source[i * stride]
