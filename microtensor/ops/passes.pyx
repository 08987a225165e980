"""What reductions share: passes over all elements of an array, whichever dimensions are reduced.

A reduction is one pass over x, or two where the first finds what the second is taken about: the mean, the largest.
Outputs come tile by tile, so that a second pass finds x in the cache, and the elements of a tile in the order in which
they lie in memory (see axes.pyx). Threads share the tiles, or where there are few outputs the elements of each tile;
results are reproducible for a fixed number of threads.

Sums are taken in double, so a float32 sum of ten million elements is right to its last digit.
"""

cimport numpy as cnp
from cython.parallel cimport prange
from numpy cimport ndarray

from microtensor.kernels cimport simd
from microtensor.core cimport is_single
from microtensor.ops.axes cimport Dims, Grid, make_grid, offset_of
from microtensor.kernels.sums cimport larger, max_run, sum_run, sum_squares_run
from microtensor.kernels.simd cimport real
from microtensor.kernels.threads cimport PARALLEL_ELEMENTS, RELEASE_ELEMENTS, share, threads_for

cnp.import_array()

cdef enum:
    TILE = 2048                 # outputs at a time: their partial results stay in the first-level cache
    SHARED_TILE = 64            # outputs at a time where threads share the elements: partial results for each thread
    TILE_ELEMENTS = 32768       # elements at a time that a second pass finds in the second-level cache
    MAX_PARTS = 64              # threads with partial results each
    LEAST = 4 * PARALLEL_ELEMENTS       # elements for a thread: an addition costs little beside starting a team
    UNIT = 16                   # elements: threads split them at whole cache lines


# -- one pass over some elements ------------------------------------------------------------------------------

cdef struct Block:
    Py_ssize_t outputs, output_step     # how many, and from an element to the one of the next output
    Py_ssize_t length, length_step      # how many elements each is made of, and from one to the next
    bint columns                        # output_step is 1; otherwise length_step is


cdef inline double join(Kind kind, double a, double b) noexcept nogil:
    """Two partial results as one."""
    return larger(a, b) if kind == LARGEST else a + b


cdef inline double nothing(Kind kind) noexcept nogil:
    """The result of no elements."""
    return -<double>simd.INFINITY if kind == LARGEST else 0


cdef double of_run(Kind kind, const real* x, double centre, Py_ssize_t n) noexcept nogil:
    """The result of n consecutive elements."""
    cdef Py_ssize_t i = 0, j, m
    cdef real c = <real>centre
    cdef real e[TILE]
    cdef double total = 0
    if kind == SUM:
        return sum_run(x, n)
    if kind == SQUARES:
        return sum_squares_run(x, centre, n)
    if kind == LARGEST:
        return max_run(x, n)
    if kind == TIES:
        for i in range(n):
            total += x[i] == c
        return total
    while i < n:
        m = min(TILE, n - i)
        for j in range(m):
            e[j] = simd.exp(x[i + j] - c)
        total += sum_run(e, m)
        i += m
    return total


cdef void add_columns(Kind kind, const real* x, Block block, const double* centre, double* result) noexcept nogil:
    """Add rows of neighbouring outputs' elements to their results."""
    cdef Py_ssize_t _l, j, n = block.outputs, step = block.length_step, four = 0
    cdef real c[TILE]
    if kind == SUM:
        four = block.length // 4 * 4            # fewer results to load and store
        for _l in range(0, four, 4):
            for j in range(n):
                result[j] += (<double>x[j] + x[step + j]) + (<double>x[2 * step + j] + x[3 * step + j])
            x += 4 * step
    elif kind == LARGEST:
        for j in range(n):
            c[j] = <real>result[j]
    elif kind == EXPONENTIALS or kind == TIES:
        for j in range(n):
            c[j] = <real>centre[j]
    for _l in range(four, block.length):
        if kind == SUM:
            for j in range(n):
                result[j] += x[j]
        elif kind == SQUARES:
            for j in range(n):
                result[j] += (x[j] - centre[j]) * (x[j] - centre[j])
        elif kind == LARGEST:
            for j in range(n):
                c[j] = larger(c[j], x[j])
        elif kind == EXPONENTIALS:
            for j in range(n):
                result[j] += simd.exp(x[j] - c[j])
        else:
            for j in range(n):
                result[j] += 1 if x[j] == c[j] else 0
        x += step
    if kind == LARGEST:
        for j in range(n):
            result[j] = c[j]


