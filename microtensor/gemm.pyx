"""The matrix product C = A B, or C += A B:  c_ij = sum_p a_ip b_pj.

A is (m, k), B (k, n), C (m, n). A and B may have any strides, so that x W^T, g W and g^T x need no transposed copies;
C's rows are contiguous. ``naive_gemm`` is the definition, and what the tests hold ``gemm`` against.

How gemm gets fast (the scheme of Goto and van de Geijn, Anatomy of High-Performance Matrix Multiplication, 2008):

    registers   a tile of C, ROWS x COLUMNS, stays in vector registers while k runs: each element of A and B that is
                loaded is used COLUMNS or ROWS times
    L1          a panel of B, DEPTH x COLUMNS, is used again for every tile of rows
    L2          a block of A, BLOCK_ROWS x DEPTH, is used again for every panel of B
    L3          a block of B, DEPTH x BLOCK_COLUMNS

A's block and B's block are packed: copied in the order in which the tile loop reads them, whatever their strides.
"""

from cython.parallel cimport prange
from libc.string cimport memset

from microtensor.simd cimport real
from microtensor.threads cimport share, threads_for

import numpy as np

cdef extern from *:
    """
    #include <stdlib.h>

    #if defined(__AVX512F__)
      #define VECTOR_BYTES 64
      #define TILE_ROWS 12
    #elif defined(__AVX__)
      #define VECTOR_BYTES 32
      #define TILE_ROWS 6
    #else
      #define VECTOR_BYTES 16
      #define TILE_ROWS 6
    #endif
    #define TILE_BYTES (2 * VECTOR_BYTES)

    /* tile[i][j] = sum over p of a[p][i] b[p][j], from packed panels: a (depth, TILE_ROWS), b (depth, TILE_BYTES).
       The sums fill the vector registers: 12 of 16 with AVX2, 24 of 32 with AVX-512. */
    #if defined(__GNUC__)
    #define DEFINE_TILE(real)                                                                              \\
    typedef real real##_vector __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real)), may_alias)); \\
    static void real##_tile(Py_ssize_t depth, const real *a, const real *b, real *tile) {                  \\
        enum { width = VECTOR_BYTES / sizeof(real) };                                                      \\
        real##_vector sum[TILE_ROWS][2] = {{{0}}};                                                         \\
        for (Py_ssize_t p = 0; p < depth; p++) {                                                           \\
            real##_vector b0 = *(const real##_vector *)b, b1 = *(const real##_vector *)(b + width);        \\
            _Pragma("GCC unroll 16")                                                                       \\
            for (int i = 0; i < TILE_ROWS; i++) {                                                          \\
                sum[i][0] += a[i] * b0;                                                                    \\
                sum[i][1] += a[i] * b1;                                                                    \\
            }                                                                                              \\
            a += TILE_ROWS;                                                                                \\
            b += 2 * width;                                                                                \\
        }                                                                                                  \\
        _Pragma("GCC unroll 16")                                                                           \\
        for (int i = 0; i < TILE_ROWS; i++) {                                                              \\
            *(real##_vector *)(tile + i * 2 * width) = sum[i][0];                                          \\
            *(real##_vector *)(tile + i * 2 * width + width) = sum[i][1];                                  \\
        }                                                                                                  \\
    }
    #else
    #define DEFINE_TILE(real)                                                                              \\
    static void real##_tile(Py_ssize_t depth, const real *a, const real *b, real *tile) {                  \\
        enum { columns = TILE_BYTES / sizeof(real) };                                                      \\
        for (int i = 0; i < TILE_ROWS * columns; i++) tile[i] = 0;                                         \\
        for (Py_ssize_t p = 0; p < depth; p++, a += TILE_ROWS, b += columns)                               \\
            for (int i = 0; i < TILE_ROWS; i++)                                                            \\
                for (int j = 0; j < columns; j++) tile[i * columns + j] += a[i] * b[j];                    \\
    }
    #endif
    DEFINE_TILE(float)
    DEFINE_TILE(double)

    /* Each thread's packed blocks: allocated once, aligned to the vectors, kept for the next product, freed with the
       thread. */
    #if defined(_WIN32)
    #include <malloc.h>
    static __declspec(thread) char *workspace;
    static char *get_workspace(size_t bytes) {
        if (!workspace) workspace = (char *)_aligned_malloc(bytes, 64);
        return workspace;
    }
    #else
    #include <pthread.h>
    static pthread_key_t workspace_key;
    static pthread_once_t workspace_once = PTHREAD_ONCE_INIT;
    static void make_workspace_key(void) { pthread_key_create(&workspace_key, free); }
    static char *get_workspace(size_t bytes) {
        void *workspace;
        pthread_once(&workspace_once, make_workspace_key);
        workspace = pthread_getspecific(workspace_key);
        if (!workspace && posix_memalign(&workspace, 64, bytes) == 0) pthread_setspecific(workspace_key, workspace);
        return (char *)workspace;
    }
    #endif
    """
    const int TILE_ROWS
    const int TILE_BYTES
    void float_tile(Py_ssize_t depth, const float* a, const float* b, float* tile) noexcept nogil
    void double_tile(Py_ssize_t depth, const double* a, const double* b, double* tile) noexcept nogil
    char* get_workspace(size_t size) noexcept nogil

