"""What elementwise ops share: see elementwise.pyx."""

cimport cython
from numpy cimport ndarray

from microtensor.core cimport Engine, Op, Tensor

cdef enum Keep:
    NOTHING
    INPUT
    OUTPUT


@cython.no_gc
cdef class Unary(Op):
    cdef bint single            # float32, not float64

    cdef Tensor apply(self, Tensor x, Keep keep)
    cdef void forward_loop(self, const void* x, void* y, Py_ssize_t n) noexcept nogil
    cdef void backward_loop(self, const void* kept, const void* g, void* dx, Py_ssize_t n) noexcept nogil


@cython.no_gc
cdef class Binary(Op):
    cdef bint single
    cdef tuple shape            # of the output; set only if an input was broadcast

    cdef Tensor apply(self, Tensor a, Tensor b)
    cdef void keep(self, Tensor a, Tensor b, Tensor y)
    cdef void forward_loop(self, const void* a, const void* b, void* y, Py_ssize_t n) noexcept nogil
    cdef void backward_loop(self, int side, const void* a, const void* b, const void* y, const void* g, void* dx,
                            Py_ssize_t n) noexcept nogil
    cdef void backward_loop_a(self, const void* a, const void* b, const void* y, const void* g, void* da,
                              Py_ssize_t n) noexcept nogil
    cdef void backward_loop_b(self, const void* a, const void* b, const void* y, const void* g, void* db,
                              Py_ssize_t n) noexcept nogil


cdef enum:
    MAX_DIMS = 64               # NumPy's
    MAX_ARRAYS = 5
    BUFFER = 256                # elements gathered at a time: all arrays' buffers fit in the first-level cache


cdef struct Walk:
    const void* run[MAX_ARRAYS]        # the current run: n contiguous elements of each array
    Py_ssize_t n
    int count, ndim                    # arrays, dimensions left after merging
    Py_ssize_t shape[MAX_DIMS]
    Py_ssize_t index[MAX_DIMS]
    Py_ssize_t done                    # elements of the innermost dimension already visited
    char* data[MAX_ARRAYS]             # where each array stands
    Py_ssize_t strides[MAX_ARRAYS][MAX_DIMS]
    Py_ssize_t itemsize[MAX_ARRAYS]
    bint gathered[MAX_ARRAYS]          # not contiguous along the run
    bint any_gathered, finished
    double buffer[MAX_ARRAYS][BUFFER]

cdef int start_walk(Walk* walk, tuple arrays, tuple shape) except -1
cdef bint next_run(Walk* walk) noexcept nogil

cdef Tensor as_float(Tensor x)
cdef tuple promote(Tensor a, Tensor b)
cdef tuple broadcast_shape(Op op, ndarray a, ndarray b)
