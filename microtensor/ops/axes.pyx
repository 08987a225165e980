"""Dimensions of an array seen as (outer, length, inner): the one view that all loops along dimensions need.

Adjacent dimensions of a contiguous array act as one, so whatever is before the dimensions of interest is ``outer``,
they are ``length``, and whatever is behind them is ``inner``:

    x (2, 3, 5, 7), dims (1, 2):    outer 2, length 15, inner 7

Dimensions that are not adjacent are brought to the end first, in a copy.
"""

cimport cython
cimport numpy as cnp
from numpy cimport ndarray

from microtensor.core cimport contiguous

import numpy as np

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


cdef Py_ssize_t product(tuple sizes):
    cdef Py_ssize_t result = 1
    for size in sizes:
        result *= <Py_ssize_t>size
    return result


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


cdef Arrangement arrangement_of(ndarray array, object dim):
    """The dimensions in dim (None: all; an int; a sequence of ints), to be reduced."""
    cdef Arrangement result = Arrangement.__new__(Arrangement)
    cdef tuple shape = (<object>array).shape
    cdef Py_ssize_t ndim = len(shape), first, last
    result.shape = shape
    if dim is None or isinstance(dim, (tuple, list)) and len(dim) == 0:
        result.axes.outer = result.axes.inner = result.count = 1
        result.axes.length = product(shape)
        result.kept = (1,) * ndim
        result.rest = ()
        return result
    dims = sorted([normal_dim(d, ndim) for d in (dim if isinstance(dim, (tuple, list)) else (dim,))])
    if len(set(dims)) != len(dims):
        raise ValueError(f"a dimension is named twice in dim={dim}")
    if ndim == 0:
        result.axes.outer = result.axes.inner = result.axes.length = result.count = 1
        result.kept = result.rest = ()
        return result
    result.kept = tuple([1 if d in dims else shape[d] for d in range(ndim)])
    result.rest = tuple([shape[d] for d in range(ndim) if d not in dims])
    result.count = product(result.rest)
    first, last = dims[0], dims[len(dims) - 1]
    if last - first + 1 == len(dims):
        result.axes.outer = product(shape[:first])
        result.axes.length = product(shape[first:last + 1])
        result.axes.inner = product(shape[last + 1:])
    else:
        result.order = tuple([d for d in range(ndim) if d not in dims] + dims)
        result.axes.outer = result.count
        result.axes.length = product(tuple([shape[d] for d in dims]))
        result.axes.inner = 1
    return result


@cython.no_gc
cdef class Arrangement:
    """How to see an array as (outer, length, inner) and back."""

    cdef ndarray arrange(self, ndarray array):
        """The array, contiguous and with the reduced dimensions together."""
        return contiguous(array if self.order is None else (<object>array).transpose(self.order))

    cdef ndarray restore(self, ndarray array):
        """An array of (outer, length, inner) elements in the shape it came from, contiguous."""
        cdef object x = array
        if self.order is None:
            return x.reshape(self.shape)
        x = x.reshape(tuple([self.shape[d] for d in self.order]))
        return contiguous(x.transpose(tuple(np.argsort(self.order).tolist())))
