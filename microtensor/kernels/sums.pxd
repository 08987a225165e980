"""Sums and the largest of runs: n consecutive elements, taken in LANES partial results that vector registers hold.

One chain of additions would wait for each to finish before the next begins; LANES chains do not. What is left of the
run goes through FEW of them, and then the lanes are added up in pairs. Sums are taken in double, so a float32 sum of
ten million elements is right to its last digit.
"""

from microtensor.kernels cimport simd
from microtensor.kernels.simd cimport real

cdef enum:
    LANES = 32
    FEW = 8


cdef inline double sum_terms(const real* x, double centre, bint squares, Py_ssize_t n) noexcept nogil:
    """The sum of x, or of (x - centre)^2 for squares, which is a constant where this is called."""
    cdef double lanes[LANES]
    cdef double few[FEW]
    cdef double d, total = 0
    cdef Py_ssize_t i = 0, j
    for j in range(FEW):
        few[j] = 0
    if n >= LANES:
        for j in range(LANES):
            lanes[j] = 0
        while i + LANES <= n:
            for j in range(LANES):
                d = x[i + j] - centre if squares else x[i + j]
                lanes[j] += d * d if squares else d
            i += LANES
        for j in range(FEW):
            few[j] = (lanes[j] + lanes[8 + j]) + (lanes[16 + j] + lanes[24 + j])
    while i + FEW <= n:
        for j in range(FEW):
            d = x[i + j] - centre if squares else x[i + j]
            few[j] += d * d if squares else d
        i += FEW
    if n >= FEW:
        total = ((few[0] + few[1]) + (few[2] + few[3])) + ((few[4] + few[5]) + (few[6] + few[7]))
    while i < n:
        d = x[i] - centre if squares else x[i]
        total += d * d if squares else d
        i += 1
    return total


cdef inline double sum_run(const real* x, Py_ssize_t n) noexcept nogil:
    """x_1 + ... + x_n."""
    return sum_terms(x, 0, False, n)


cdef inline double sum_squares_run(const real* x, double centre, Py_ssize_t n) noexcept nogil:
    """(x_1 - centre)^2 + ... + (x_n - centre)^2."""
    return sum_terms(x, centre, True, n)


cdef inline real larger(real m, real v) noexcept nogil:
    """The larger of the two; nan if one is nan."""
    return v if (v > m) | (v != v) else m        # |, not or: it compiles to a blend


cdef inline real greater(real m, real v) noexcept nogil:
    """The larger of the two; m if one is nan: a single instruction."""
    return v if v > m else m


cdef inline real max_run(const real* x, Py_ssize_t n) noexcept nogil:
    """The largest of x_1, ..., x_n: -inf for n = 0, nan if one is nan."""
    cdef real lanes[LANES]
    cdef real few[FEW]
    cdef int nans[LANES]
    cdef int any_nan = 0
    cdef real m = -<real>simd.INFINITY
    cdef Py_ssize_t i = 0, j
    if n >= LANES:
        for j in range(LANES):
            lanes[j], nans[j] = m, 0
        while i + LANES <= n:
            for j in range(LANES):
                lanes[j] = greater(lanes[j], x[i + j])
                nans[j] |= x[i + j] != x[i + j]
            i += LANES
        for j in range(LANES):
            any_nan |= nans[j]
        for j in range(FEW):
            few[j] = greater(greater(lanes[j], lanes[8 + j]), greater(lanes[16 + j], lanes[24 + j]))
        m = greater(greater(greater(few[0], few[1]), greater(few[2], few[3])),
                    greater(greater(few[4], few[5]), greater(few[6], few[7])))
    while i < n:
        m = greater(m, x[i])
        any_nan |= x[i] != x[i]
        i += 1
    return <real>simd.NAN if any_nan else m
