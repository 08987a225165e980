"""When to go parallel, and with how many threads: the only place that decides."""

cdef enum:
    PARALLEL_ELEMENTS = 32768       # elementwise loops of fewer elements stay on one thread
    RELEASE_ELEMENTS = 8192         # and of fewer than this hold the GIL: releasing it costs more

cdef int threads_for(Py_ssize_t work, Py_ssize_t least) noexcept nogil


cdef inline Py_ssize_t share(Py_ssize_t part, Py_ssize_t parts, Py_ssize_t n, Py_ssize_t unit) noexcept nogil:
    """Where a part of n things begins, if near-equal parts are shared out in whole units; part = parts gives n."""
    cdef Py_ssize_t first = ((n + unit - 1) // unit * part + parts - 1) // parts * unit
    return first if first < n else n
