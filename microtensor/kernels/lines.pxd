"""Loops along dimensions of an array: lines, blocks of lines, and what reductions do with them. See lines.pyx."""

from microtensor.kernels.simd cimport real
from microtensor.kernels.threads cimport UNIT

ctypedef unsigned long long Dims        # a set of dimensions: bit d stands for dimension d

cdef enum:
    MAX_GROUPS = 32             # NumPy's 64 dimensions, kept and reduced in turn
    BLOCK_ELEMENTS = 1024       # elements of a block of rows, so that three such blocks stay in the L1 cache
    MAX_HEIGHT = 128            # lines of such a block at most
    TILE = 1024                 # lines of a reduction's block at most: the results of a pass stay in the L1 cache
    SMALL_TILE = 512            # the same for loops that go over x more than once, and keep two numbers for each line


cdef struct Group:
    Py_ssize_t size, step       # indices, and elements from one to the next


cdef struct Lines:              # a contiguous array as lines along a set of its dimensions, one result for each line
    Group lines                 # the innermost dimensions that are kept: neighbouring lines
    Group length                # the innermost dimensions of the set: elements of a line, or of a piece of it
    bint columns                # whether lines.step is 1; otherwise length.step is, and lines are rows
    Py_ssize_t outer, pieces    # products of the sizes of the other groups,
    int outer_groups, piece_groups
    Group outer_group[MAX_GROUPS]       # and these, the innermost first
    Group piece_group[MAX_GROUPS]


cdef struct Block:              # neighbouring lines, or a piece of each
    Py_ssize_t lines, line_step         # lines, and elements from one to the next
    Py_ssize_t length, step             # elements of each, and from one to the next
    bint columns                        # line_step is 1; otherwise step is
    Py_ssize_t start, first             # where its first element is; the number of its first line


cdef struct Blocks:             # how an array's lines are divided
    const Lines* lines
    Py_ssize_t height           # lines of a block at most
    Py_ssize_t per_group, count         # blocks of one group of neighbouring lines, and in all


cdef void make_lines(Lines* lines, int ndim, const Py_ssize_t* shape, Dims dims) noexcept nogil
cdef Py_ssize_t offset_of(const Group* groups, int count, Py_ssize_t number) noexcept nogil


cdef inline Blocks blocks_of(const Lines* lines, Py_ssize_t height) noexcept nogil:
    """The array's lines in blocks of at most height neighbours."""
    cdef Blocks blocks
    blocks.lines, blocks.height = lines, height
    blocks.per_group = (lines.lines.size + height - 1) // height
    blocks.count = blocks.per_group * lines.outer
    return blocks


cdef inline Block block_at(const Blocks* blocks, Py_ssize_t number) noexcept nogil:
    """The block with a number: all elements of its lines, or their first pieces."""
    cdef Block block
    cdef const Lines* lines = blocks.lines
    cdef Py_ssize_t outer = number // blocks.per_group, line = number % blocks.per_group * blocks.height
    block.lines, block.line_step = min(blocks.height, lines.lines.size - line), lines.lines.step
    block.length, block.step = lines.length.size, lines.length.step
    block.columns = lines.columns
    block.first = outer * lines.lines.size + line
    block.start = offset_of(lines.outer_group, lines.outer_groups, outer) + line * lines.lines.step
    return block


cdef inline Block rows_at(Py_ssize_t first, Py_ssize_t lines, Py_ssize_t length) noexcept nogil:
    """Rows of a matrix with that many columns, as a block."""
    return Block(lines, length, length, 1, False, first * length, first)


cdef inline Py_ssize_t height_in_cache(Py_ssize_t length, bint columns) noexcept nogil:
    """How many lines a block should have to stay in the L1 cache; of columns always some cache lines side by side."""
    return MAX_HEIGHT if columns else min(max(BLOCK_ELEMENTS // max(length, 1), 1), MAX_HEIGHT)


cdef inline Py_ssize_t piece_at(const Lines* lines, Py_ssize_t number) noexcept nogil:
    """How many elements the piece with a number lies behind the first one."""
    return offset_of(lines.piece_group, lines.piece_groups, number)


cdef inline Py_ssize_t blocks_per_thread(const Blocks* blocks, Py_ssize_t work_per_thread) noexcept nogil:
    """How many blocks make that many elements: work_per_thread for parallel_for over blocks."""
    cdef const Lines* lines = blocks.lines
    cdef Py_ssize_t elements = min(blocks.height, lines.lines.size) * lines.length.size * lines.pieces
    return max(work_per_thread // max(elements, 1), 1)


# -- reductions: an op supplies the loops of these tables -------------------------------------------------------

cdef struct Tile:               # a reduction's block, with all pieces of its lines
    const Lines* lines
    Block block
    Py_ssize_t n                # elements of a line
    Py_ssize_t work_per_thread  # for threads that share the elements; 0 if they share the tiles

ctypedef void (*accumulate_float)(const float* x, const Block* block, const double* centre,
                                  double* result) noexcept nogil
ctypedef void (*accumulate_double)(const double* x, const Block* block, const double* centre,
                                   double* result) noexcept nogil

cdef struct Pass:               # once over the elements of a block, adding them to the result of their line
    accumulate_float rows_float, columns_float
    accumulate_double rows_double, columns_double
    bint largest                # two results are joined by the larger, not by the sum

ctypedef void (*spread_float)(const float* x, const float* factor, const double* centre, float* dx,
                              Py_ssize_t n) noexcept nogil
ctypedef void (*spread_double)(const double* x, const double* factor, const double* centre, double* dx,
                               Py_ssize_t n) noexcept nogil

cdef struct Spread:             # the gradients of n elements, from a factor and a centre for each, or NULL if not read
    spread_float loop_float
    spread_double loop_double

ctypedef void (*tile_forward_float)(const float* x, float* y, const Tile* tile, double scale) noexcept nogil
ctypedef void (*tile_forward_double)(const double* x, double* y, const Tile* tile, double scale) noexcept nogil
ctypedef void (*tile_backward_float)(const float* x, const float* y, const float* g, float* dx, const Tile* tile,
                                     double scale) noexcept nogil
ctypedef void (*tile_backward_double)(const double* x, const double* y, const double* g, double* dx, const Tile* tile,
                                      double scale) noexcept nogil

cdef struct ReductionLoops:     # y from x, and dx from x, y and g, tile by tile
    tile_forward_float forward_float
    tile_forward_double forward_double
    tile_backward_float backward_float
    tile_backward_double backward_double
    bint forward_repeats        # goes over x more than once: tiles stay in the L2 cache
    bint backward_repeats
    Py_ssize_t work_per_thread

cdef void accumulate(const Pass* loops, const real* x, const Tile* tile, const double* centre,
                     double* result) noexcept nogil
cdef void spread(const Spread* loops, const real* x, const real* factor, const double* centre, real* dx,
                 const Tile* tile) noexcept nogil
cdef void reduce_forward(const ReductionLoops* loops, bint single, const void* x, void* y, const Lines* lines,
                         double scale) noexcept nogil
cdef void reduce_backward(const ReductionLoops* loops, bint single, const void* x, const void* y, const void* g,
                          void* dx, const Lines* lines, double scale) noexcept nogil
