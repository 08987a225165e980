"""When to go parallel, and with how many threads: the only place that decides."""

cdef enum:
    PARALLEL_ELEMENTS = 32768       # elementwise loops of fewer elements stay on one thread
    RELEASE_ELEMENTS = 8192         # and of fewer than this hold the GIL: releasing it costs more

cdef int threads_for(Py_ssize_t work, Py_ssize_t least) noexcept nogil
