"""Memory for new arrays, reused from step to step.

A training step frees every activation and gradient that it allocated, and the next one wants the same sizes again.
Handed back to the operating system in between, each page would be mapped and zeroed anew when it is first touched:
a fault of some 0.3 us for 4 KiB, more than computing what goes there. So the memory of a dead array waits here for
the next array of its size.

An array does not know of this: its ``base`` is an Allocation, whose death gives the memory back. Sizes are rounded
up to four classes per power of two, and aligned to cache lines, which are also the widest vectors. Only threads that
hold the GIL come here. A build with the address sanitizer is told which bytes are an array's at any time.

Of small arrays the objects are reused as well, as making and freeing one takes longer than computing what goes there:
``_kept`` holds a reference to each of the last ones of a shape, and one that nobody else holds is the next of its
shape. What users get is another array over the same memory (``lent`` in tensor.pxi), which holds this one.
"""

cimport cython
cimport numpy as cnp
from cpython.ref cimport Py_INCREF, Py_REFCNT, Py_XDECREF, PyObject
from numpy cimport ndarray

from microtensor.kernels.simd cimport LINE

cnp.import_array()

cdef extern from *:
    """
    #include <stdlib.h>
    #if defined(_WIN32)
      #include <malloc.h>
      #define free_aligned _aligned_free
      static void *allocate_aligned(size_t bytes) { return _aligned_malloc(bytes, 64); }
    #else
      #define free_aligned free
      static void *allocate_aligned(size_t bytes) {
          void *memory;
          return posix_memalign(&memory, 64, bytes) ? NULL : memory;
      }
    #endif
    #if defined(__GLIBC__)
      #include <malloc.h>
      static void trim(void) { malloc_trim(0); }
    #else
      static void trim(void) { }
    #endif
    #if defined(__GNUC__)
      #define highest_bit(n) (63 - __builtin_clzll(n))
    #else
      static int highest_bit(size_t n) { int bit = 0; while (n >>= 1) bit++; return bit; }
    #endif
    #define KEPT_BYTES (1 << 15)        /* of an array at most that is kept as an object */
    #if defined(__SANITIZE_ADDRESS__)
      #include <sanitizer/asan_interface.h>
      #undef KEPT_BYTES
      #define KEPT_BYTES 0              /* it is to see each array's end */
    #else
      #define ASAN_POISON_MEMORY_REGION(memory, bytes)
      #define ASAN_UNPOISON_MEMORY_REGION(memory, bytes)
    #endif
    """
    void* allocate_aligned(size_t bytes) noexcept
    void free_aligned(void* memory) noexcept
    const size_t KEPT_BYTES
    int highest_bit(size_t n) noexcept  # the number of the highest bit that is set, n > 0
    void trim() noexcept                # glibc keeps what is freed until it is told
    void forbid "ASAN_POISON_MEMORY_REGION" (void* memory, size_t bytes) noexcept
    void allow "ASAN_UNPOISON_MEMORY_REGION" (void* memory, size_t bytes) noexcept

cdef extern from "Python.h":
    int PyTraceMalloc_Track(unsigned int domain, size_t memory, size_t bytes)
    int PyTraceMalloc_Untrack(unsigned int domain, size_t memory)

cdef enum:
    TRACED = 389047             # the domain under which tracemalloc knows of NumPy's arrays, and so of these
    CLASSES = 4 * 62            # up to 2^64 bytes
    MAX_IDLE = 1 << 28          # bytes that may wait; what comes back beyond that is freed
    SETS = 32                   # of kept arrays: a shape's are in one of them,
    WAYS = 8                    # which has room for so many

cdef double MAX_BYTES = 2.0 ** 62       # of an array


cdef struct Idle:               # written into the waiting memory itself
    Idle* next

cdef Idle* _idle[CLASSES]       # by size class, the last to come back first: its pages may still be in the cache
cdef size_t _idle_bytes = 0


cdef inline size_t size_class(size_t bytes) noexcept:
    """The smallest class with room for that many bytes, over 4: with k = 4 s + t, it has (5 + t) 2^s bytes."""
    cdef size_t last = bytes - 1, s = highest_bit(last) - 2
    return 4 * s + (last >> s) - 4


