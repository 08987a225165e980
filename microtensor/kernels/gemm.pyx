"""The matrix product C = A B, or C += A B:  c_ij = sum_p a_ip b_pj.

A is (m, k), B (k, n), C (m, n). A and B may have any strides, so that x W^T, g W and g^T x need no transposed copies;
C's rows are contiguous. ``naive_gemm`` is the definition; the tests compare ``gemm`` with it, and docs/matmul.md
derives the one from the other, step by measured step.

How gemm gets fast: everything that is loaded is used many times before it has to be loaded again.

    registers   a tile of C, 12 x 2 vectors with AVX-512: its sums stay there while p runs, and each element of A or B
                that is loaded is used for a whole row or column of the tile (tile.h)
    L1          the tile's rows of A, 12 x DEPTH_BYTES, used again for every tile to the right
    L2          a block of B, DEPTH_BYTES x block_columns, used again for every tile below
    L3          A's rows, packed for the first block of B and kept for the others where these are more than two
    beyond      B, read once, A, once or else once per block of B, and C, read and written once per block of A's columns

The tile reads A and B where they lie, except where they are packed, that is copied into the order in which the tile
reads them: A where its lines would push each other out of L1, and always if neither its columns nor its rows are
adjacent (``packs_a``), B where vectors of it lie across two lines or many tiles use it, and always if its columns are
not adjacent (``packs_b``). This is the scheme of Goto and van de Geijn (Anatomy of High-Performance Matrix
Multiplication, 2008) with A and B in each other's place, as rows of C are contiguous here, and without packing what
needs none. Where A has few rows, little is used twice, and B is read as it lies (``gemm_of_few_rows``).
"""

from microtensor.kernels.simd cimport LINE, prefetch, real
from microtensor.kernels.threads cimport PRODUCTS_PER_THREAD, parallel_for, parts_of, share

import numpy as np

