/* What gemm does in vector registers: one tile of C, the two copies that packing needs, and few rows
   of C without tiles.

   gemm.pyx includes this file twice, for float and for double: `real` is the type, SIZE its bytes, and NAME(tile)
   becomes float_tile or double_tile. The vector types are those of GCC and Clang, which compile to whatever the
   instruction set has. Other compilers get vectors of one element: the same tile in scalar registers. */

#ifndef TILE_ROWS

  #include <stdint.h>
  #include <string.h>

  #if !defined(__GNUC__)
    #define VECTOR_BYTES SIZE
    #define TILE_ROWS 6
  #elif defined(__AVX512F__)
    #include <immintrin.h>
    #define VECTOR_BYTES 64
    #define TILE_ROWS 12        /* 12 x 2 sums, 2 vectors of B, 1 element of A: 27 of 32 registers */
  #elif defined(__AVX__)
    #include <immintrin.h>
    #define VECTOR_BYTES 32
    #define TILE_ROWS 6         /* 6 x 2 sums, 2 vectors of B, 1 element of A: 15 of 16 registers */
  #else
    #define VECTOR_BYTES 16
    #define TILE_ROWS 6
  #endif

  #if defined(__GNUC__)
    #define ALWAYS_INLINE static inline __attribute__((always_inline))
  #else
    #define ALWAYS_INLINE static __forceinline
  #endif
  #if defined(__clang__)
    #define UNROLL _Pragma("unroll")
    #define SHUFFLE(x, y, ...) __builtin_shufflevector(x, y, __VA_ARGS__)
  #elif defined(__GNUC__)
    #define UNROLL _Pragma("GCC unroll 16")
    #define SHUFFLE(x, y, ...) __builtin_shuffle(x, y, (NAME(index)){__VA_ARGS__})
  #else
    #define UNROLL
  #endif

  #define PREFETCHED_ROWS 8     /* of B, ahead of the multiply-adds: a hundred cycles, where L2 takes 14 */
  #define JOIN_(a, b) a##_##b
  #define JOIN(a, b) JOIN_(a, b)
  #define NAME(name) JOIN(real, name)
#endif

#define LANES (VECTOR_BYTES / SIZE)
#define vector NAME(vector)
#if SIZE == 4
  #define INTRINSIC(name) name##_ps
  #define INTEGER int32_t
#else
  #define INTRINSIC(name) name##_pd
  #define INTEGER int64_t
#endif

#if defined(__GNUC__)
  typedef real vector __attribute__((vector_size(VECTOR_BYTES), aligned(SIZE), may_alias));
  typedef INTEGER NAME(index) __attribute__((vector_size(VECTOR_BYTES)));
#else
  typedef real vector;
#endif

enum { NAME(tile_columns) = 2 * LANES };


/* -- the first `count` elements of a vector, 1 <= count <= LANES: the memory behind them is not touched ------------ */

#if defined(__GNUC__) && defined(__AVX512F__)

ALWAYS_INLINE vector NAME(load)(const real *from, int count) {
    if (count == LANES) return *(const vector *)from;
    return (vector)INTRINSIC(_mm512_maskz_loadu)((1u << count) - 1, from);
}

ALWAYS_INLINE void NAME(store)(real *to, vector v, int count) {
    if (count == LANES) *(vector *)to = v;
    else                INTRINSIC(_mm512_mask_storeu)(to, (1u << count) - 1, v);
}

#elif defined(__GNUC__) && defined(__AVX__)

ALWAYS_INLINE __m256i NAME(mask)(int count) {
    static const INTEGER ones_then_zeros[2 * LANES] = {-1, -1, -1, -1
    #if SIZE == 4
        , -1, -1, -1, -1
    #endif
    };
    return _mm256_loadu_si256((const __m256i *)(ones_then_zeros + LANES - count));
}

ALWAYS_INLINE vector NAME(load)(const real *from, int count) {
    if (count == LANES) return *(const vector *)from;
    return (vector)INTRINSIC(_mm256_maskload)(from, NAME(mask)(count));
}

