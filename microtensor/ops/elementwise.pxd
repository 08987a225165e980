"""What elementwise ops share: see elementwise.pyx."""

cimport cython
from numpy cimport ndarray

from microtensor.core cimport Engine, Op, Tensor

cdef enum Keep:
    NOTHING
    INPUT
    OUTPUT


cdef enum:
    FORWARD = -1                # where a side would be: 0 for a, 1 for b
    MAX_DIMS = 64               # NumPy's
    MAX_ARRAYS = 5
    BUFFER = 1024               # elements gathered at a time: all arrays' buffers fit in the first-level cache


cdef struct Plan:                      # how to go through arrays that broadcast to one shape; threads share it
    int count, ndim                    # arrays, dimensions left after merging
    Py_ssize_t size                    # elements to go through
    Py_ssize_t shape[MAX_DIMS]
    char* data[MAX_ARRAYS]
    Py_ssize_t strides[MAX_ARRAYS][MAX_DIMS]
    Py_ssize_t itemsize[MAX_ARRAYS]
    bint gathered[MAX_ARRAYS]          # not contiguous along the run
    bint any_gathered


cdef struct Walk:                      # where one thread stands
    const Plan* plan
    const void* run[MAX_ARRAYS]        # the current run: n contiguous elements of each array
    Py_ssize_t n
    Py_ssize_t left                    # elements still to come
    Py_ssize_t done                    # elements of the innermost dimension already visited
    Py_ssize_t index[MAX_DIMS]
    char* data[MAX_ARRAYS]             # where the innermost dimension begins
    const char* repeated[MAX_ARRAYS]   # the element that the whole buffer holds, if it is of stride 0
    double buffer[MAX_ARRAYS][BUFFER]


@cython.no_gc
cdef class Unary(Op):
    cdef bint single            # float32, not float64

    cdef Tensor apply(self, Tensor x, Keep keep)
    cdef void forward_loop(self, const void* x, void* y, Py_ssize_t n) noexcept nogil
    cdef void backward_loop(self, const void* kept, const void* g, void* dx, Py_ssize_t n) noexcept nogil
    cdef void forward_threads(self, const char* x, char* y, Py_ssize_t n) noexcept nogil
    cdef void backward_threads(self, const char* kept, const char* g, char* dx, Py_ssize_t n) noexcept nogil


@cython.no_gc
cdef class Binary(Op):
    cdef bint single

    cdef Tensor apply(self, Tensor a, Tensor b)
    cdef void keep(self, Tensor a, Tensor b, Tensor y)
    cdef int run(self, int side, tuple arrays, ndarray whole) except -1
    cdef void run_threads(self, int side, Plan* plan) noexcept nogil
    cdef void run_part(self, int side, const Plan* plan, Py_ssize_t first, Py_ssize_t last) noexcept nogil
    cdef void forward_loop(self, const void* a, const void* b, void* y, Py_ssize_t n) noexcept nogil
    cdef void backward_loop(self, int side, const void* a, const void* b, const void* y, const void* g, void* dx,
                            Py_ssize_t n) noexcept nogil
    cdef void backward_loop_a(self, const void* a, const void* b, const void* y, const void* g, void* da,
                              Py_ssize_t n) noexcept nogil
    cdef void backward_loop_b(self, const void* a, const void* b, const void* y, const void* g, void* db,
                              Py_ssize_t n) noexcept nogil


cdef int make_plan(Plan* plan, tuple arrays, ndarray whole) except -1
cdef void start_walk(Walk* walk, const Plan* plan, Py_ssize_t first, Py_ssize_t last) noexcept nogil
cdef bint next_run(Walk* walk) noexcept nogil

cdef Tensor as_float(Tensor x)
cdef tuple promote(Tensor a, Tensor b)
cdef ndarray empty_broadcast(Op op, tuple arrays)