cdef extern from *:
    """
    #include <stdlib.h>
    #if defined(__linux__)
    #include <unistd.h>
    #endif

    #define real float
    #define SIZE 4
    #include "tile.h"
    #undef real
    #undef SIZE
    #define real double
    #define SIZE 8
    #include "tile.h"
    #undef real
    #undef SIZE

    /* The second-level cache of a core; 512 KiB where the system does not say. */
    static Py_ssize_t l2_bytes(void) {
        long bytes = 0;
    #if defined(_SC_LEVEL2_CACHE_SIZE)
        bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
    #endif
        return bytes >= (128 << 10) && bytes <= (4 << 20) ? bytes : 512 << 10;
    }

    /* Each thread's packed block: allocated once, aligned to the vectors, kept for the next product, freed with the
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
    const int float_tile_columns, double_tile_columns
    Py_ssize_t l2_bytes()
    char* get_workspace(size_t bytes) noexcept nogil
    void float_tile(Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t depth, const float* a, Py_ssize_t a_row,
                    Py_ssize_t a_column, const float* b, Py_ssize_t b_row, const float* start, Py_ssize_t start_row,
                    float* c, Py_ssize_t c_row) noexcept nogil
    void double_tile(Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t depth, const double* a, Py_ssize_t a_row,
                     Py_ssize_t a_column, const double* b, Py_ssize_t b_row, const double* start, Py_ssize_t start_row,
                     double* c, Py_ssize_t c_row) noexcept nogil
    void float_transpose(Py_ssize_t rows, Py_ssize_t columns, const float* x, Py_ssize_t x_row, float* y,
                         Py_ssize_t y_row) noexcept nogil
    void double_transpose(Py_ssize_t rows, Py_ssize_t columns, const double* x, Py_ssize_t x_row, double* y,
                          Py_ssize_t y_row) noexcept nogil
    void float_copy(Py_ssize_t rows, Py_ssize_t columns, const float* x, Py_ssize_t x_row, float* y,
                    Py_ssize_t y_row) noexcept nogil
    void double_copy(Py_ssize_t rows, Py_ssize_t columns, const double* x, Py_ssize_t x_row, double* y,
                     Py_ssize_t y_row) noexcept nogil
    void float_dots(Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t depth, const float* a, Py_ssize_t a_row,
                    const float* b, Py_ssize_t b_column, const float* start, Py_ssize_t start_row, float* c,
                    Py_ssize_t c_row) noexcept nogil
    void double_dots(Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t depth, const double* a, Py_ssize_t a_row,
                     const double* b, Py_ssize_t b_column, const double* start, Py_ssize_t start_row, double* c,
                     Py_ssize_t c_row) noexcept nogil
    void float_axpys(Py_ssize_t columns, Py_ssize_t depth, const float* a, Py_ssize_t a_column, const float* b,
                     Py_ssize_t b_row, const float* start, float* c) noexcept nogil
    void double_axpys(Py_ssize_t columns, Py_ssize_t depth, const double* a, Py_ssize_t a_column, const double* b,
                      Py_ssize_t b_row, const double* start, double* c) noexcept nogil

cdef enum:
    DEPTH_BYTES = 1536      # of a row of A or a column of B at once: a tile's rows are 9 KiB with AVX2, 18 with AVX-512
    PACKED_BYTES = 1600     # between packed rows of A: an odd number of lines, so that no two begin in one set of L1
    PANEL = 8               # tiles whose rows of A are packed together where A's rows are adjacent
    STRIP = 8               # columns of A, or rows of B, packed at once for several tiles: their lines stay in L1 then
    FEW_ROWS = 4            # of A, at most, for which dot products with B's columns, each in one piece, are faster
    KEPT_ROWS = 1536        # of A, packed, that are kept for more than two blocks of B: 2.4 MB
    A_FAR = 512             # bytes from one row or column of A to the next, or from one row of B: see packs_a, packs_b
    B_FAR = 4096
    A_REUSE = 8             # tiles that must use what is packed, so that copying it costs less than it saves: A, ...
    B_REUSE = 5             # ... B where the tile would be slow to read it, ...
    B_ORDER = 32            # ... and B where it only gets into order

# B's block takes three quarters of L2; A and C pass through the rest.
cdef Py_ssize_t block_columns = max(3 * l2_bytes() // 4 // DEPTH_BYTES // 32 * 32, 64)


# -- the definition --------------------------------------------------------------------------------------------

cdef void naive_gemm(Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, Matrix a, Matrix b, Matrix start, real* c,
                     Py_ssize_t c_row) noexcept nogil:
    """Each element of C, one after the other."""
    cdef const real* a_data = <const real*>a.data
    cdef const real* b_data = <const real*>b.data
    cdef const real* start_data = <const real*>start.data
    cdef Py_ssize_t i, j, p
    cdef real total
    for i in range(m):
        for j in range(n):
            total = start_data[i * start.row + j] if start_data != NULL else 0
            for p in range(k):
                total += a_data[i * a.row + p * a.column] * b_data[p * b.row + j * b.column]
            c[i * c_row + j] = total


# -- tile by tile ----------------------------------------------------------------------------------------------

cdef inline Py_ssize_t next_part(Py_ssize_t remaining, Py_ssize_t most) noexcept nogil:
    """The size of the next part of what remains: the most, but two middling parts rather than a small last one."""
    return most if remaining >= 2 * most else remaining if remaining <= most else (remaining + 1) // 2


cdef inline const real* start_at(const real* start, Py_ssize_t start_row, Py_ssize_t i, Py_ssize_t j) noexcept nogil:
    """Where C's part from (i, j) on starts, if it does not start with zeros."""
    if start == NULL:
        return NULL
    return start + i * start_row + j


cdef inline bint packs_a(Matrix a, Py_ssize_t size, Py_ssize_t tiles) noexcept nogil:
    """Whether to pack A, of elements of that many bytes; it must be where neither columns nor rows are adjacent.

    Lines far apart lie in few of L1's sets, which then holds few of them, and A's are to stay there while so many tiles
    use each part of it.
    """
    return a.row != 1 and a.column != 1 or max(a.row, a.column) * size >= A_FAR and tiles >= A_REUSE