cdef void add_narrow(Kind kind, const real* x, Block block, const double* centre, double* result) noexcept nogil:
    """add_columns where rows of few outputs follow each other: several rows are taken as a wide one."""
    cdef Py_ssize_t k, j, n = block.outputs, times = SHARED_TILE // n
    cdef double wide_result[SHARED_TILE]
    cdef double wide_centre[SHARED_TILE]
    cdef Block wide = block
    wide.outputs, wide.length, wide.length_step = times * n, block.length // times, times * n
    for k in range(SHARED_TILE):
        wide_result[k] = nothing(kind)
        wide_centre[k] = centre[k % n]
    add_columns(kind, x, wide, wide_centre, wide_result)
    for k in range(times):
        for j in range(n):
            result[j] = join(kind, result[j], wide_result[k * n + j])
    block.length -= wide.length * times
    add_columns(kind, x + wide.length * wide.length_step, block, centre, result)


cdef void add_short_exponentials(const real* x, Block block, const double* centre, double* result) noexcept nogil:
    """Add each output's run of few elements: exponentials are taken of many runs at a time, in one vector loop."""
    cdef Py_ssize_t first = 0, j, l, runs, n = block.length
    cdef real e[TILE]
    while first < block.outputs:
        runs = min(TILE // n, block.outputs - first)
        for j in range(runs):
            for l in range(n):
                e[j * n + l] = x[(first + j) * block.output_step + l] - <real>centre[first + j]
        for l in range(runs * n):
            e[l] = simd.exp(e[l])
        for j in range(runs):
            result[first + j] += sum_run(e + j * n, n)
        first += runs


cdef void add_block(Kind kind, const real* x, Block block, const double* centre, double* result) noexcept nogil:
    cdef Py_ssize_t j
    if kind == EXPONENTIALS and not block.columns and 0 < block.length <= TILE // 2:
        add_short_exponentials(x, block, centre, result)
    elif not block.columns:
        for j in range(block.outputs):
            result[j] = join(kind, result[j], of_run(kind, x + j * block.output_step, centre[j], block.length))
    elif block.outputs == block.length_step and block.outputs <= SHARED_TILE // 2 \
            and block.outputs * block.length >= 4 * SHARED_TILE:
        add_narrow(kind, x, block, centre, result)
    else:
        add_columns(kind, x, block, centre, result)


# -- one pass over the elements of a tile ---------------------------------------------------------------------
# They are numbered, for threads to share: by the groups outside the loops, or without such by the loop's length.

cdef inline Py_ssize_t count_elements(const Grid* grid) noexcept nogil:
    return grid.length.size if grid.reduced_groups == 0 else grid.reduced_count


cdef inline Block block_of(const Grid* grid, Py_ssize_t outputs) noexcept nogil:
    cdef Block block
    block.outputs, block.output_step = outputs, grid.outputs.step
    block.length, block.length_step = grid.length.size, grid.length.step
    block.columns = grid.columns
    return block


cdef void add_elements(Kind kind, const real* x, const Grid* grid, Py_ssize_t outputs, const double* centre,
                       double* result, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef Block block = block_of(grid, outputs)
    cdef Py_ssize_t k
    if grid.reduced_groups == 0:
        block.length = last - first
        add_block(kind, x + first * block.length_step, block, centre, result)
    else:
        for k in range(first, last):
            add_block(kind, x + offset_of(grid.reduced, grid.reduced_groups, k), block, centre, result)


cdef void add_all(Kind kind, const real* x, const Grid* grid, Py_ssize_t outputs, const double* centre, double* result,
                  Py_ssize_t parts) noexcept nogil:
    """One pass over a tile's elements, shared by threads."""
    cdef Py_ssize_t part, j, n = count_elements(grid)
    cdef double partial[MAX_PARTS * SHARED_TILE]
    for j in range(outputs):
        result[j] = nothing(kind)
    if parts == 1:
        add_elements(kind, x, grid, outputs, centre, result, 0, n)
        return
    for j in range(parts * SHARED_TILE):
        partial[j] = nothing(kind)
    for part in prange(parts, num_threads=<int>parts, schedule="static"):
        add_elements(kind, x, grid, outputs, centre, partial + part * SHARED_TILE, share(part, parts, n, 1),
                     share(part + 1, parts, n, 1))
    for part in range(parts):
        for j in range(outputs):
            result[j] = join(kind, result[j], partial[part * SHARED_TILE + j])


# -- all tiles ------------------------------------------------------------------------------------------------

cdef struct Tiling:
    Py_ssize_t outputs          # of a tile
    Py_ssize_t per_row, count   # tiles of one run of neighbouring outputs, and tiles in all
    Py_ssize_t parts            # threads that share the tiles,
    Py_ssize_t parts_of_tile    # or the elements of a tile


cdef Tiling tiling_of(Kind kind, const Grid* grid, bint two_passes) noexcept nogil:
    cdef Tiling tiling
    cdef Py_ssize_t outputs = grid.outputs.size, least = UNIT if grid.columns else 1
    cdef Py_ssize_t length = max(grid.length.size * grid.reduced_count, 1)
    cdef Py_ssize_t parts = min(threads_for(outputs * grid.kept_count * length,
                                            PARALLEL_ELEMENTS if kind == EXPONENTIALS else LEAST), MAX_PARTS)
    tiling.parts = tiling.parts_of_tile = 1
    tiling.outputs = TILE
    if parts > 1 and outputs * grid.kept_count < parts * least:
        tiling.parts_of_tile = parts
        tiling.outputs = SHARED_TILE
    elif parts > 1:
        tiling.parts = parts
        tiling.outputs = max(min(tiling.outputs, outputs * grid.kept_count // parts), least)
    if two_passes:
        tiling.outputs = min(tiling.outputs, max(TILE_ELEMENTS // length, 8 * least))
    tiling.per_row = (outputs + tiling.outputs - 1) // tiling.outputs
    tiling.count = tiling.per_row * grid.kept_count
    return tiling


cdef inline Py_ssize_t tile_outputs(const Grid* grid, Tiling tiling, Py_ssize_t number) noexcept nogil:
    """How many outputs a tile has."""
    return min(tiling.outputs, grid.outputs.size - number % tiling.per_row * tiling.outputs)


cdef inline Py_ssize_t tile_y(const Grid* grid, Tiling tiling, Py_ssize_t number) noexcept nogil:
    """The tile's first output."""
    return number // tiling.per_row * grid.outputs.size + number % tiling.per_row * tiling.outputs


cdef inline Py_ssize_t tile_x(const Grid* grid, Tiling tiling, Py_ssize_t number) noexcept nogil:
    """The tile's first element."""
    return (offset_of(grid.kept, grid.kept_groups, number // tiling.per_row)
            + number % tiling.per_row * tiling.outputs * grid.outputs.step)


cdef void reduce_tiles(Kind kind, const real* x, real* y, const Grid* grid, double scale, Tiling tiling,
                       Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef Py_ssize_t tile, outputs, j
    cdef double centre[TILE]
    cdef double result[TILE]
    cdef const real* x_tile
    cdef real* y_tile
    cdef double n = <double>(grid.length.size * grid.reduced_count)
    for tile in range(first, last):
        outputs = tile_outputs(grid, tiling, tile)
        x_tile, y_tile = x + tile_x(grid, tiling, tile), y + tile_y(grid, tiling, tile)
        for j in range(outputs):
            centre[j] = 0
        if kind == SQUARES:
            add_all(SUM, x_tile, grid, outputs, centre, result, tiling.parts_of_tile)
            for j in range(outputs):
                centre[j] = result[j] / n
        elif kind == EXPONENTIALS:
            add_all(LARGEST, x_tile, grid, outputs, centre, result, tiling.parts_of_tile)
            for j in range(outputs):
                centre[j] = result[j]
        add_all(kind, x_tile, grid, outputs, centre, result, tiling.parts_of_tile)
        if kind == EXPONENTIALS:
            for j in range(outputs):                # all -inf, or one inf: inf - inf would be nan
                y_tile[j] = <real>(centre[j] if simd.fabs(centre[j]) == simd.INFINITY else
                                   centre[j] + simd.log(result[j]))
        elif kind == LARGEST:
            for j in range(outputs):
                y_tile[j] = <real>result[j]
        else:
            for j in range(outputs):
                y_tile[j] = <real>(result[j] * scale)


cdef void reduce_all(Kind kind, const real* x, real* y, const Grid* grid, double scale) noexcept nogil:
    """y from x: the sum of all x or of all (x - mean)^2, times scale; the largest x; ln of the sum of all e^x."""
    cdef Tiling tiling = tiling_of(kind, grid, kind == SQUARES or kind == EXPONENTIALS)
    cdef Py_ssize_t part
    if tiling.parts == 1:
        reduce_tiles(kind, x, y, grid, scale, tiling, 0, tiling.count)
        return
    for part in prange(tiling.parts, num_threads=<int>tiling.parts, schedule="static"):
        reduce_tiles(kind, x, y, grid, scale, tiling, share(part, tiling.parts, tiling.count, 1),
                     share(part + 1, tiling.parts, tiling.count, 1))


# -- backward -------------------------------------------------------------------------------------------------
# What each element gets of its output's gradient, with a factor and a centre for each output:
#     SUM             factor                          factor = g scale
#     SQUARES         factor (x - centre)             factor = 2 g scale, centre = mean
#     LARGEST         factor where x = centre         factor = g / ties, centre = y
#     EXPONENTIALS    factor e^(x - centre)           factor = g, centre = y

cdef void spread_row(Kind kind, const real* x, const real* factor, const double* centre, real* dx,
                     Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t j
    if kind == SUM:
        for j in range(n):
            dx[j] = factor[j]
    elif kind == SQUARES:
        for j in range(n):
            dx[j] = <real>((x[j] - centre[j]) * factor[j])
    elif kind == LARGEST:
        for j in range(n):
            dx[j] = factor[j] * (1 if x[j] == centre[j] else 0)
    else:
        for j in range(n):
            dx[j] = factor[j] * (0 if centre[j] == -<double>simd.INFINITY else simd.exp(x[j] - <real>centre[j]))


cdef void spread_block(Kind kind, const real* x, const real* factor, const double* centre, real* dx,
                       Block block) noexcept nogil:
    cdef Py_ssize_t j, l, n, start
    cdef real repeated_factor[TILE]
    cdef double repeated_centre[TILE]
    if block.columns:
        for l in range(block.length):
            start = l * block.length_step
            spread_row(kind, x + start if x != NULL else NULL, factor, centre, dx + start, block.outputs)
        return
    for j in range(block.outputs):
        for l in range(min(TILE, block.length)):
            repeated_factor[l], repeated_centre[l] = factor[j], centre[j]
        l = 0
        while l < block.length:
            n = min(TILE, block.length - l)
            start = j * block.output_step + l
            spread_row(kind, x + start if x != NULL else NULL, repeated_factor, repeated_centre, dx + start, n)
            l += n


cdef void spread_elements(Kind kind, const real* x, const real* factor, const double* centre, real* dx,
                          const Grid* grid, Py_ssize_t outputs, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef Block block = block_of(grid, outputs)
    cdef Py_ssize_t k, start
    if grid.reduced_groups == 0:
        start = first * block.length_step
        block.length = last - first
        spread_block(kind, x + start if x != NULL else NULL, factor, centre, dx + start, block)
    else:
        for k in range(first, last):
            start = offset_of(grid.reduced, grid.reduced_groups, k)
            spread_block(kind, x + start if x != NULL else NULL, factor, centre, dx + start, block)


cdef void spread_tiles(Kind kind, const real* x, const real* y, const real* g, real* dx, const Grid* grid, double scale,
                       Tiling tiling, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef Py_ssize_t tile, outputs, j, part, parts = tiling.parts_of_tile, n = count_elements(grid), start
    cdef double centre[TILE]
    cdef double result[TILE]
    cdef real factor[TILE]
    cdef const real* x_tile
    cdef const real* g_tile
    for tile in range(first, last):
        outputs = tile_outputs(grid, tiling, tile)
        start = tile_x(grid, tiling, tile)
        x_tile = x + start if x != NULL else NULL
        g_tile = g + tile_y(grid, tiling, tile)
        for j in range(outputs):
            factor[j] = <real>(g_tile[j] * scale)
            centre[j] = 0 if y == NULL else y[tile_y(grid, tiling, tile) + j]
        if kind == SQUARES:
            add_all(SUM, x_tile, grid, outputs, centre, result, parts)
            for j in range(outputs):
                centre[j] = result[j] / (grid.length.size * grid.reduced_count)
                factor[j] *= 2
        elif kind == LARGEST:
            add_all(TIES, x_tile, grid, outputs, centre, result, parts)
            for j in range(outputs):                # no ties where nan is largest: nan for all
                factor[j] /= <real>result[j]
        if parts == 1:
            spread_elements(kind, x_tile, factor, centre, dx + start, grid, outputs, 0, n)
            continue
        for part in prange(parts, num_threads=<int>parts, schedule="static"):
            spread_elements(kind, x_tile, factor, centre, dx + start, grid, outputs, share(part, parts, n, UNIT),
                            share(part + 1, parts, n, UNIT))


cdef void spread_all(Kind kind, const real* x, const real* y, const real* g, real* dx, const Grid* grid,
                     double scale) noexcept nogil:
    """dx from g, and from x and y, which may be NULL for SUM, and y for SQUARES."""
    cdef Tiling tiling = tiling_of(kind, grid, kind == SQUARES or kind == LARGEST)
    cdef Py_ssize_t part
    if tiling.parts == 1:
        spread_tiles(kind, x, y, g, dx, grid, scale, tiling, 0, tiling.count)
        return
    for part in prange(tiling.parts, num_threads=<int>tiling.parts, schedule="static"):
        spread_tiles(kind, x, y, g, dx, grid, scale, tiling, share(part, tiling.parts, tiling.count, 1),
                     share(part + 1, tiling.parts, tiling.count, 1))


# -- whole arrays ---------------------------------------------------------------------------------------------

cdef void reduce_array(Kind kind, ndarray x, ndarray y, Dims dims, double scale):
    """y from a contiguous x; y without the dimensions in dims, or with 1 for each."""
    cdef Grid grid
    cdef const void* x_data = cnp.PyArray_DATA(x)
    cdef void* y_data = cnp.PyArray_DATA(y)
    cdef bint single = is_single(x)
    make_grid(&grid, cnp.PyArray_NDIM(x), <const Py_ssize_t*>cnp.PyArray_DIMS(x), dims)
    if cnp.PyArray_SIZE(x) < RELEASE_ELEMENTS:
        reduce_data(kind, x_data, y_data, &grid, scale, single)
    else:
        with nogil:
            reduce_data(kind, x_data, y_data, &grid, scale, single)


cdef void reduce_data(Kind kind, const void* x, void* y, const Grid* grid, double scale, bint single) noexcept nogil:
    if single:
        reduce_all(kind, <const float*>x, <float*>y, grid, scale)
    else:
        reduce_all(kind, <const double*>x, <double*>y, grid, scale)


cdef void spread_array(Kind kind, ndarray x, ndarray y, ndarray g, ndarray dx, Dims dims, double scale):
    """dx from g, and from x and y: None where they are not needed; all contiguous."""
    cdef Grid grid
    cdef const void* x_data = NULL if x is None else cnp.PyArray_DATA(x)
    cdef const void* y_data = NULL if y is None else cnp.PyArray_DATA(y)
    cdef const void* g_data = cnp.PyArray_DATA(g)
    cdef void* dx_data = cnp.PyArray_DATA(dx)
    cdef bint single = is_single(dx)
    make_grid(&grid, cnp.PyArray_NDIM(dx), <const Py_ssize_t*>cnp.PyArray_DIMS(dx), dims)
    if cnp.PyArray_SIZE(dx) < RELEASE_ELEMENTS:
        spread_data(kind, x_data, y_data, g_data, dx_data, &grid, scale, single)
    else:
        with nogil:
            spread_data(kind, x_data, y_data, g_data, dx_data, &grid, scale, single)


cdef void spread_data(Kind kind, const void* x, const void* y, const void* g, void* dx, const Grid* grid, double scale,
                      bint single) noexcept nogil:
    if single:
        spread_all(kind, <const float*>x, <const float*>y, <const float*>g, <float*>dx, grid, scale)
    else:
        spread_all(kind, <const double*>x, <const double*>y, <const double*>g, <double*>dx, grid, scale)
