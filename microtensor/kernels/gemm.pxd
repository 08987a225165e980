"""The matrix product: see gemm.pyx."""

cdef struct Matrix:
    void* data                  # float or double; NULL as a start means zeros
    Py_ssize_t row, column      # elements from one row, or column, to the next

# C = start + A B for A (m, k), B (k, n) and C (m, n), in float32 if single, else in float64. A and B have any strides;
# the rows of start and C are contiguous. start may be C itself, or one row for all (of step 0).
cdef void gemm(bint single, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, Matrix a, Matrix b, Matrix start,
               Matrix c) noexcept nogil

# Multiply-adds of vectors in a product: its size, as PRODUCTS_PER_THREAD counts it.
cdef Py_ssize_t products_of_vectors(bint single, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k) noexcept nogil