#else

ALWAYS_INLINE vector NAME(load)(const real *from, int count) {
    vector v = {0};
    if (count == LANES) return *(const vector *)from;
    UNROLL for (int j = 0; j < LANES; j++)
        if (j < count) ((real *)&v)[j] = from[j];
    return v;
}

#endif

#if !defined(__GNUC__) || !defined(__AVX512F__)

/* In halves, as a masked store of AVX2 is microcode on some processors: twelve cycles on Zen 3. */
ALWAYS_INLINE void NAME(store)(real *to, vector v, int count) {
    const real *from = (const real *)&v;
    if (count == LANES) *(vector *)to = v;
    else {
        UNROLL for (int part = LANES / 2; part > 0; part /= 2)
            if (count & part) {
                memcpy(to, from, part * sizeof(real));
                to += part, from += part;
            }
    }
}

#endif


/* -- the tile ------------------------------------------------------------------------------------------------------ */

/* sum_ij += a_ip b_pj for one p: a points at a_0p, a4 and a8 at a_4p and a_8p, and b at b_p0.

   A processor that begins four instructions in a cycle has room for little but the multiply-adds and the loads they
   need: three pointers into A, each with steps of up to three rows, are addresses without arithmetic. B comes from L2,
   so it is asked for before it is needed, but only for a tile of more than six rows, as a smaller one has fewer
   multiply-adds to hide that behind. */
ALWAYS_INLINE void NAME(add_product)(const int rows, const int vectors, const int last, const real *a, const real *a4,
                                     const real *a8, Py_ssize_t a_row, const real *b, Py_ssize_t b_row,
                                     vector sum[TILE_ROWS][2]) {
    vector b0 = NAME(load)(b, vectors == 1 ? last : LANES), b1 = b0;
    if (vectors == 2) b1 = NAME(load)(b + LANES, last);
    if (rows > 6) prefetch(b + PREFETCHED_ROWS * b_row);
    if (rows > 6 && vectors == 2) prefetch(b + PREFETCHED_ROWS * b_row + LANES);
    UNROLL for (int i = 0; i < rows; i++) {
        real a_i = (i < 4 ? a : i < 8 ? a4 : a8)[i % 4 * a_row];
        sum[i][0] += a_i * b0;
        if (vectors == 2) sum[i][1] += a_i * b1;
    }
}

/* c_ij = start_ij + sum over p of a_ip b_pj, for a number of rows and vectors of C, the last vector with `last`
   columns. No start is a start of zeros.

   rows and vectors, last where it is LANES, and that one of A's strides which is 1 are constants where this is inlined:
   the loops over them are unrolled, and the sums are registers. 12 x 2 of them also hide a multiply-add's latency of 4
   cycles at 2 begun in each. Two p at once halve the loop's own instructions, but where there is a mask, no register is
   left for that. start comes from where C is, and is asked for before it is needed. */
ALWAYS_INLINE void NAME(tile_of)(const int rows, const int vectors, const int last, const int at_once, Py_ssize_t depth,
                                 const real *a, Py_ssize_t a_row, Py_ssize_t a_column, const real *b, Py_ssize_t b_row,
                                 const real *start, Py_ssize_t start_row, real *c, Py_ssize_t c_row) {
    #define ADD_PRODUCT(p) NAME(add_product)(rows, vectors, last, a + (p) * a_column, a4 + (p) * a_column, \
                                             a8 + (p) * a_column, a_row, b + (p) * b_row, b_row, sum)
    vector sum[TILE_ROWS][2], zeros = {0};
    const real *a4 = a + 4 * a_row, *a8 = a + 8 * a_row;
    UNROLL for (int i = 0; i < rows; i++)
        UNROLL for (int v = 0; v < vectors; v++) {
            sum[i][v] = zeros;
            if (start) prefetch(start + i * start_row + v * LANES);
        }
    for (; depth >= at_once; depth -= at_once) {
        ADD_PRODUCT(0);
        if (at_once == 2) ADD_PRODUCT(1);
        a += at_once * a_column, a4 += at_once * a_column, a8 += at_once * a_column;
        b += at_once * b_row;
    }
    if (depth) ADD_PRODUCT(0);
    UNROLL for (int i = 0; i < rows; i++)
        UNROLL for (int v = 0; v < vectors; v++) {
            const int count = v == vectors - 1 ? last : LANES;
            if (start) sum[i][v] += NAME(load)(start + i * start_row + v * LANES, count);
            NAME(store)(c + i * c_row + v * LANES, sum[i][v], count);
        }
    #undef ADD_PRODUCT
}