cdef inline bint packs_b(Matrix b, Py_ssize_t size, Py_ssize_t vector, Py_ssize_t tiles) noexcept nogil:
    """Whether to pack B, of vectors of that many bytes; it must be where its columns are not adjacent.

    A vector across two cache lines is two loads. Where each row is in a page of its own, prefetching ends, and every
    row costs an entry of the table of pages.
    """
    cdef size_t row = b.row * size
    cdef bint slow = (<size_t>b.data | row) % <size_t>vector != 0 or row >= <size_t>B_FAR
    return b.column != 1 or tiles >= (B_REUSE if slow else B_ORDER)


cdef inline void tile(Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t depth, const real* a, Py_ssize_t a_row,
                      Py_ssize_t a_column, const real* b, Py_ssize_t b_row, const real* start, Py_ssize_t start_row,
                      real* c, Py_ssize_t c_row) noexcept nogil:
    if real is float:
        float_tile(rows, columns, depth, a, a_row, a_column, b, b_row, start, start_row, c, c_row)
    else:
        double_tile(rows, columns, depth, a, a_row, a_column, b, b_row, start, start_row, c, c_row)


cdef inline void copy(Py_ssize_t rows, Py_ssize_t columns, const real* x, Py_ssize_t x_row, real* y,
                      Py_ssize_t y_row) noexcept nogil:
    if real is float:
        float_copy(rows, columns, x, x_row, y, y_row)
    else:
        double_copy(rows, columns, x, x_row, y, y_row)


cdef inline void transpose(Py_ssize_t rows, Py_ssize_t columns, const real* x, Py_ssize_t x_row, real* y,
                           Py_ssize_t y_row) noexcept nogil:
    if real is float:
        float_transpose(rows, columns, x, x_row, y, y_row)
    else:
        double_transpose(rows, columns, x, x_row, y, y_row)


cdef void pack_rows(const real* a, Matrix step, Py_ssize_t rows, Py_ssize_t depth, real* packed, Py_ssize_t packed_row,
                    Py_ssize_t packed_column) noexcept nogil:
    """A tile's rows of A, (rows, depth), or some of their columns: in A's order, or else column after column."""
    cdef Py_ssize_t i, p
    if step.column == 1:
        copy(rows, depth, a, step.row, packed, packed_row)
    elif step.row == 1:
        copy(depth, rows, a, step.column, packed, packed_column)
    else:
        for p in range(depth):
            for i in range(rows):
                packed[i + p * packed_column] = a[i * step.row + p * step.column]


cdef Py_ssize_t pack_panel(const real* a, Matrix step, Py_ssize_t rows, Py_ssize_t depth, real* packed,
                           Py_ssize_t packed_row, Py_ssize_t packed_column, Py_ssize_t tile_size) noexcept nogil:
    """The rows of A of the next tile, or of a few where they lie beside each other; returns how many rows these are."""
    cdef Py_ssize_t tiles = 1 if step.column == 1 else PANEL, strip = depth if step.column == 1 else STRIP
    cdef Py_ssize_t i = 0, p = 0, number, height
    while p < depth:
        strip = min(strip, depth - p)
        i = 0
        for number in range(tiles):
            height = next_part(rows - i, TILE_ROWS)
            pack_rows(a + i * step.row + p * step.column, step, height, strip,
                      packed + number * tile_size + p * packed_column, packed_row, packed_column)
            i += height
        p += strip
    return i


cdef inline void pack_columns(const real* b, Matrix step, Py_ssize_t depth, Py_ssize_t columns, real* packed,
                              Py_ssize_t packed_row) noexcept nogil:
    """A tile's columns of B, (depth, columns), row after row."""
    cdef Py_ssize_t j, p
    if step.column == 1:
        copy(depth, columns, b, step.row, packed, packed_row)
    elif step.row == 1:
        transpose(columns, depth, b, step.column, packed, packed_row)
    else:
        for p in range(depth):
            for j in range(columns):
                packed[p * packed_row + j] = b[p * step.row + j * step.column]