cdef enum:
    DEPTH = 256             # B's panel, DEPTH * TILE_BYTES: 16 KiB with AVX2, 32 KiB with AVX-512, in L1
    BLOCK_ROWS = 144        # A's block, 144 KiB of float, 288 of double, in a 512 KiB L2; a multiple of TILE_ROWS
    BLOCK_BYTES = 8192      # B's block, DEPTH * BLOCK_BYTES: 2 MiB of a shared L3
    TINY = 64               # products of fewer multiplications are computed by the definition
    THREAD_WORK = 1 << 20   # multiplications (some 10 us of one core) that pay for one more thread


# -- the definition --------------------------------------------------------------------------------------------

cdef void naive_gemm(Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, const real* a, Layout a_step, const real* b,
                     Layout b_step, real* c, Py_ssize_t c_row, bint accumulate) noexcept nogil:
    """Each element of C, one after the other."""
    cdef Py_ssize_t i, j, p
    cdef real total
    for i in range(m):
        for j in range(n):
            total = c[i * c_row + j] if accumulate else 0
            for p in range(k):
                total += a[i * a_step.row + p * a_step.column] * b[p * b_step.row + j * b_step.column]
            c[i * c_row + j] = total


# -- packed ----------------------------------------------------------------------------------------------------

cdef void pack_a(const real* a, Layout step, Py_ssize_t rows, Py_ssize_t depth, real* packed) noexcept nogil:
    """A's block as panels of TILE_ROWS rows, each (depth, TILE_ROWS), zeros below the last row."""
    cdef Py_ssize_t i, p, first = 0, height
    while first < rows:
        height = rows - first if rows - first < TILE_ROWS else TILE_ROWS
        if height < TILE_ROWS:
            memset(packed, 0, depth * TILE_ROWS * sizeof(real))
        if step.column == 1:
            for i in range(height):
                for p in range(depth):
                    packed[p * TILE_ROWS + i] = a[(first + i) * step.row + p]
        else:
            for p in range(depth):
                for i in range(height):
                    packed[p * TILE_ROWS + i] = a[(first + i) * step.row + p * step.column]
        packed += depth * TILE_ROWS
        first += TILE_ROWS


cdef void pack_b(const real* b, Layout step, Py_ssize_t depth, Py_ssize_t columns, real* packed) noexcept nogil:
    """B's block as panels of a tile's columns, each (depth, tile columns), zeros right of the last column."""
    cdef Py_ssize_t j, p, first = 0, width, tile_columns = TILE_BYTES // sizeof(real)
    while first < columns:
        width = columns - first if columns - first < tile_columns else tile_columns
        if width < tile_columns:
            memset(packed, 0, depth * tile_columns * sizeof(real))
        if step.column == 1:
            for p in range(depth):
                for j in range(width):
                    packed[p * tile_columns + j] = b[p * step.row + first + j]
        else:
            for j in range(width):
                for p in range(depth):
                    packed[p * tile_columns + j] = b[p * step.row + (first + j) * step.column]
        packed += depth * tile_columns
        first += tile_columns


cdef void multiply_blocks(Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t depth, const real* packed_a,
                          const real* packed_b, real* c, Py_ssize_t c_row, bint accumulate) noexcept nogil:
    """The product of a packed block of A (rows, depth) and one of B (depth, columns), tile by tile."""
    cdef Py_ssize_t i = 0, j = 0, r, s, height, width, tile_columns = TILE_BYTES // sizeof(real)
    cdef real tile[1024]
    cdef real* target
    while j < columns:
        width = columns - j if columns - j < tile_columns else tile_columns
        i = 0
        while i < rows:
            height = rows - i if rows - i < TILE_ROWS else TILE_ROWS
            if real is float:
                float_tile(depth, packed_a + i * depth, packed_b + j * depth, tile)
            else:
                double_tile(depth, packed_a + i * depth, packed_b + j * depth, tile)
            for r in range(height):
                target = c + (i + r) * c_row + j
                if accumulate:
                    for s in range(width):
                        target[s] += tile[r * tile_columns + s]
                else:
                    for s in range(width):
                        target[s] = tile[r * tile_columns + s]
            i += TILE_ROWS
        j += tile_columns