cdef inline size_t class_bytes(size_t k) noexcept:
    return (5 + k % 4) << (k // 4)


@cython.final
@cython.no_gc
@cython.freelist(64)
cdef class Allocation:
    """The memory of one array."""

    cdef void* memory
    cdef size_t size_class

    def __dealloc__(self):
        global _idle_bytes
        cdef size_t bytes = class_bytes(self.size_class)
        cdef Idle* idle = <Idle*>self.memory
        if idle == NULL:
            return
        PyTraceMalloc_Untrack(TRACED, <size_t>idle)
        if _idle_bytes + bytes > MAX_IDLE:
            free_aligned(idle)
            return
        _idle_bytes += bytes
        allow(idle, sizeof(Idle))
        idle.next = _idle[self.size_class]
        _idle[self.size_class] = idle
        forbid(idle + 1, bytes - sizeof(Idle))


cdef struct Kept:
    PyObject* arrays[WAYS]
    unsigned int turn           # whose place the next one takes

cdef Kept _kept[SETS]


cdef inline Kept* kept_like(int ndim, const Py_ssize_t* shape, int typenum) noexcept:
    """Where arrays of this shape and type are kept, among others."""
    cdef size_t mixed = typenum
    cdef int d
    for d in range(ndim):
        mixed = mixed * 31 + <size_t>shape[d]
    return &_kept[(mixed ^ mixed >> 5) % SETS]


cdef inline bint is_free(PyObject* kept, int ndim, const Py_ssize_t* shape, int typenum) noexcept:
    """Whether a kept array is of this shape and type, and nobody else holds it."""
    cdef int d
    if kept == NULL or Py_REFCNT(<object>kept) != 1:
        return False
    if cnp.PyArray_NDIM(<ndarray>kept) != ndim or cnp.PyArray_TYPE(<ndarray>kept) != typenum \
            or not cnp.PyArray_ISCARRAY(<ndarray>kept):
        return False
    for d in range(ndim):
        if cnp.PyArray_DIM(<ndarray>kept, d) != shape[d]:
            return False
    return True


cdef ndarray new_array(int ndim, Py_ssize_t* shape, int typenum):
    """An uninitialised C-contiguous array of float32, float64, or another type that fits into 8 bytes."""
    cdef Kept* kept = kept_like(ndim, shape, typenum)
    cdef int way
    for way in range(WAYS):
        if is_free(kept.arrays[way], ndim, shape, typenum):
            return <ndarray>kept.arrays[way]
    cdef ndarray array = allocated(ndim, shape, typenum)
    if cnp.PyArray_NBYTES(array) <= <Py_ssize_t>KEPT_BYTES:
        keep(kept, <PyObject*>array)
    return array


cdef void keep(Kept* kept, PyObject* array):
    """Keep an array, in the place of the one that has been kept for longest."""
    cdef PyObject* before = kept.arrays[kept.turn % WAYS]
    Py_INCREF(<object>array)
    kept.arrays[kept.turn % WAYS] = array
    kept.turn += 1
    Py_XDECREF(before)


cdef ndarray allocated(int ndim, Py_ssize_t* shape, int typenum):
    """An array in memory of its own, or of one that died."""
    global _idle_bytes
    cdef size_t bytes = 8
    cdef int d
    cdef double size = 8                            # bytes again, where they would overflow
    for d in range(ndim):
        bytes *= shape[d]
        size *= shape[d]
    if size > MAX_BYTES:
        raise MemoryError(f"no memory for an array of {size:.3g} bytes, shape {[shape[d] for d in range(ndim)]}")
    if typenum == cnp.NPY_FLOAT32:
        bytes //= 2
    cdef Allocation allocation = Allocation.__new__(Allocation)
    allocation.size_class = size_class(bytes if bytes > LINE else LINE)
    allocation.memory = _idle[allocation.size_class]
    if allocation.memory != NULL:
        _idle[allocation.size_class] = _idle[allocation.size_class].next
        _idle_bytes -= class_bytes(allocation.size_class)
    else:
        allocation.memory = allocate_aligned(class_bytes(allocation.size_class))
        if allocation.memory == NULL:
            raise MemoryError(f"no memory for an array of {bytes} bytes, shape {[shape[d] for d in range(ndim)]}")
    PyTraceMalloc_Track(TRACED, <size_t>allocation.memory, bytes)
    allow(allocation.memory, bytes)
    forbid(<char*>allocation.memory + bytes, class_bytes(allocation.size_class) - bytes)
    cdef ndarray array = cnp.PyArray_SimpleNewFromData(ndim, <cnp.npy_intp*>shape, typenum, allocation.memory)
    cnp.set_array_base(array, allocation)
    return array


def idle_bytes():
    """How many bytes wait for the next step."""
    return _idle_bytes


def empty_cache():
    """Give the memory that waits for the next step back to the operating system.

    Worth calling after the largest part of a program is over. At most 256 MiB wait at any time, and 8 MiB in small
    arrays, which tracemalloc counts as used.

    >>> import microtensor as mt
    >>> mt.empty_cache()
    """
    global _idle_bytes
    cdef int k, way
    cdef Idle* idle
    cdef PyObject* array
    for k in range(SETS):
        for way in range(WAYS):
            array, _kept[k].arrays[way] = _kept[k].arrays[way], NULL
            Py_XDECREF(array)
    for k in range(CLASSES):
        while _idle[k] != NULL:
            idle = _idle[k]
            _idle[k] = idle.next
            free_aligned(idle)
    _idle_bytes = 0
    trim()