cdef inline void ask_for(const real* x, Py_ssize_t x_row, Py_ssize_t rows, Py_ssize_t columns) noexcept nogil:
    """Ask for the cache lines of a part of a matrix, (rows, columns), without waiting for them."""
    cdef Py_ssize_t i, j, line = LINE // sizeof(real)
    for i in range(rows):
        for j in range((columns + line - 1) // line):
            prefetch(x + i * x_row + j * line)


cdef void pack_block(const real* b, Matrix step, Py_ssize_t depth, Py_ssize_t columns, real* packed,
                     Py_ssize_t tile_columns) noexcept nogil:
    """A block of B, (depth, columns), tile after tile; if its columns are adjacent, a strip of all tiles at a time."""
    cdef Py_ssize_t row = 0, first, width, strip = STRIP if step.column == 1 else depth
    while row < depth:
        strip = min(strip, depth - row)
        first = 0
        while first < columns:
            width = min(tile_columns, columns - first)
            if step.column == 1:            # the next strip; behind the last one nothing is read, only asked for
                ask_for(b + (row + strip) * step.row + first, step.row, strip, width)
            pack_columns(b + row * step.row + first * step.column, step, strip, width,
                         packed + first * depth + row * tile_columns, tile_columns)
            first += width
        row += strip


cdef void blocked_gemm(Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, Matrix a, Matrix b, Matrix start, real* c,
                       Py_ssize_t c_row) noexcept nogil:
    """One thread's product, of at most KEPT_ROWS rows: block of B after block of B, for each the tiles row by row."""
    cdef Py_ssize_t tile_columns = float_tile_columns if sizeof(real) == sizeof(float) else double_tile_columns
    cdef Py_ssize_t most = DEPTH_BYTES // sizeof(real)      # columns of A, or rows of B, at once
    cdef Py_ssize_t tile_size = TILE_ROWS * PACKED_BYTES // sizeof(real)
    cdef Py_ssize_t i, j, p, first, last, depth, height, width, number, packed_rows
    cdef bint copies_a = packs_a(a, sizeof(real), n // tile_columns)
    cdef bint copies_b = packs_b(b, sizeof(real), tile_columns // 2 * sizeof(real), m // TILE_ROWS)
    cdef Py_ssize_t kept = KEPT_ROWS // TILE_ROWS if n > 2 * block_columns else PANEL   # tiles whose rows stay packed
    cdef real* packed_a = NULL
    cdef real* packed_b = NULL
    cdef const real* rows                   # where the tile finds A, (height, depth), ...
    cdef const real* columns                # ... and B, (depth, width)
    cdef Py_ssize_t rows_row = a.row, rows_column = a.column
    if copies_a and a.column == 1:
        rows_row = PACKED_BYTES // sizeof(real)
    elif copies_a:
        rows_row, rows_column = 1, TILE_ROWS
    cdef Py_ssize_t columns_step = tile_columns if copies_b else b.row
    if copies_a or copies_b:
        packed_b = <real*>get_workspace(block_columns * DEPTH_BYTES + KEPT_ROWS * PACKED_BYTES)
        if packed_b == NULL:                # no memory for the copies: the definition needs none
            naive_gemm(m, n, k, a, b, start, c, c_row)
            return
        packed_a = packed_b + block_columns * DEPTH_BYTES // sizeof(real)
    p = 0
    while p < k:
        depth = next_part(k - p, most)
        first = 0
        while first < n:
            last = min(first + block_columns, n)
            if first == 0 or kept == PANEL:
                packed_rows = 0
            if copies_b:
                pack_block(<const real*>b.data + p * b.row + first * b.column, b, depth, last - first, packed_b,
                           tile_columns)
            i = number = 0
            while i < m:
                height = next_part(m - i, TILE_ROWS)
                rows = <const real*>a.data + i * a.row + p * a.column
                if copies_a:
                    if i == packed_rows:
                        packed_rows += pack_panel(rows, a, m - i, depth, packed_a + number % kept * tile_size, rows_row,
                                                  rows_column, tile_size)
                    rows = packed_a + number % kept * tile_size
                j = first
                while j < last:
                    width = min(tile_columns, last - j)
                    columns = <const real*>b.data + p * b.row + j * b.column
                    if copies_b:
                        columns = packed_b + (j - first) * depth
                    tile(height, width, depth, rows, rows_row, rows_column, columns, columns_step,
                         start_at(<const real*>start.data, start.row, i, j), start.row, c + i * c_row + j, c_row)
                    j += width
                i += height
                number += 1
            first = last
        start.data, start.row = c, c_row    # the sum up to here
        p += depth


# -- few rows of A ---------------------------------------------------------------------------------------------

cdef inline bint are_pieces(Matrix a, Matrix b) noexcept nogil:
    """Whether each row of A and each column of B lies in one piece, as dot products need it."""
    return a.column == 1 and b.row == 1


cdef inline bint are_few_rows(Py_ssize_t m, Matrix a, Matrix b) noexcept nogil:
    """Whether packing B, or reading it tile by tile, costs more than A's rows gain by it."""
    return m <= FEW_ROWS and are_pieces(a, b) or m == 1 and b.column == 1


cdef void gemm_of_few_rows(Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, Matrix a, Matrix b, Matrix start, real* c,
                           Py_ssize_t c_row) noexcept nogil:
    """As B lies: by dot products with its columns, as those of W^T in x W^T, or by adding multiples of its rows."""
    if real is float:
        if are_pieces(a, b):
            float_dots(m, n, k, <const float*>a.data, a.row, <const float*>b.data, b.column,
                       <const float*>start.data, start.row, c, c_row)
        else:
            float_axpys(n, k, <const float*>a.data, a.column, <const float*>b.data, b.row, <const float*>start.data, c)
    else:
        if are_pieces(a, b):
            double_dots(m, n, k, <const double*>a.data, a.row, <const double*>b.data, b.column,
                        <const double*>start.data, start.row, c, c_row)
        else:
            double_axpys(n, k, <const double*>a.data, a.column, <const double*>b.data, b.row,
                         <const double*>start.data, c)


# -- threads ---------------------------------------------------------------------------------------------------

cdef int rows_of_threads(int threads, Py_ssize_t m, Py_ssize_t n, Py_ssize_t tile_columns) noexcept nogil:
    """Into how many rows of parts to divide C, when threads share it as a grid of equal parts.

    A thread's time goes with its columns of tiles times their rows, and packing takes about as long as one more tile in
    each of the columns.
    """
    cdef Py_ssize_t time, least = -1
    cdef int rows, columns, best = 1
    for rows in range(1, threads + 1):
        if threads % rows == 0:
            columns = threads // rows
            time = (((n + tile_columns - 1) // tile_columns + columns - 1) // columns
                    * ((m + rows - 1) // rows + TILE_ROWS))
            if least < 0 or time < least:
                best, least = rows, time
    return best


cdef Py_ssize_t products_of_vectors(bint single, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k) noexcept nogil:
    """How many multiply-adds of vectors a product takes, which is what its time goes with."""
    cdef Py_ssize_t lanes = (float_tile_columns if single else double_tile_columns) // 2
    return m * ((n + lanes - 1) // lanes) * k


cdef struct GemmJob:
    bint single
    Py_ssize_t m, n, k
    Matrix a, b, start, c
    Py_ssize_t rows, columns    # of parts, as which threads share C


cdef void part_of_c(const GemmJob* job, Py_ssize_t number, real* c) noexcept nogil:
    """One part of C, by one thread."""
    cdef Py_ssize_t tile_columns = float_tile_columns if sizeof(real) == sizeof(float) else double_tile_columns
    cdef Py_ssize_t row, column, rows, i = 0, j = 0, height = job.m, width = job.n
    cdef Matrix a = job.a, b = job.b, start = job.start
    if job.rows * job.columns > 1:
        row, column = number // job.columns, number % job.columns
        i, j = share(row, job.rows, job.m, 1), share(column, job.columns, job.n, tile_columns)
        height = share(row + 1, job.rows, job.m, 1) - i
        width = share(column + 1, job.columns, job.n, tile_columns) - j
        a.data = <real*>a.data + i * a.row
        b.data = <real*>b.data + j * b.column
        start.data = <void*>start_at(<const real*>start.data, start.row, i, j)
        c += i * job.c.row + j
    if height == 0 or width == 0:           # fewer tiles than threads
        return
    if job.k == 0:                          # nothing to add: C = start
        naive_gemm(height, width, 0, a, b, start, c, job.c.row)
        return
    if are_few_rows(job.m, a, b):
        gemm_of_few_rows(height, width, job.k, a, b, start, c, job.c.row)
        return
    while height > 0:
        rows = next_part(height, KEPT_ROWS)
        blocked_gemm(rows, width, job.k, a, b, start, c, job.c.row)
        a.data = <real*>a.data + rows * a.row
        start.data = <void*>start_at(<const real*>start.data, start.row, rows, 0)
        c += rows * job.c.row
        height -= rows


cdef void gemm_part(void* job_pointer, Py_ssize_t _number, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef GemmJob* job = <GemmJob*>job_pointer
    cdef Py_ssize_t number
    for number in range(first, last):
        if job.single:
            part_of_c(job, number, <float*>job.c.data)
        else:
            part_of_c(job, number, <double*>job.c.data)


cdef void gemm_of_one_column(bint single, Py_ssize_t m, Py_ssize_t k, Matrix a, Matrix b, Matrix start,
                             Matrix c) noexcept nogil:
    """As the row C^T = start^T + B^T A^T, where a vector holds many elements of C."""
    cdef Matrix row = Matrix(c.data, m, 1)
    if start.data != NULL:
        if single:
            naive_gemm(m, 1, 0, a, b, start, <float*>c.data, 1)
        else:
            naive_gemm(m, 1, 0, a, b, start, <double*>c.data, 1)
        start = row
    gemm(single, 1, m, k, Matrix(b.data, b.column, b.row), Matrix(a.data, a.column, a.row), start, row)


cdef void gemm(bint single, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, Matrix a, Matrix b, Matrix start,
               Matrix c) noexcept nogil:
    """C = start + A B. The threads share C, and each computes its part alone."""
    cdef GemmJob job
    if m == 0 or n == 0:                    # the other may be any number then, such as 2^60 rows of nothing
        return
    if n == 1 and m > 1 and c.row == 1:
        gemm_of_one_column(single, m, k, a, b, start, c)
        return
    cdef Py_ssize_t products = products_of_vectors(single, m, n, k)
    cdef Py_ssize_t threads = parts_of(products, PRODUCTS_PER_THREAD) if m * n > 1 else 1
    job.single, job.m, job.n, job.k, job.a, job.b, job.start, job.c = single, m, n, k, a, b, start, c
    job.rows = 1
    if threads > 1:
        job.rows = rows_of_threads(<int>threads, m, n, float_tile_columns if single else double_tile_columns)
    job.columns = threads // job.rows
    parallel_for(gemm_part, &job, threads, 1, max(PRODUCTS_PER_THREAD // max(products // threads, 1), 1))


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
    if a.dtype not in (np.float32, np.float64):
        raise ValueError(f"product needs float32 or float64, got {a.dtype}")
    cdef Matrix c = matrix_of(out), start = c if accumulate else Matrix(NULL, 0, 1)
    cdef Py_ssize_t m = a.shape[0], k = a.shape[1], n = b.shape[1]
    if not naive:
        gemm(a.dtype == np.float32, m, n, k, matrix_of(a), matrix_of(b), start, c)
    elif a.dtype == np.float32:
        naive_gemm(m, n, k, matrix_of(a), matrix_of(b), start, <float*>c.data, n)
    else:
        naive_gemm(m, n, k, matrix_of(a), matrix_of(b), start, <double*>c.data, n)
    return out


cdef Matrix matrix_of(object array):
    cdef Py_ssize_t itemsize = array.itemsize
    return Matrix(<void*><size_t>array.ctypes.data, array.strides[0] // itemsize, array.strides[1] // itemsize)
