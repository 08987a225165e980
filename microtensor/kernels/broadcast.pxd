"""Elementwise loops over arrays that broadcast against each other: see broadcast.pyx."""

from libc.string cimport memcpy
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
    Py_ssize_t rows                    # of the innermost dimension that make a run: more than one where they are short
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
    const char* repeated[MAX_ARRAYS]   # the element or row that the whole buffer holds, if it is of stride 0
    double buffer[MAX_ARRAYS][BUFFER]

cdef int make_plan(Plan* plan, tuple arrays, ndarray whole) except -1
cdef void start_at(Cursor* cursor, const Plan* plan, Py_ssize_t first, Py_ssize_t last) noexcept nogil


cdef inline void gather(char* target, const char* source, Py_ssize_t stride, Py_ssize_t itemsize,
                        Py_ssize_t n) noexcept nogil:
    """n elements, a stride of bytes apart, into consecutive memory; they need not be aligned."""
    cdef Py_ssize_t i
    cdef float one
    cdef double wide
    if stride == itemsize:
        memcpy(target, source, n * itemsize)
    elif itemsize == 4 and stride == 0:
        memcpy(&one, source, 4)
        for i in range(n):
            memcpy(target + 4 * i, &one, 4)
    elif itemsize == 4:
        for i in range(n):
            memcpy(target + 4 * i, source + i * stride, 4)
    elif itemsize == 8 and stride == 0:
        memcpy(&wide, source, 8)
        for i in range(n):
            memcpy(target + 8 * i, &wide, 8)
    elif itemsize == 8:
        for i in range(n):
            memcpy(target + 8 * i, source + i * stride, 8)
    else:
        for i in range(n):
            target[i] = source[i * stride]


cdef inline void gather_rows(Cursor* cursor, int k, Py_ssize_t rows) noexcept nogil:
    """Whole rows of array k into its buffer, from the current one on; nothing if it holds them."""
    cdef const Plan* plan = cursor.plan
    cdef Py_ssize_t row, length = plan.shape[plan.ndim - 1], itemsize = plan.itemsize[k]
    cdef Py_ssize_t step = plan.strides[k][plan.ndim - 2], stride = plan.strides[k][plan.ndim - 1]
    if step == 0:
        if cursor.repeated[k] == cursor.data[k]:
            return
        cursor.repeated[k] = cursor.data[k]
        rows = plan.rows
    for row in range(rows):
        gather(<char*>cursor.buffer[k] + row * length * itemsize, cursor.data[k] + row * step, stride, itemsize, length)


cdef inline bint next_run(Cursor* cursor) noexcept nogil:
    """Point run[] at the next n elements; False when there are none left."""
    if cursor.left <= 0:
        return False
    cdef const Plan* plan = cursor.plan
    cdef int k, d, last = plan.ndim - 1
    cdef Py_ssize_t stride, rows = 1
    if plan.rows > 1:
        rows = min(plan.rows, plan.shape[last - 1] - cursor.index[last - 1])
    cursor.n = min(rows * plan.shape[last] - cursor.done, cursor.left)
    if plan.any_gathered and cursor.n > BUFFER:
        cursor.n = BUFFER
    for k in range(plan.count):
        stride = plan.strides[k][last]
        if not plan.gathered[k]:
            cursor.run[k] = cursor.data[k] + cursor.done * stride
        elif plan.rows > 1:
            gather_rows(cursor, k, rows)
            cursor.run[k] = <char*>cursor.buffer[k] + cursor.done * plan.itemsize[k]
        elif stride != 0:
            gather(<char*>cursor.buffer[k], cursor.data[k] + cursor.done * stride, stride, plan.itemsize[k], cursor.n)
            cursor.run[k] = cursor.buffer[k]
        elif cursor.repeated[k] != cursor.data[k]:
            gather(<char*>cursor.buffer[k], cursor.data[k], 0, plan.itemsize[k], min(plan.shape[last], BUFFER))
            cursor.repeated[k] = cursor.data[k]
            cursor.run[k] = cursor.buffer[k]
    cursor.left -= cursor.n
    cursor.done += cursor.n
    if cursor.done < rows * plan.shape[last]:
        return True
    # The innermost dimension is through, as often as the run had rows: step the one before it, like an odometer.
    cursor.done = 0
    d = last - 1
    while d >= 0:
        cursor.index[d] += rows
        for k in range(plan.count):
            cursor.data[k] += plan.strides[k][d] * rows
        if cursor.index[d] < plan.shape[d]:
            return True
        for k in range(plan.count):
            cursor.data[k] -= plan.strides[k][d] * plan.shape[d]
        cursor.index[d] = 0
        d -= 1
        rows = 1
    return True
