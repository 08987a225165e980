"""Loops along dimensions of an array: reductions, softmax, cross-entropy, normalisation.

What lies along some dimensions is a line, and has one result: a sum, a largest element, a mean. Adjacent dimensions of
a contiguous array act as one, so that an array is a few groups of dimensions, in turn kept and part of a line.
The innermost group of each kind goes into the loops; the others only say where those begin:

    x (2, 3, 5, 7), along dim 1:            outer 2, length 3, lines 35             columns
    x (2, 3, 5, 7), along dims (1, 2):      outer 2, length 15, lines 7             columns
    x (2, 3, 5, 7), along dims (0, 3):      pieces 2, lines 15, length 7            rows, each in two pieces

Lines come in blocks of neighbours, which stay in the cache when a second pass needs them. A block's lines are rows,
whose elements are adjacent, or columns, which are themselves adjacent, and its loops are vectorised along the one or
across the other: one of the two steps is always 1.

Reductions go over x in passes, tile by tile; a tile is a block with all pieces of its lines. Threads share tiles, or
the elements of each where there are few lines; results are reproducible for a fixed number of threads. Sums are
taken in double, so a float32 sum of ten million elements is right to its last digit.
"""

from microtensor.kernels cimport simd
from microtensor.kernels.simd cimport real
from microtensor.kernels.sums cimport larger
from microtensor.kernels.threads cimport MAX_PARTS, UNIT, parallel_for, parts_of

cdef enum:
    SHARED_TILE = 16            # lines of a tile whose elements threads share: partial results for each thread
    TILE_ELEMENTS = 32768       # elements that a second pass finds in the L2 cache
    WIDE = 64                   # rows of few columns are taken together until they are about as long


cdef void make_lines(Lines* lines, int ndim, const Py_ssize_t* shape, Dims dims) noexcept nogil:
    """See a contiguous array of this shape as lines along the dimensions in dims."""
    cdef Group group, one = Group(1, 1)
    cdef int d = ndim - 1, groups = 0
    cdef bint along
    cdef Py_ssize_t step = 1
    lines.lines = lines.length = one
    lines.columns = False
    lines.outer_groups = lines.piece_groups = 0
    lines.outer = lines.pieces = 1
    while d >= 0:
        if shape[d] == 1:
            d -= 1
            continue
        along = dims >> d & 1
        group.size, group.step = 1, step
        while d >= 0 and (shape[d] == 1 or <bint>(dims >> d & 1) == along):
            group.size *= shape[d]
            d -= 1
        step *= group.size
        if groups == 0:
            lines.columns = not along
        if groups < 2:
            if along:
                lines.length = group
            else:
                lines.lines = group
        elif along:
            lines.piece_group[lines.piece_groups] = group
            lines.piece_groups += 1
            lines.pieces *= group.size
        else:
            lines.outer_group[lines.outer_groups] = group
            lines.outer_groups += 1
            lines.outer *= group.size
        groups += 1


cdef Py_ssize_t offset_of(const Group* groups, int count, Py_ssize_t number) noexcept nogil:
    """Where the element with this number (in row-major order) is, for groups that begin with the innermost."""
    cdef Py_ssize_t offset = 0
    cdef int k
    for k in range(count):
        offset += number % groups[k].size * groups[k].step
        number //= groups[k].size
    return offset


# -- one pass over the elements of a tile ---------------------------------------------------------------------
# For threads to share, elements are numbered: by the pieces of the lines, or without such along the lines.

cdef inline Py_ssize_t count_elements(const Tile* tile) noexcept nogil:
    return tile.lines.length.size if tile.lines.piece_groups == 0 else tile.lines.pieces


cdef inline Py_ssize_t elements_at(const Tile* tile, Py_ssize_t number, Py_ssize_t last, Block* block) noexcept nogil:
    """Make block the elements from a number on, but not beyond last; returns how many numbers these are."""
    block[0] = tile.block
    if tile.lines.piece_groups == 0:
        block.start, block.length = number * block.step, last - number
        return last - number
    block.start = piece_at(tile.lines, number)
    return 1


cdef inline double join(const Pass* loops, double a, double b) noexcept nogil:
    """Two partial results as one."""
    return larger(a, b) if loops.largest else a + b


cdef inline double nothing(const Pass* loops) noexcept nogil:
    """The result of no elements."""
    return -<double>simd.INFINITY if loops.largest else 0


cdef inline void add_columns(const Pass* loops, const real* x, const Block* block, const double* centre,
                             double* result) noexcept nogil:
    if real is float:
        loops.columns_float(x, block, centre, result)
    else:
        loops.columns_double(x, block, centre, result)


