"""Argument checks and the reduction that losses share."""

from microtensor.core cimport Tensor

cdef int check_pair(str name, Tensor a, Tensor b) except -1
cdef str check_reduction(object reduction)
cdef Tensor reduced(Tensor losses, object weight, object reduction)
