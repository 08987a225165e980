"""Dimensions of an array seen as few long loops: see axes.pyx."""

from numpy cimport ndarray

cdef enum:
    MAX_GROUPS = 32             # NumPy's 64 dimensions, kept and reduced in turn


cdef struct Axes:
    Py_ssize_t outer, length, inner     # element (o, l, i) of a contiguous array is at (o * length + l) * inner + i


cdef struct Group:
    Py_ssize_t size, step       # how many, and how many elements from one to the next


cdef struct Grid:
    Group outputs               # the innermost group of kept dimensions: outputs that are neighbours
    Group length                # the innermost group of reduced dimensions: elements that make one output
    bint columns                # whether neighbouring elements belong to neighbouring outputs, not to the same one
    Py_ssize_t kept_count, reduced_count        # products of the sizes of the other groups,
    int kept_groups, reduced_groups
    Group kept[MAX_GROUPS]                      # and these, the innermost first
    Group reduced[MAX_GROUPS]

ctypedef unsigned long long Dims        # a set of dimensions: bit d stands for dimension d

cdef Py_ssize_t normal_dim(object dim, Py_ssize_t ndim) except -1
cdef Axes axes_of(ndarray array, Py_ssize_t dim)
cdef Dims dims_of(object dim, Py_ssize_t ndim) except? 0
cdef void make_grid(Grid* grid, int ndim, const Py_ssize_t* shape, Dims dims) noexcept nogil
cdef Py_ssize_t offset_of(const Group* groups, int count, Py_ssize_t number) noexcept nogil
