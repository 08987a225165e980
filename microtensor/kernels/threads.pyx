"""How many threads the kernels use.

A kernel asks ``threads_for(work, least)`` and gets 1 where starting a team costs more than it saves. Elementwise
results do not depend on the number; sums and matrix products are reproducible for a fixed number.

The number starts as MICROTENSOR_NUM_THREADS, else OMP_NUM_THREADS, else the processors this process may run on.
Built without OpenMP, everything runs on one thread. A forked child runs on one thread too: the parent's team is
not there any more, and waiting for it would hang.
"""

import os

cdef extern from *:
    """
    #ifdef _OPENMP
    #define MICROTENSOR_OPENMP 1
    #else
    #define MICROTENSOR_OPENMP 0
    #endif
    #if defined(__clang__)
    #define COMPILER "Clang " __clang_version__
    #elif defined(__GNUC__)
    #define COMPILER "GCC " __VERSION__
    #else
    #define COMPILER "unknown"
    #endif
    """
    bint MICROTENSOR_OPENMP
    const char* COMPILER


cdef int _threads = 1
cdef bint _forked = False


cdef int threads_for(Py_ssize_t work, Py_ssize_t least) noexcept nogil:
    """How many threads to use for so much work, when a thread should have at least so much of it."""
    cdef Py_ssize_t worth = work // least
    return 1 if worth <= 1 else <int>min(worth, _threads)


def get_num_threads():
    """The number of threads that large kernels use."""
    return _threads


def set_num_threads(number):
    """Use at most this many threads in large kernels.

    Args:
        number: an int of at least 1; without OpenMP it has no effect.

    Raises:
        ValueError: if number is below 1.
        RuntimeError: if it is above 1 in a forked process.
    """
    global _threads
    number = int(number)
    if number < 1:
        raise ValueError(f"the number of threads must be at least 1, got {number}")
    if number > 1 and _forked:
        raise RuntimeError("a forked process runs on one thread, as its parent's team of threads is not there any "
                           "more: start the process with the 'spawn' method to use more")
    _threads = number if MICROTENSOR_OPENMP else 1


def has_openmp():
    """Whether this build can use more than one thread."""
    return bool(MICROTENSOR_OPENMP)


def compiler_version():
    """The compiler that made this build, as it names itself."""
    return COMPILER.decode()


def _initial_threads():
    for variable in ("MICROTENSOR_NUM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(variable, "").split(",")[0].strip()
        if value.isdigit() and int(value) >= 1:
            return int(value)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _after_fork():
    global _forked
    _forked = True
    set_num_threads(1)


set_num_threads(_initial_threads())
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
