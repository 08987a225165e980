"""Dimensions of an array seen as (outer, length, inner): see axes.pyx."""

from numpy cimport ndarray


cdef struct Axes:
    Py_ssize_t outer, length, inner     # element (o, l, i) of a contiguous array is at (o * length + l) * inner + i


cdef class Arrangement:
    cdef Axes axes
    cdef tuple shape            # of the array
    cdef tuple kept             # the same with 1 for every reduced dimension
    cdef tuple rest             # the same without the reduced dimensions
    cdef tuple order            # the dimensions with the reduced ones last, where they are not adjacent; or None
    cdef Py_ssize_t count       # elements outside the reduced dimensions

    cdef ndarray arrange(self, ndarray array)
    cdef ndarray restore(self, ndarray array)

cdef Py_ssize_t normal_dim(object dim, Py_ssize_t ndim) except -1
cdef Axes axes_of(ndarray array, Py_ssize_t dim)
cdef Arrangement arrangement_of(ndarray array, object dim)