cdef void packed_gemm(Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, const real* a, Layout a_step, const real* b,
                      Layout b_step, real* c, Py_ssize_t c_row, bint accumulate) noexcept nogil:
    """One thread's product, block by block."""
    cdef Py_ssize_t block_columns = BLOCK_BYTES // sizeof(real)
    cdef Py_ssize_t i, j, p, rows, columns, depth
    cdef real* packed_a = <real*>get_workspace((BLOCK_ROWS * DEPTH) * sizeof(double) + DEPTH * BLOCK_BYTES)
    cdef real* packed_b
    if packed_a == NULL:                    # no memory for the blocks: the definition needs none
        naive_gemm(m, n, k, a, a_step, b, b_step, c, c_row, accumulate)
        return
    packed_b = <real*>(<char*>packed_a + (BLOCK_ROWS * DEPTH) * sizeof(double))
    j = 0
    while j < n:
        columns = n - j if n - j < block_columns else block_columns
        p = 0
        while p < k:
            depth = k - p if k - p < DEPTH else DEPTH
            pack_b(b + p * b_step.row + j * b_step.column, b_step, depth, columns, packed_b)
            i = 0
            while i < m:
                rows = m - i if m - i < BLOCK_ROWS else BLOCK_ROWS
                pack_a(a + i * a_step.row + p * a_step.column, a_step, rows, depth, packed_a)
                multiply_blocks(rows, columns, depth, packed_a, packed_b, c + i * c_row + j, c_row, accumulate or p > 0)
                i += BLOCK_ROWS
            p += DEPTH
        j += block_columns


cdef void gemm(Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, const real* a, Layout a_step, const real* b, Layout b_step,
               real* c, Py_ssize_t c_row, bint accumulate) noexcept nogil:
    """C = A B, or C += A B: the threads share C out by rows or by columns, whichever there are more of."""
    cdef Py_ssize_t part, parts, first, count, tile_columns = TILE_BYTES // sizeof(real)
    if m * n * k < TINY:
        naive_gemm(m, n, k, a, a_step, b, b_step, c, c_row, accumulate)
        return
    parts = threads_for(m * n * k, THREAD_WORK)
    if parts == 1:
        packed_gemm(m, n, k, a, a_step, b, b_step, c, c_row, accumulate)
        return
    for part in prange(parts, num_threads=<int>parts, schedule="static"):
        if m >= n:
            first = share(part, parts, m, TILE_ROWS)
            count = share(part + 1, parts, m, TILE_ROWS) - first
            if count > 0:
                packed_gemm(count, n, k, a + first * a_step.row, a_step, b, b_step, c + first * c_row, c_row,
                            accumulate)
        else:
            first = share(part, parts, n, tile_columns)
            count = share(part + 1, parts, n, tile_columns) - first
            if count > 0:
                packed_gemm(m, count, k, a, a_step, b + first * b_step.column, b_step, c + first, c_row, accumulate)


# -- for tests and for reading ----------------------------------------------------------------------------------

def product(a, b, out=None, *, bint naive=False):
    """a @ b of two NumPy matrices by gemm or by the definition; with out, added to it.

    Args:
        a, b: arrays (m, k) and (k, n) of one dtype, float32 or float64, with any strides.
        out: a C-contiguous array (m, n) to add to, or None for a new one.
        naive: use the definition.

    Raises:
        ValueError: if shapes or dtypes do not match.

    >>> import numpy as np
    >>> product(np.eye(2), np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([[1., 2.],
           [3., 4.]])
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0] or a.dtype != b.dtype:
        raise ValueError(f"product needs matrices (m, k) and (k, n) of one dtype, got {a.shape} {a.dtype} and "
                         f"{b.shape} {b.dtype}")
    accumulate = out is not None
    if not accumulate:
        out = np.empty((a.shape[0], b.shape[1]), a.dtype)
    if out.shape != (a.shape[0], b.shape[1]) or out.dtype != a.dtype or not out.flags.c_contiguous:
        raise ValueError(f"out must be C-contiguous {(a.shape[0], b.shape[1])} {a.dtype}, got {out.shape} {out.dtype}")
    if a.dtype == np.float32:
        _product[float](a, b, out, accumulate, naive)
    elif a.dtype == np.float64:
        _product[double](a, b, out, accumulate, naive)
    else:
        raise ValueError(f"product needs float32 or float64, got {a.dtype}")
    return out


cdef void _product(object a, object b, object out, bint accumulate, bint naive, real* _ = NULL):
    cdef Layout a_step, b_step
    cdef const real* a_data = <const real*><size_t>a.ctypes.data
    cdef const real* b_data = <const real*><size_t>b.ctypes.data
    cdef real* out_data = <real*><size_t>out.ctypes.data
    cdef Py_ssize_t m = a.shape[0], k = a.shape[1], n = b.shape[1]
    a_step.row, a_step.column = a.strides[0] // a.itemsize, a.strides[1] // a.itemsize
    b_step.row, b_step.column = b.strides[0] // b.itemsize, b.strides[1] // b.itemsize
    with nogil:
        if naive:
            naive_gemm(m, n, k, a_data, a_step, b_data, b_step, out_data, n, accumulate)
        else:
            gemm(m, n, k, a_data, a_step, b_data, b_step, out_data, n, accumulate)
