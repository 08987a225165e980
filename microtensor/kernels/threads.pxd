"""Who shares work among threads, and releases the GIL: parallel_for alone. See threads.pyx."""

cdef enum:
    MAX_PARTS = 64                          # parts that a job is divided into, and so threads that work on it
    UNIT = 16                               # elements: a cache line of float32, which two threads should not share

    # Of how many things a thread should have to do, so that starting it costs less than it saves:
    ELEMENTS_PER_THREAD = 32768             # elements of an elementwise loop
    SUMS_PER_THREAD = 131072                # elements that are only added up
    EXPONENTIALS_PER_THREAD = 8192          # elements with an exponential and a few more passes each
    PRODUCTS_PER_THREAD = 1 << 16           # multiply-adds of vectors in a matrix product: some 10 us

# Things first to last of a job; number tells the parts apart, from 0.
ctypedef void (*Part)(void* job, Py_ssize_t number, Py_ssize_t first, Py_ssize_t last) noexcept nogil

cdef Py_ssize_t num_threads             # how many there may be
cdef void run_parts(Part part, void* job, Py_ssize_t n, Py_ssize_t unit, Py_ssize_t work_per_thread) noexcept nogil


cdef inline Py_ssize_t parts_of(Py_ssize_t n, Py_ssize_t work_per_thread) noexcept nogil:
    """Into how many parts parallel_for divides n things."""
    return 1 if n < 2 * work_per_thread else min(n // work_per_thread, num_threads, MAX_PARTS)


cdef inline void parallel_for(Part part, void* job, Py_ssize_t n, Py_ssize_t unit,
                              Py_ssize_t work_per_thread) noexcept nogil:
    """Call part(job, number, first, last) for all of n things; with or without the GIL.

    Several threads share them where each has at least work_per_thread of them, in whole units. From a quarter of
    that on, the GIL is released; less work takes about as long as releasing it. No part is called without things to do.
    """
    if n >= work_per_thread // 4:
        run_parts(part, job, n, unit, work_per_thread)
    elif n > 0:
        part(job, 0, 0, n)


cdef inline Py_ssize_t share(Py_ssize_t number, Py_ssize_t parts, Py_ssize_t n, Py_ssize_t unit) noexcept nogil:
    """Where a part of n things begins, if near-equal parts are shared out in whole units; number = parts gives n."""
    cdef Py_ssize_t first = ((n + unit - 1) // unit * number + parts - 1) // parts * unit
    return first if first < n else n
