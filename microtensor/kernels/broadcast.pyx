"""Elementwise loops over arrays that broadcast against each other.

A loop sees runs: n consecutive elements of each array. A Cursor goes from one run to the next. Broadcasting is a stride
of 0: the same element again. Dimensions that every array steps through evenly are merged first; the innermost one is
the run, or a few of its rows where they are short. Where an array is not contiguous along the run, its elements are
gathered into a small buffer, so that loops never see strides; what is repeated is gathered once.
"""

cimport numpy as cnp
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
    size = plan.shape[plan.ndim - 1]
    plan.rows = 1
    if plan.ndim > 1 and 0 < size <= BUFFER // 2:
        plan.rows = min(BUFFER // size, plan.shape[plan.ndim - 2])
    plan.any_gathered = False
    for k in range(plan.count):
        array = <ndarray>arrays[k]
        plan.data[k] = <char*>cnp.PyArray_DATA(array)
        plan.itemsize[k] = cnp.PyArray_ITEMSIZE(array)
        plan.gathered[k] = plan.strides[k][plan.ndim - 1] != plan.itemsize[k] or not cnp.PyArray_ISALIGNED(array) \
            or plan.rows > 1 and plan.strides[k][plan.ndim - 2] != size * plan.itemsize[k]
        plan.any_gathered = plan.any_gathered or plan.gathered[k]
    return 0


cdef void start_at(Cursor* cursor, const Plan* plan, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """Stand before element first, counted in C order, to go up to element last; first < last."""
    cdef int k, d = plan.ndim - 1
    cursor.plan = plan
    cursor.left = last - first
    for k in range(plan.count, MAX_ARRAYS):
        cursor.run[k] = NULL
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
