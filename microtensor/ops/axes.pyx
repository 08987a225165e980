"""Dimensions of an array seen as few long loops.

Adjacent dimensions of a contiguous array act as one. For loops along one dimension, whatever is before it is
``outer``, it is ``length``, and whatever is behind it is ``inner``:

    x (2, 3, 5, 7), dim 1:          outer 2, length 3, inner 35

A reduction along any set of dimensions has groups of kept and of reduced ones in turn. The last group of each kind
goes into the loops; the others only say where those begin:

    x (2, 3, 5, 7), dims (1, 2):    kept 2, reduced 15, kept 7      outputs 7 and length 15 in the loops, columns
    x (2, 3, 5, 7), dims (0, 3):    reduced 2, kept 15, reduced 7   outputs 15 and length 7 in the loops, not columns
"""

cimport numpy as cnp
from numpy cimport ndarray

cnp.import_array()


cdef Py_ssize_t normal_dim(object dim, Py_ssize_t ndim) except -1:
    """dim counted from the front: -1 is the last. A 0-d array has one dimension to name, 0 or -1, as in PyTorch."""
    cdef Py_ssize_t number, dims = max(ndim, 1)
    try:
        number = dim
    except TypeError:
        raise TypeError(f"a dimension is an int, not {type(dim).__name__}") from None
    if not -dims <= number < dims:
        raise IndexError(f"dimension {number} is out of range: a tensor of {ndim} dimensions has {-dims} to {dims - 1}")
    return number + dims if number < 0 else number


cdef Axes axes_of(ndarray array, Py_ssize_t dim):
    """One dimension of a contiguous array, counted from the front."""
    cdef Axes axes = Axes(1, 1, 1)
    cdef Py_ssize_t d
    for d in range(cnp.PyArray_NDIM(array)):
        if d < dim:
            axes.outer *= cnp.PyArray_DIM(array, d)
        elif d == dim:
            axes.length = cnp.PyArray_DIM(array, d)
        else:
            axes.inner *= cnp.PyArray_DIM(array, d)
    return axes


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


cdef void make_grid(Grid* grid, int ndim, const Py_ssize_t* shape, Dims dims) noexcept nogil:
    """See a contiguous array of this shape, with the dimensions in dims reduced."""
    cdef Group group, none = Group(1, 1)
    cdef int d = ndim - 1
    cdef bint reduced
    cdef Py_ssize_t step = 1
    grid.outputs = grid.length = none
    grid.columns = False
    grid.kept_groups = grid.reduced_groups = 0
    grid.kept_count = grid.reduced_count = 1
    cdef int count = 0
    while d >= 0:
        if shape[d] == 1:
            d -= 1
            continue
        reduced = dims >> d & 1
        group.size, group.step = 1, step
        while d >= 0 and (shape[d] == 1 or <bint>(dims >> d & 1) == reduced):
            group.size *= shape[d]
            d -= 1
        step *= group.size
        if count == 0:
            grid.columns = not reduced
        if count < 2:
            if reduced:
                grid.length = group
            else:
                grid.outputs = group
        elif reduced:
            grid.reduced[grid.reduced_groups] = group
            grid.reduced_groups += 1
            grid.reduced_count *= group.size
        else:
            grid.kept[grid.kept_groups] = group
            grid.kept_groups += 1
            grid.kept_count *= group.size
        count += 1


cdef Py_ssize_t offset_of(const Group* groups, int count, Py_ssize_t number) noexcept nogil:
    """Where the element with this number (in row-major order) is, for groups that begin with the innermost."""
    cdef Py_ssize_t offset = 0
    cdef int k
    for k in range(count):
        offset += number % groups[k].size * groups[k].step
        number //= groups[k].size
    return offset
