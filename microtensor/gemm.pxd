"""The matrix product: see gemm.pyx."""

from microtensor.simd cimport real


cdef struct Layout:
    Py_ssize_t row, column      # elements from one row, or column, of a matrix to the next

cdef void gemm(Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, const real* a, Layout a_step, const real* b, Layout b_step,
               real* c, Py_ssize_t c_row, bint accumulate) noexcept nogil
