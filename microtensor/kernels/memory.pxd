"""Memory for new arrays, reused from step to step."""

from numpy cimport ndarray

cdef ndarray new_array(int ndim, Py_ssize_t* shape, int typenum)
