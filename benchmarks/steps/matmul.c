/* C = A B, square and row-major, from the definition up to blocks and packing: the steps of docs/matmul.md. */

#include <stddef.h>

typedef ptrdiff_t Py_ssize_t;
#define real float
#define SIZE 4
#include "tile.h"

#define COLUMNS float_tile_columns
#define DEPTH 256
#define BLOCK_COLUMNS 512

static Py_ssize_t least(Py_ssize_t x, Py_ssize_t y) { return x < y ? x : y; }

/* 1. The definition: one sum after the other. */
void definition(Py_ssize_t n, const float *a, const float *b, float *c) {
    for (Py_ssize_t i = 0; i < n; i++)
        for (Py_ssize_t j = 0; j < n; j++) {
            float sum = 0;
            for (Py_ssize_t p = 0; p < n; p++) sum += a[i * n + p] * b[p * n + j];
            c[i * n + j] = sum;
        }
}

/* 2. The same additions with j innermost: rows of B and C are read in order, and the compiler makes vectors of them. */
void row_by_row(Py_ssize_t n, const float *restrict a, const float *restrict b, float *restrict c) {
    for (Py_ssize_t i = 0; i < n; i++) {
        for (Py_ssize_t j = 0; j < n; j++) c[i * n + j] = 0;
        for (Py_ssize_t p = 0; p < n; p++)
            for (Py_ssize_t j = 0; j < n; j++) c[i * n + j] += a[i * n + p] * b[p * n + j];
    }
}

/* 3. A single row of sums, two vectors, stays in registers while p runs. */
void row_in_registers(Py_ssize_t n, const float *a, const float *b, float *c) {
    for (Py_ssize_t i = 0; i < n; i++)
        for (Py_ssize_t j = 0; j < n; j += COLUMNS)
            float_tile(1, least(COLUMNS, n - j), n, a + i * n, n, 1, b + j, n, NULL, 0, c + i * n + j, n);
}

/* 4. A tile of TILE_ROWS such rows: each vector of B is used TILE_ROWS times, each element of A for two vectors. */
void tile_in_registers(Py_ssize_t n, const float *a, const float *b, float *c) {
    for (Py_ssize_t i = 0; i < n; i += TILE_ROWS)
        for (Py_ssize_t j = 0; j < n; j += COLUMNS)
            float_tile(least(TILE_ROWS, n - i), least(COLUMNS, n - j), n, a + i * n, n, 1, b + j, n, NULL, 0,
                       c + i * n + j, n);
}

/* 5. Blocks: DEPTH rows of BLOCK_COLUMNS of B stay in L2 for all tiles below, and a tile's rows of A in L1. */
static void blocked(Py_ssize_t n, const float *a, const float *b, float *c, float *packed) {
    for (Py_ssize_t p = 0; p < n; p += DEPTH)
        for (Py_ssize_t first = 0; first < n; first += BLOCK_COLUMNS)
            for (Py_ssize_t i = 0; i < n; i += TILE_ROWS)
                for (Py_ssize_t j = first; j < least(first + BLOCK_COLUMNS, n); j += COLUMNS) {
                    Py_ssize_t depth = least(DEPTH, n - p), columns = least(COLUMNS, n - j), step = n;
                    const float *panel = b + p * n + j;
                    if (packed) {
                        float *copy = packed + (j - first) * depth;
                        if (i == 0) float_copy(depth, columns, panel, n, copy, COLUMNS);
                        panel = copy;
                        step = COLUMNS;
                    }
                    float_tile(least(TILE_ROWS, n - i), columns, depth, a + i * n + p, n, 1, panel, step,
                               p > 0 ? c + i * n + j : NULL, n, c + i * n + j, n);
                }
}

void blocks(Py_ssize_t n, const float *a, const float *b, float *c) { blocked(n, a, b, c, NULL); }

/* 6. Packing: each tile's columns of the block are copied together when they are first met. */
void packed_blocks(Py_ssize_t n, const float *a, const float *b, float *c) {
    static float packed[DEPTH * BLOCK_COLUMNS];
    blocked(n, a, b, c, packed);
}

/* The speed of light: 24 chains of multiply-adds that wait for nothing but themselves. Returns the operations done. */
double peak(Py_ssize_t times, float *result) {
    float_vector sum[24], x = {0}, y = {0};
    x += 0.5f;
    y += 1.0f;
    for (int i = 0; i < 24; i++) sum[i] = x * (float)i;        /* equal chains would be computed only once */
    for (Py_ssize_t t = 0; t < times; t++) {
        _Pragma("GCC unroll 24") for (int i = 0; i < 24; i++) sum[i] = sum[i] * x + y;
    }
    for (int i = 1; i < 24; i++) sum[0] += sum[i];
    *(float_vector *)result = sum[0];
    return 2.0 * 24 * (VECTOR_BYTES / SIZE) * times;
}

void repeat(Py_ssize_t times, void (*step)(Py_ssize_t, const float *, const float *, float *), Py_ssize_t n,
            const float *a, const float *b, float *c) {
    for (Py_ssize_t t = 0; t < times; t++) step(n, a, b, c);
}