cdef void add_narrow(const Pass* loops, const real* x, Block block, const double* centre,
                     double* result) noexcept nogil:
    """add_columns for rows of few elements that follow each other: several rows are taken as a wide one."""
    cdef Py_ssize_t k, j, n = block.lines, times = WIDE // n
    cdef double wide_result[WIDE]
    cdef double wide_centre[WIDE]
    cdef Block wide = block
    wide.lines, wide.length, wide.step = times * n, block.length // times, times * n
    for k in range(WIDE):
        wide_result[k] = nothing(loops)
        wide_centre[k] = centre[k % n]
    add_columns(loops, x, &wide, wide_centre, wide_result)
    for k in range(times):
        for j in range(n):
            result[j] = join(loops, result[j], wide_result[k * n + j])
    block.length -= wide.length * times
    add_columns(loops, x + wide.length * wide.step, &block, centre, result)


cdef void add_elements(const Pass* loops, const real* x, const Tile* tile, const double* centre, double* result,
                       Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """Add the elements first to last of each line to its result."""
    cdef Block block
    while first < last:
        first += elements_at(tile, first, last, &block)
        if not block.columns:
            if real is float:
                loops.rows_float(x + block.start, &block, centre, result)
            else:
                loops.rows_double(x + block.start, &block, centre, result)
        elif block.lines == block.step and block.lines <= WIDE // 2 and block.length >= WIDE:
            add_narrow(loops, x + block.start, block, centre, result)
        else:
            add_columns(loops, x + block.start, &block, centre, result)


cdef struct SharedPass:
    const Pass* loops
    const void* x
    bint single
    const Tile* tile
    const double* centre
    double* partial             # results of each part, SHARED_TILE apart


cdef void shared_pass_part(void* job_pointer, Py_ssize_t number, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef SharedPass* job = <SharedPass*>job_pointer
    cdef double* result = job.partial + number * SHARED_TILE
    if job.single:
        add_elements(job.loops, <const float*>job.x, job.tile, job.centre, result, first, last)
    else:
        add_elements(job.loops, <const double*>job.x, job.tile, job.centre, result, first, last)


cdef void accumulate(const Pass* loops, const real* x, const Tile* tile, const double* centre,
                     double* result) noexcept nogil:
    """One pass over the elements of a tile's lines: a result for each line, about a centre for each."""
    cdef Py_ssize_t number, j, n = count_elements(tile), lines = tile.block.lines, parts
    cdef double partial[MAX_PARTS * SHARED_TILE]
    cdef SharedPass job
    for j in range(lines):
        result[j] = nothing(loops)
    if tile.work_per_thread == 0:
        add_elements(loops, x, tile, centre, result, 0, n)
        return
    parts = parts_of(n, tile.work_per_thread)
    for j in range(parts * SHARED_TILE):
        partial[j] = nothing(loops)
    job.loops, job.x, job.single, job.tile = loops, x, sizeof(real) == sizeof(float), tile
    job.centre, job.partial = centre, partial
    parallel_for(shared_pass_part, &job, n, 1, tile.work_per_thread)
    for number in range(parts):
        for j in range(lines):
            result[j] = join(loops, result[j], partial[number * SHARED_TILE + j])


# -- the gradients of a tile's elements -------------------------------------------------------------------------

cdef inline void spread_run(const Spread* loops, const real* x, const real* factor, const double* centre, real* dx,
                            Py_ssize_t n) noexcept nogil:
    if real is float:
        loops.loop_float(x, factor, centre, dx, n)
    else:
        loops.loop_double(x, factor, centre, dx, n)


cdef void spread_rows(const Spread* loops, const real* x, const real* factor, const double* centre, real* dx,
                      const Block* block) noexcept nogil:
    """The factor and the centre of each row repeated for all of its elements."""
    cdef Py_ssize_t j, l, n, start
    cdef real repeated_factor[SMALL_TILE]
    cdef double repeated_centre[SMALL_TILE]
    for j in range(block.lines):
        for l in range(min(SMALL_TILE, block.length)):
            repeated_factor[l] = factor[j]
            repeated_centre[l] = centre[j] if centre != NULL else 0
        l = 0
        while l < block.length:
            n = min(SMALL_TILE, block.length - l)
            start = j * block.line_step + l
            spread_run(loops, x + start, repeated_factor, repeated_centre, dx + start, n)
            l += n


cdef void spread_elements(const Spread* loops, const real* x, const real* factor, const double* centre, real* dx,
                          const Tile* tile, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef Block block
    cdef Py_ssize_t l, start
    while first < last:
        first += elements_at(tile, first, last, &block)
        if block.columns:
            for l in range(block.length):
                start = block.start + l * block.step
                spread_run(loops, x + start, factor, centre, dx + start, block.lines)
        else:
            spread_rows(loops, x + block.start, factor, centre, dx + block.start, &block)


cdef struct SharedSpread:
    const Spread* loops
    const void* x
    const void* factor
    const double* centre
    void* dx
    bint single
    const Tile* tile


cdef void shared_spread_part(void* job_pointer, Py_ssize_t number, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef SharedSpread* job = <SharedSpread*>job_pointer
    if job.single:
        spread_elements(job.loops, <const float*>job.x, <const float*>job.factor, job.centre, <float*>job.dx, job.tile,
                        first, last)
    else:
        spread_elements(job.loops, <const double*>job.x, <const double*>job.factor, job.centre, <double*>job.dx,
                        job.tile, first, last)


cdef void spread(const Spread* loops, const real* x, const real* factor, const double* centre, real* dx,
                 const Tile* tile) noexcept nogil:
    """dx of all elements of a tile's lines, from a factor and a centre for each line."""
    cdef SharedSpread job
    if tile.work_per_thread == 0:
        spread_elements(loops, x, factor, centre, dx, tile, 0, count_elements(tile))
        return
    job.loops, job.x, job.factor, job.centre, job.dx = loops, x, factor, centre, dx
    job.single, job.tile = sizeof(real) == sizeof(float), tile
    parallel_for(shared_spread_part, &job, count_elements(tile), UNIT, tile.work_per_thread)


# -- all tiles ------------------------------------------------------------------------------------------------

cdef struct Reduce:
    const ReductionLoops* loops
    bint single
    const char* x
    const char* y               # forward: written into
    const char* g               # backward only, and
    char* dx
    double scale
    Blocks blocks
    Py_ssize_t n, work_per_thread       # of a Tile


cdef void reduce_tiles(void* job_pointer, Py_ssize_t _number, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """The tiles from first to last, forward or, with a dx, backward."""
    cdef Reduce* job = <Reduce*>job_pointer
    cdef Tile tile
    cdef Py_ssize_t number, start, line
    tile.lines, tile.n, tile.work_per_thread = job.blocks.lines, job.n, job.work_per_thread
    for number in range(first, last):
        tile.block = block_at(&job.blocks, number)
        start, line = tile.block.start, tile.block.first
        if job.single and job.dx == NULL:
            job.loops.forward_float(<const float*>job.x + start, <float*>job.y + line, &tile, job.scale)
        elif job.dx == NULL:
            job.loops.forward_double(<const double*>job.x + start, <double*>job.y + line, &tile, job.scale)
        elif job.single:
            job.loops.backward_float(<const float*>job.x + start, <const float*>job.y + line,
                                     <const float*>job.g + line, <float*>job.dx + start, &tile, job.scale)
        else:
            job.loops.backward_double(<const double*>job.x + start, <const double*>job.y + line,
                                      <const double*>job.g + line, <double*>job.dx + start, &tile, job.scale)


cdef void run_reduce(Reduce* job, const Lines* lines) noexcept nogil:
    """Divide the lines into tiles, and have threads share these, or if there are few lines the elements of each."""
    cdef Py_ssize_t n = lines.length.size * lines.pieces, length = max(n, 1), count = lines.lines.size * lines.outer
    cdef Py_ssize_t least = UNIT if lines.columns else 1, height = TILE
    cdef Py_ssize_t work = job.loops.work_per_thread, parts = parts_of(count * length, work), tile, tile_lines
    cdef bint shared = parts > 1 and count < parts * least
    if shared:
        height = SHARED_TILE
    elif parts > 1:
        height = max(min(height, count // parts), least)
    if job.loops.forward_repeats if job.dx == NULL else job.loops.backward_repeats:
        height = min(height, SMALL_TILE, max(TILE_ELEMENTS // length, 8 * least if not shared else SHARED_TILE))
    job.n = n
    job.blocks = blocks_of(lines, height)
    if not shared:
        job.work_per_thread = 0
        parallel_for(reduce_tiles, job, job.blocks.count, 1, blocks_per_thread(&job.blocks, work))
        return
    for tile in range(job.blocks.count):        # each number of elements of a tile stands for one of every line
        tile_lines = min(height, lines.lines.size)
        job.work_per_thread = max(work // (tile_lines * (lines.length.size if lines.piece_groups else 1)), 1)
        reduce_tiles(job, 0, tile, tile + 1)


cdef void reduce_forward(const ReductionLoops* loops, bint single, const void* x, void* y, const Lines* lines,
                         double scale) noexcept nogil:
    """Fill in y, one element for each line of x."""
    cdef Reduce job
    job.loops, job.single, job.x, job.y, job.scale = loops, single, <const char*>x, <const char*>y, scale
    job.g = job.dx = NULL
    run_reduce(&job, lines)


cdef void reduce_backward(const ReductionLoops* loops, bint single, const void* x, const void* y, const void* g,
                          void* dx, const Lines* lines, double scale) noexcept nogil:
    """Fill in dx. What the loops do not read of x and y may be any array of the shape."""
    cdef Reduce job
    job.loops, job.single, job.x, job.y, job.scale = loops, single, <const char*>x, <const char*>y, scale
    job.g, job.dx = <const char*>g, <char*>dx
    run_reduce(&job, lines)
