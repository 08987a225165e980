"""Elementwise loops over arrays that broadcast against each other: see broadcast.pyx."""

from numpy cimport ndarray

cdef enum:
    MAX_DIMS = 64               # NumPy's
    MAX_ARRAYS = 5
    BUFFER = 256                # elements gathered at a time: the buffers of all arrays take 10 KiB of the L1 cache


cdef struct Plan:                      # how to go through arrays that broadcast to one shape; threads share it
    int count, ndim                    # arrays; dimensions, after merging
    Py_ssize_t size                    # elements to go through
    Py_ssize_t shape[MAX_DIMS]
    char* data[MAX_ARRAYS]
    Py_ssize_t strides[MAX_ARRAYS][MAX_DIMS]        # in bytes
    Py_ssize_t itemsize[MAX_ARRAYS]
    bint gathered[MAX_ARRAYS]          # not contiguous along the run
    bint any_gathered


cdef struct Cursor:                    # where one thread stands
    const Plan* plan
    void* run[MAX_ARRAYS]              # the current run: n contiguous elements of each array
    Py_ssize_t n
    Py_ssize_t left                    # elements still to come
    Py_ssize_t done                    # elements of the innermost dimension already visited
    Py_ssize_t index[MAX_DIMS]
    char* data[MAX_ARRAYS]             # where the innermost dimension begins
    const char* repeated[MAX_ARRAYS]   # the element that the whole buffer holds, if it is of stride 0
    double buffer[MAX_ARRAYS][BUFFER]

cdef int make_plan(Plan* plan, tuple arrays, ndarray whole) except -1
cdef void start_at(Cursor* cursor, const Plan* plan, Py_ssize_t first, Py_ssize_t last) noexcept nogil
cdef bint next_run(Cursor* cursor) noexcept nogil
