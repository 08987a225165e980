"""Elementwise loops over arrays that broadcast against each other.

A loop sees runs: n consecutive elements of each array. A Cursor goes from one run to the next. Broadcasting is a stride
of 0: the same element again. Dimensions that every array steps through evenly are merged first; the innermost one is
the run. Where an array is not contiguous along the run, its elements are gathered into a small buffer, so that loops
never see strides.
"""

cimport numpy as cnp
from libc.string cimport memcpy
from numpy cimport ndarray

cnp.import_array()


cdef int make_plan(Plan* plan, tuple arrays, ndarray whole) except -1:
    """How to go through up to five arrays that broadcast to the shape of whole."""
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
            array = <ndarray>arrays[k]
            step[k] = 0
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
            plan.strides[k][0] = cnp.PyArray_ITEMSIZE(<ndarray>arrays[k])
    plan.any_gathered = False
    for k in range(plan.count):
        array = <ndarray>arrays[k]
        plan.data[k] = <char*>cnp.PyArray_DATA(array)
        plan.itemsize[k] = cnp.PyArray_ITEMSIZE(array)
        plan.gathered[k] = plan.strides[k][plan.ndim - 1] != plan.itemsize[k] or not cnp.PyArray_ISALIGNED(array)
        plan.any_gathered = plan.any_gathered or plan.gathered[k]
    return 0


cdef void start_at(Cursor* cursor, const Plan* plan, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """Stand before element first, counted in C order, to go up to element last; first < last."""
    cdef int k, d = plan.ndim - 1
    cursor.plan = plan
    cursor.left = last - first
    for k in range(plan.count):
        cursor.data[k] = plan.data[k]
        cursor.repeated[k] = NULL
    cursor.done = first % plan.shape[d]
    first //= plan.shape[d]
    while d > 0:
        d -= 1
        cursor.index[d] = first % plan.shape[d]
        first //= plan.shape[d]
        for k in range(plan.count):
            cursor.data[k] += cursor.index[d] * plan.strides[k][d]


cdef bint next_run(Cursor* cursor) noexcept nogil:
    """Point run[] at the next n elements; False when there are none left."""
    if cursor.left <= 0:
        return False
    cdef const Plan* plan = cursor.plan
    cdef int k, d, last = plan.ndim - 1
    cdef Py_ssize_t stride
    cursor.n = min(plan.shape[last] - cursor.done, cursor.left)
    if plan.any_gathered and cursor.n > BUFFER:
        cursor.n = BUFFER
    for k in range(plan.count):
        stride = plan.strides[k][last]
        if not plan.gathered[k]:
            cursor.run[k] = cursor.data[k] + cursor.done * stride
        elif stride != 0:
            gather(<char*>cursor.buffer[k], cursor.data[k] + cursor.done * stride, stride, plan.itemsize[k], cursor.n)
            cursor.run[k] = cursor.buffer[k]
        elif cursor.repeated[k] != cursor.data[k]:
            gather(<char*>cursor.buffer[k], cursor.data[k], 0, plan.itemsize[k], min(plan.shape[last], BUFFER))
            cursor.repeated[k] = cursor.data[k]
            cursor.run[k] = cursor.buffer[k]
    cursor.left -= cursor.n
    cursor.done += cursor.n
    if cursor.done < plan.shape[last]:
        return True
    # The innermost dimension is through: step the one before it, like an odometer.
    cursor.done = 0
    d = last - 1
    while d >= 0:
        cursor.index[d] += 1
        for k in range(plan.count):
            cursor.data[k] += plan.strides[k][d]
        if cursor.index[d] < plan.shape[d]:
            return True
        for k in range(plan.count):
            cursor.data[k] -= plan.strides[k][d] * plan.shape[d]
        cursor.index[d] = 0
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
