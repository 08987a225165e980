"""Sums and the largest of runs: n consecutive elements, in CHAINS partial results that stay in vector registers.

In one chain of additions each has to wait for the one before it; CHAINS independent chains do not. The remainder of the
run goes through FEW chains, and at the end the chains are added up in pairs. Sums are taken in double, so a float32 sum
of ten million elements is right to its last digit.
"""

from microtensor.kernels cimport simd
from microtensor.kernels.simd cimport real

cdef enum:
    CHAINS = 32
    FEW = 8
    AHEAD = 2048                # bytes that a sum asks for ahead: the prefetcher alone does not keep memory busy


cdef inline double sum_terms(const real* x, double centre, bint squares, Py_ssize_t n) noexcept nogil:
    """The sum of x, or of (x - centre)^2 for squares, which is a constant where this is called."""
    cdef double chains[CHAINS]
    cdef double few[FEW]
    cdef double d, total = 0
    cdef Py_ssize_t i = 0, j
    for j in range(FEW):
        few[j] = 0
    if n >= CHAINS:
        for j in range(CHAINS):
            chains[j] = 0
        while i + CHAINS <= n:
            for j in range(CHAINS * <int>sizeof(real) // simd.LINE):
                simd.prefetch(<const void*>(<size_t>(x + i) + simd.LINE * j + AHEAD))
            for j in range(CHAINS):
                d = x[i + j] - centre if squares else x[i + j]
                chains[j] += d * d if squares else d
            i += CHAINS
        for j in range(FEW):
            few[j] = (chains[j] + chains[8 + j]) + (chains[16 + j] + chains[24 + j])
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


cdef inline void add_rows(const real* x, Py_ssize_t rows, Py_ssize_t step, double* sums, Py_ssize_t n) noexcept nogil:
    """sums += rows of n elements, a step apart: four rows for each time that the sums are loaded and stored."""
    cdef Py_ssize_t j, row = 0
    while row + 4 <= rows:
        for j in range(n):
            sums[j] += (<double>x[j] + x[step + j]) + (<double>x[2 * step + j] + x[3 * step + j])
        x += 4 * step
        row += 4
    while row < rows:
        for j in range(n):
            sums[j] += x[j]
        x += step
        row += 1


cdef inline double sum_products_run(const real* g, const real* x, real centre, Py_ssize_t n) noexcept nogil:
    """g_1 (x_1 - centre) + ... + g_n (x_n - centre)."""
    cdef double chains[FEW]
    cdef double total = 0
    cdef Py_ssize_t i = 0, j
    for j in range(FEW):
        chains[j] = 0
    while i + FEW <= n:
        for j in range(FEW):
            chains[j] += g[i + j] * (x[i + j] - centre)
        i += FEW
    while i < n:
        total += g[i] * (x[i] - centre)
        i += 1
    for j in range(FEW):
        total += chains[j]
    return total


cdef inline real larger(real m, real v) noexcept nogil:
    """The larger of the two; nan if one is nan."""
    return v if (v > m) | (v != v) else m        # |, not or: it compiles to a blend


cdef inline real greater(real m, real v) noexcept nogil:
    """The larger of the two; m if one is nan: a single instruction."""
    return v if v > m else m


cdef inline real max_run(const real* x, Py_ssize_t n) noexcept nogil:
    """The largest of x_1, ..., x_n: -inf for n = 0, nan if one is nan."""
    cdef real chains[CHAINS]
    cdef real few[FEW]
    cdef int nans[CHAINS]
    cdef int any_nan = 0
    cdef real m = -<real>simd.INFINITY
    cdef Py_ssize_t i = 0, j
    if n >= CHAINS:
        for j in range(CHAINS):
            chains[j], nans[j] = m, 0
        while i + CHAINS <= n:
            for j in range(CHAINS):
                chains[j] = greater(chains[j], x[i + j])
                nans[j] |= x[i + j] != x[i + j]
            i += CHAINS
        for j in range(CHAINS):
            any_nan |= nans[j]
        for j in range(FEW):
            few[j] = greater(greater(chains[j], chains[8 + j]), greater(chains[16 + j], chains[24 + j]))
        m = greater(greater(greater(few[0], few[1]), greater(few[2], few[3])),
                    greater(greater(few[4], few[5]), greater(few[6], few[7])))
        m = <real>simd.NAN if any_nan else m
    while i < n:
        m = larger(m, x[i])
        i += 1
    return m


cdef inline void turn_rows(const real* x, Py_ssize_t length, Py_ssize_t step, real* columns) noexcept nogil:
    """CHAINS short rows, a step apart, as columns: each becomes a lane of vectors."""
    cdef Py_ssize_t j, l
    for j in range(CHAINS):
        for l in range(length):
            columns[l * CHAINS + j] = x[j * step + l]


cdef inline void max_of_rows(const real* x, Py_ssize_t rows, Py_ssize_t length, Py_ssize_t step,
                             real* m) noexcept nogil:
    """max_run of each row, a step apart."""
    cdef real columns[CHAINS * CHAINS]
    cdef real lanes[CHAINS]
    cdef Py_ssize_t row = 0, j, l
    while length <= CHAINS and row + CHAINS <= rows:
        turn_rows(x + row * step, length, step, columns)
        for j in range(CHAINS):
            lanes[j] = -<real>simd.INFINITY
        for l in range(length):
            for j in range(CHAINS):
                lanes[j] = larger(lanes[j], columns[l * CHAINS + j])
        for j in range(CHAINS):
            m[row + j] = lanes[j]
        row += CHAINS
    while row < rows:
        m[row] = max_run(x + row * step, length)
        row += 1