/* The same for any number of rows up to TILE_ROWS and of columns up to tile_columns. */
ALWAYS_INLINE void NAME(tile_of_any_size)(Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t depth, const real *a,
                                          Py_ssize_t a_row, Py_ssize_t a_column, const real *b, Py_ssize_t b_row,
                                          const real *start, Py_ssize_t start_row, real *c, Py_ssize_t c_row) {
    #define TILE(rows, vectors, last, at_once) \
        NAME(tile_of)(rows, vectors, last, at_once, depth, a, a_row, a_column, b, b_row, start, start_row, c, c_row)
    #define CASE(rows) case rows: \
        if (columns == 2 * LANES)   TILE(rows, 2, LANES, 2);                    \
        else if (columns > LANES)   TILE(rows, 2, (int)columns - LANES, 1);     \
        else                        TILE(rows, 1, (int)columns, 1);             \
        break;
    switch (rows) {
        CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
        #if TILE_ROWS == 12
        CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12)
        #endif
    }
    #undef CASE
    #undef TILE
}

/* The same where A's columns or its rows are adjacent: a_column or a_row is 1. */
static void NAME(tile)(Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t depth,
                       const real *a, Py_ssize_t a_row, Py_ssize_t a_column, const real *b, Py_ssize_t b_row,
                       const real *start, Py_ssize_t start_row, real *c, Py_ssize_t c_row) {
    if (a_column == 1)
        NAME(tile_of_any_size)(rows, columns, depth, a, a_row, 1, b, b_row, start, start_row, c, c_row);
    else
        NAME(tile_of_any_size)(rows, columns, depth, a, 1, a_column, b, b_row, start, start_row, c, c_row);
}


/* -- packing ------------------------------------------------------------------------------------------------------- */

#if LANES == 16
  #define INTERLEAVE_LOW(x, y) SHUFFLE(x, y, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
  #define INTERLEAVE_HIGH(x, y) SHUFFLE(x, y, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#elif LANES == 8
  #define INTERLEAVE_LOW(x, y) SHUFFLE(x, y, 0, 8, 1, 9, 2, 10, 3, 11)
  #define INTERLEAVE_HIGH(x, y) SHUFFLE(x, y, 4, 12, 5, 13, 6, 14, 7, 15)
#elif LANES == 4
  #define INTERLEAVE_LOW(x, y) SHUFFLE(x, y, 0, 4, 1, 5)
  #define INTERLEAVE_HIGH(x, y) SHUFFLE(x, y, 2, 6, 3, 7)
#elif LANES == 2
  #define INTERLEAVE_LOW(x, y) SHUFFLE(x, y, 0, 2)
  #define INTERLEAVE_HIGH(x, y) SHUFFLE(x, y, 1, 3)
#else
  #define INTERLEAVE_LOW(x, y) (x)
  #define INTERLEAVE_HIGH(x, y) (y)
#endif

/* to_pi = from_ip for rows x columns elements, at most LANES x LANES. Row i and row i + LANES / 2 are interleaved into
   two rows, again and again: each pass moves one bit of the row's number into the column's, and when all have moved,
   rows are columns. */
