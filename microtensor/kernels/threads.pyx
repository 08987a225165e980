"""How many threads the kernels use, and the one loop that starts them.

A kernel describes its work in a struct, the job, and hands over a function for a part of it: ``parallel_for`` (in
threads.pxd) calls that function for the whole, or in several threads for a part each, and releases the GIL meanwhile.
Work in two phases is two calls. Elementwise results do not depend on the number of threads; sums and matrix products
are reproducible for a fixed number.

The number starts as MICROTENSOR_NUM_THREADS, else OMP_NUM_THREADS, else the processors this process may run on.
On Linux the others of a team are kept off the processor on which the thread that called them was when they began: a
thread is often woken on the processor of its waker, and would wait there until that waits for it. Where OMP_PROC_BIND,
OMP_PLACES or GOMP_CPU_AFFINITY is set, that decides where threads run.
Built without OpenMP, everything runs on one thread. A forked child runs on one thread too: the parent's team is
not there any more, and waiting for it would hang.
"""

from cython.parallel cimport prange

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

    /* Where a thread runs, and where else it may: keep_apart is called by each of a team with its caller's place, and
       does something when the caller has moved. */
    #if MICROTENSOR_OPENMP && defined(__linux__)
    #include <sched.h>
    typedef struct { int processor; cpu_set_t others; } Place;
    static __thread Place place = {-1};
    static __thread int apart_from = -1;

    static const Place *current_place(void) {
        int processor = sched_getcpu();
        if (processor != place.processor) {
            if (processor < 0 || sched_getaffinity(0, sizeof place.others, &place.others)) CPU_ZERO(&place.others);
            else CPU_CLR(processor, &place.others);
            place.processor = processor;
        }
        return &place;
    }

    static void keep_apart(const Place *caller) {
        if (!caller || caller == &place || caller->processor == apart_from) return;
        apart_from = caller->processor;
        if (CPU_COUNT(&caller->others)) sched_setaffinity(0, sizeof caller->others, &caller->others);
    }
    #else
    typedef struct { int processor; } Place;
    #define current_place() NULL
    #define keep_apart(caller)
    #endif
    """
    bint MICROTENSOR_OPENMP
    const char* COMPILER
    ctypedef struct Place:
        pass
    const Place* current_place() noexcept nogil
    void keep_apart(const Place* caller) noexcept nogil


cdef Py_ssize_t num_threads = 1
cdef bint _forked = False
cdef bint _keeps_apart = not {"OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY"} & set(os.environ)


cdef void run_parts(Part part, void* job, Py_ssize_t n, Py_ssize_t unit, Py_ssize_t work_per_thread) noexcept nogil:
    """parallel_for, for work that is worth releasing the GIL."""
    cdef Py_ssize_t number, parts = parts_of(n, work_per_thread)
    cdef const Place* caller
    with nogil:                                     # does nothing where the GIL is not held (Cython 3.2)
        if parts == 1:                              # starting a team costs time even for one thread
            run_part(part, job, 0, 1, n, unit)
        else:
            caller = current_place() if _keeps_apart else NULL
            for number in prange(parts, num_threads=<int>parts, schedule="static"):
                keep_apart(caller)
                run_part(part, job, number, parts, n, unit)


cdef inline void run_part(Part part, void* job, Py_ssize_t number, Py_ssize_t parts, Py_ssize_t n,
                          Py_ssize_t unit) noexcept nogil:
    cdef Py_ssize_t first = share(number, parts, n, unit), last = share(number + 1, parts, n, unit)
    if first < last:
        part(job, number, first, last)


def get_num_threads():
    """The number of threads that large kernels use."""
    return num_threads


def set_num_threads(number):
    """Use at most this many threads in large kernels.

    Args:
        number: an int of at least 1; without OpenMP it has no effect.

    Raises:
        ValueError: if number is below 1.
        RuntimeError: if it is above 1 in a forked process.
    """
    global num_threads
    number = int(number)
    if number < 1:
        raise ValueError(f"the number of threads must be at least 1, got {number}")
    if number > 1 and _forked:
        raise RuntimeError("a forked process runs on one thread, as its parent's team of threads is not there any "
                           "more: start the process with the 'spawn' method to use more")
    num_threads = number if MICROTENSOR_OPENMP else 1


def has_openmp():
    """Whether this build can use more than one thread."""
    return bool(MICROTENSOR_OPENMP)


def compiler_version():
    """The compiler that made this build, as it names itself."""
    return COMPILER.decode()


def _initial_threads():
    for variable in ("MICROTENSOR_NUM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(variable, "").split(",")[0].strip()
        if value.isascii() and value.isdigit() and int(value) >= 1:
            return min(int(value), MAX_PARTS)       # kernels have no more parts than that
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
