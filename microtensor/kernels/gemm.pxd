"""The matrix product: see gemm.pyx."""

from microtensor.kernels.simd cimport real


cdef enum:
    THREAD_WORK = 1 << 20   # multiplications (some 8 us of one core with AVX-512) that pay for one more thread

cdef struct Layout:
    Py_ssize_t row, column      # elements from one row, or column, of a matrix to the next

# C = start + A B, A and B of any strides, C's rows contiguous and c_row apart. start may be C itself, one row for all
# (start_row 0), or NULL for zeros.
cdef void gemm(Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, const real* a, Layout a_step, const real* b, Layout b_step,
               const real* start, Py_ssize_t start_row, real* c, Py_ssize_t c_row) noexcept nogil