ALWAYS_INLINE void NAME(transpose_square)(const int rows, const int columns, const real *from, Py_ssize_t from_row,
                                          real *to, Py_ssize_t to_row) {
    vector v[LANES], next[LANES + 1], zeros = {0};
    UNROLL for (int i = 0; i < LANES; i++)
        v[i] = i < rows ? NAME(load)(from + i * from_row, columns) : zeros;
    UNROLL for (int pass = 1; pass < LANES; pass *= 2) {
        UNROLL for (int i = 0; i < LANES / 2; i++) {
            next[2 * i] = INTERLEAVE_LOW(v[i], v[i + LANES / 2]);
            next[2 * i + 1] = INTERLEAVE_HIGH(v[i], v[i + LANES / 2]);
        }
        UNROLL for (int i = 0; i < LANES; i++) v[i] = next[i];
    }
    UNROLL for (int p = 0; p < LANES; p++)
        if (p < columns) NAME(store)(to + p * to_row, v[p], rows);
}

/* to_pi = from_ip for any number of rows and columns. */
static void NAME(transpose)(Py_ssize_t rows, Py_ssize_t columns, const real *from, Py_ssize_t from_row,
                            real *to, Py_ssize_t to_row) {
    for (Py_ssize_t i = 0; i < rows; i += LANES)
        for (Py_ssize_t p = 0; p < columns; p += LANES) {
            int height = rows - i < LANES ? (int)(rows - i) : LANES;
            int breadth = columns - p < LANES ? (int)(columns - p) : LANES;
            const real *corner = from + i * from_row + p;
            if (height == LANES && breadth == LANES)
                NAME(transpose_square)(LANES, LANES, corner, from_row, to + p * to_row + i, to_row);
            else
                NAME(transpose_square)(height, breadth, corner, from_row, to + p * to_row + i, to_row);
        }
}

/* to_pj = from_pj. The widths of tiles are constants here, so that copying one row is a move or two. */
ALWAYS_INLINE void NAME(copy_of)(Py_ssize_t rows, Py_ssize_t columns, const real *from, Py_ssize_t from_row,
                                 real *to, Py_ssize_t to_row) {
    for (Py_ssize_t p = 0; p < rows; p++)
        memcpy(to + p * to_row, from + p * from_row, columns * sizeof(real));
}

static void NAME(copy)(Py_ssize_t rows, Py_ssize_t columns, const real *from, Py_ssize_t from_row,
                       real *to, Py_ssize_t to_row) {
    if (columns == TILE_ROWS)       NAME(copy_of)(rows, TILE_ROWS, from, from_row, to, to_row);
    else if (columns == 2 * LANES)  NAME(copy_of)(rows, 2 * LANES, from, from_row, to, to_row);
    else                            NAME(copy_of)(rows, columns, from, from_row, to, to_row);
}


/* -- few rows of A ------------------------------------------------------------------------------------------------- */

#define COLUMNS (LANES > 8 ? LANES : 8)
#define ROWS 8

/* c_j = start_j + sum over p of a_p b_pj for up to COLUMNS columns of B, whose elements are adjacent. Each column has a
   vector of sums, and eight of them hide a multiply-add's latency of 4 cycles at 2 begun in each. Interleaved as above,
   but added in each pass, LANES of them end as one vector with the sum of column j in its lane j. */
