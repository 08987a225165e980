"""Sums and the largest of runs: n consecutive elements, taken in LANES partial results that vector registers hold.

One chain of additions would wait for each to finish before the next begins; LANES chains do not. Sums are taken in
double, so a float32 sum of ten million elements is right to its last digit.
"""

from microtensor cimport simd
from microtensor.simd cimport real

cdef enum:
    LANES = 32


cdef inline double sum_run(const real* x, Py_ssize_t n) noexcept nogil:
    """x_1 + ... + x_n."""
    cdef double lanes[LANES]
    cdef double total = 0
    cdef Py_ssize_t i = 0, j
    if n >= LANES:
        for j in range(LANES):
            lanes[j] = x[j]
        i = LANES
        while i + LANES <= n:
            for j in range(LANES):
                lanes[j] += x[i + j]
            i += LANES
        for j in range(LANES):
            total += lanes[j]
    while i < n:
        total += x[i]
        i += 1
    return total


cdef inline double sum_squares_run(const real* x, double centre, Py_ssize_t n) noexcept nogil:
    """(x_1 - centre)^2 + ... + (x_n - centre)^2."""
    cdef double lanes[LANES]
    cdef double total = 0
    cdef Py_ssize_t i = 0, j
    if n >= LANES:
        for j in range(LANES):
            lanes[j] = 0
        while i + LANES <= n:
            for j in range(LANES):
                lanes[j] += (x[i + j] - centre) * (x[i + j] - centre)
            i += LANES
        for j in range(LANES):
            total += lanes[j]
    while i < n:
        total += (x[i] - centre) * (x[i] - centre)
        i += 1
    return total


cdef inline real larger(real m, real v) noexcept nogil:
    """The larger of the two; nan if one is nan."""
    return v if v > m or v != v else m


cdef inline real max_run(const real* x, Py_ssize_t n) noexcept nogil:
    """The largest of x_1, ..., x_n: -inf for n = 0, nan if one is nan."""
    cdef real lanes[LANES]
    cdef real m = -<real>simd.INFINITY
    cdef Py_ssize_t i = 0, j
    if n >= LANES:
        for j in range(LANES):
            lanes[j] = x[j]
        i = LANES
        while i + LANES <= n:
            for j in range(LANES):
                lanes[j] = larger(lanes[j], x[i + j])
            i += LANES
        for j in range(LANES):
            m = larger(m, lanes[j])
    while i < n:
        m = larger(m, x[i])
        i += 1
    return m
