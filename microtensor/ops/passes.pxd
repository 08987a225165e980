"""Passes over all elements of an array for reductions: see passes.pyx."""

from numpy cimport ndarray

from microtensor.ops.axes cimport Dims

cdef enum Kind:
    SUM                         # x
    SQUARES                     # (x - centre)^2
    LARGEST                     # the largest x
    EXPONENTIALS                # e^(x - centre)
    TIES                        # 1 where x = centre

cdef void reduce_array(Kind kind, ndarray x, ndarray y, Dims dims, double scale)
cdef void spread_array(Kind kind, ndarray x, ndarray y, ndarray g, ndarray dx, Dims dims, double scale)