ALWAYS_INLINE void NAME(dots_of)(const int columns, Py_ssize_t depth, const real *a, const real *b, Py_ssize_t b_column,
                                 const real *start, real *c) {
    #define ADD_PRODUCTS(width) \
        a_p = NAME(load)(a, width);                                                     \
        UNROLL for (int j = 0; j < COLUMNS; j++)                                        \
            if (j < columns) sum[j] += a_p * NAME(load)(b + j * b_column, width)
    vector sum[COLUMNS], a_p, zeros = {0};
    UNROLL for (int j = 0; j < COLUMNS; j++) sum[j] = zeros;
    if (columns == 1) {     /* all vectors of sums are its own */
        for (; depth >= COLUMNS * LANES; depth -= COLUMNS * LANES, a += COLUMNS * LANES, b += COLUMNS * LANES)
            UNROLL for (int j = 0; j < COLUMNS; j++)
                sum[j] += NAME(load)(a + j * LANES, LANES) * NAME(load)(b + j * LANES, LANES);
        UNROLL for (int j = 1; j < COLUMNS; j++) sum[0] += sum[j];
    }
    for (; depth >= LANES; depth -= LANES, a += LANES, b += LANES) { ADD_PRODUCTS(LANES); }
    if (depth) { ADD_PRODUCTS((int)depth); }
    UNROLL for (int first = 0; first < COLUMNS; first += LANES) {
        UNROLL for (int half = LANES / 2; half > 0; half /= 2)
            UNROLL for (int j = first; j < first + half; j++)
                sum[j] = INTERLEAVE_LOW(sum[j], sum[j + half]) + INTERLEAVE_HIGH(sum[j], sum[j + half]);
        if (first < columns) {
            const int width = columns - first < LANES ? columns - first : LANES;
            if (start) sum[first] += NAME(load)(start + first, width);
            NAME(store)(c + first, sum[first], width);
        }
    }
    #undef ADD_PRODUCTS
}

/* The same for any number of columns, and for several rows of A, whose elements are adjacent, too. */
static void NAME(dots)(Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t depth, const real *a, Py_ssize_t a_row,
                       const real *b, Py_ssize_t b_column, const real *start, Py_ssize_t start_row,
                       real *c, Py_ssize_t c_row) {
    for (Py_ssize_t j = 0; j < columns; j += COLUMNS, b += COLUMNS * b_column)
        for (Py_ssize_t i = 0; i < rows; i++) {
            const real *start_ij = start ? start + i * start_row + j : NULL;
            if (columns - j >= COLUMNS)
                NAME(dots_of)(COLUMNS, depth, a + i * a_row, b, b_column, start_ij, c + i * c_row + j);
            else
                NAME(dots_of)((int)(columns - j), depth, a + i * a_row, b, b_column, start_ij, c + i * c_row + j);
        }
}

/* c_j = from_j + sum over p of a_p b_pj for some rows of B, whose elements are adjacent. */
ALWAYS_INLINE void NAME(axpys_of)(const int rows, Py_ssize_t columns, const real *a, Py_ssize_t a_column,
                                  const real *b, Py_ssize_t b_row, const real *from, real *c) {
    #define ADD_ROWS(width) \
        sum = from ? NAME(load)(from + j, width) : zeros;                           \
        UNROLL for (int p = 0; p < ROWS; p++)                                       \
            if (p < rows) sum += a_p[p] * NAME(load)(b + p * b_row + j, width);     \
        NAME(store)(c + j, sum, width)
    real a_p[ROWS];
    vector sum, zeros = {0};
    Py_ssize_t j = 0;
    UNROLL for (int p = 0; p < ROWS; p++) a_p[p] = p < rows ? a[p * a_column] : 0;
    for (; j + LANES <= columns; j += LANES) { ADD_ROWS(LANES); }
    if (j < columns) { ADD_ROWS((int)(columns - j)); }
    #undef ADD_ROWS
}

/* The same for any number of rows of B: all are read in the order in which they lie, and C once for ROWS of them. */
static void NAME(axpys)(Py_ssize_t columns, Py_ssize_t depth, const real *a, Py_ssize_t a_column,
                        const real *b, Py_ssize_t b_row, const real *start, real *c) {
    for (; depth >= ROWS; depth -= ROWS, a += ROWS * a_column, b += ROWS * b_row, start = c)
        NAME(axpys_of)(ROWS, columns, a, a_column, b, b_row, start, c);
    if (depth) NAME(axpys_of)((int)depth, columns, a, a_column, b, b_row, start, c);
}

#undef LANES
#undef vector
#undef COLUMNS
#undef ROWS
#undef INTRINSIC
#undef INTEGER
#undef INTERLEAVE_LOW
#undef INTERLEAVE_HIGH
