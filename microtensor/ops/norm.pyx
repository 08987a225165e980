"""batch_norm and layer_norm: each channel, or each row, brought to mean 0 and variance 1, then scaled and shifted."""

cimport cython
cimport numpy as cnp
from numpy cimport ndarray

from microtensor.core cimport (
    CONTEXT, INPUT, OTHER, Tensor, Version, as_tensor, call_again, constant, contiguous, count_write, empty,
    empty_like, is_taping, is_float, is_single, record, take_in, wrap,
)
from microtensor.kernels cimport simd
from microtensor.kernels.lines cimport (
    Block, Blocks, Dims, Lines, block_at, blocks_of, blocks_per_thread, make_lines, piece_at,
)
from microtensor.kernels.simd cimport real
from microtensor.kernels.sums cimport sum_products_run, sum_run, sum_squares_run
from microtensor.kernels.threads cimport ELEMENTS_PER_THREAD, UNIT, parallel_for, parts_of
from microtensor.ops.base cimport WithBias

import operator

import numpy as np

from microtensor.ops.arithmetic import sqrt
from microtensor.ops.sample import Sample
from microtensor.ops.shape import sum_to

cnp.import_array()


# -- batch_norm -------------------------------------------------------------------------------------------------
# x is (N, C) or (N, C, L), seen as (N, C, L). For one channel c, with means over its n = N L values:
#     m = mean(x),  v = mean((x - m)^2),  r = (v + eps)^(-1/2),  h = (x - m) r,  y = w h + b
# m is found as k + mean(x - k) and v as mean((x - k)^2) - mean(x - k)^2, with k the channel's first value, so that
# one pass is enough and a large mean costs no digits.
#
# dL/db = sum g,  dL/dw = sum g h, and with u = dL/dh = g w:
#     dL/dr = sum u (x - m),                  dr/dv = -r^3 / 2
#     dL/dv = -(r^3 / 2) sum u (x - m) = -(r^2 / 2) sum u h
#     dL/dm = -r sum u                        the way through v adds nothing: dv/dm = -2 mean(x - m) = 0
#     dx = u r  +  dL/dv 2 (x - m) / n  +  dL/dm / n
#        = r (u  -  h mean(u h)  -  mean(u))
#        = w r (g  -  mean(g)  -  h mean(g h))
#
# Loops go over blocks of channels: columns for (N, C), rows in N pieces for (N, C, L). Threads share the channels, so
# results do not depend on their number.
#
# Sums are taken in double; of columns, of four rows at a time that were added in x's own type. The other loops compute
# in that type with c, the mean as rounded to it, since x - c is as good as exact near the mean; the error of that
# rounding, m - c, goes into the additive factor:
#     y  = (x - c) scale + shift              scale = w r,  shift = b - (m - c) w r
#     dx = g scale + (x - c) slope + shift    slope = -w r^2 mean(g h),  shift = -w r mean(g) - (m - c) slope

cdef enum:
    CHANNELS = 512      # of a block at most: what is computed for each of them stays in the L1 cache
    COLUMNS = 256       # the same for sums of columns


cdef struct BatchNormJob:
    bint single
    Lines lines
    Blocks blocks
    double eps
    double* mean        # of each channel, and behind these
    double* variance
    double* r
    const void* x
    const void* w
    const void* b
    void* y
    const void* g       # backward only, and dx may be NULL
    void* dx
    void* dw
    void* db
    double* sums        # three numbers a channel, which would be too much for a small thread's stack


cdef void add_moments(const real* x, const Block* block, const real* k, double* sums, double* squares) noexcept nogil:
    """sums += x - k and squares += (x - k)^2 for columns."""
    cdef Py_ssize_t j, row = 0, step = block.step
    cdef real d0, d1, d2, d3
    while row + 4 <= block.length:
        for j in range(block.lines):
            d0, d1 = x[j] - k[j], x[step + j] - k[j]
            d2, d3 = x[2 * step + j] - k[j], x[3 * step + j] - k[j]
            sums[j] += (d0 + d1) + (d2 + d3)
            squares[j] += (d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3)
        x += 4 * step
        row += 4
    while row < block.length:
        for j in range(block.lines):
            d0 = x[j] - k[j]
            sums[j] += d0
            squares[j] += d0 * d0
        x += step
        row += 1


cdef void moments(const real* x, const Block* block, const Lines* lines, real* k, double* mean,
                  double* variance) noexcept nogil:
    """Each channel's mean and biased variance: of columns in one pass over x, of rows in two."""
    cdef Py_ssize_t j, piece
    cdef double n = <double>(lines.length.size * lines.pieces), d
    for j in range(block.lines):
        k[j] = x[j * block.line_step]
        mean[j] = variance[j] = 0
    if block.columns:
        for piece in range(lines.pieces):
            add_moments(x + piece_at(lines, piece), block, k, mean, variance)
        for j in range(block.lines):
            d = mean[j] / n
            mean[j] = d + k[j]
            d = variance[j] / n - d * d
            variance[j] = d if d > 0 else 0 * d         # rounding may leave it below 0; nan stays nan
        return
    for j in range(block.lines):
        for piece in range(lines.pieces):
            mean[j] += sum_run(x + piece_at(lines, piece) + j * block.line_step, block.length)
        mean[j] /= n
        for piece in range(lines.pieces):
            variance[j] += sum_squares_run(x + piece_at(lines, piece) + j * block.line_step, mean[j], block.length)
        variance[j] /= n


cdef void batch_norm_forward(const real* x, const real* w, const real* b, real* y, BatchNormJob* job,
                             const Block* block) noexcept nogil:
    cdef Py_ssize_t piece, start, i, j, l, C = block.first
    cdef double* mean = job.mean + C
    cdef double* variance = job.variance + C
    cdef double* r = job.r + C
    cdef real centre[CHANNELS]
    cdef real scale[CHANNELS]
    cdef real shift[CHANNELS]
    cdef real c, s, h
    moments(x, block, &job.lines, centre, mean, variance)
    for j in range(block.lines):
        r[j] = 1 / simd.sqrt(variance[j] + job.eps)
        centre[j] = <real>mean[j]
        scale[j] = <real>(w[C + j] * r[j])
        shift[j] = <real>(b[C + j] - (mean[j] - centre[j]) * w[C + j] * r[j])
    for piece in range(job.lines.pieces):
        start = piece_at(&job.lines, piece)
        if block.columns:
            for i in range(block.length):
                l = start + i * block.step
                for j in range(block.lines):
                    y[l + j] = (x[l + j] - centre[j]) * scale[j] + shift[j]
        else:
            for j in range(block.lines):
                c, s, h, l = centre[j], scale[j], shift[j], start + j * block.line_step
                for i in range(l, l + block.length):
                    y[i] = (x[i] - c) * s + h


cdef void add_products(const real* g, const real* x, const Block* block, const real* centre, double* sums,
                       double* products) noexcept nogil:
    """sums += g and products += g (x - centre) for columns."""
    cdef Py_ssize_t j, row = 0, step = block.step, two = 2 * step, three = 3 * step
    while row + 4 <= block.length:
        for j in range(block.lines):
            sums[j] += (g[j] + g[step + j]) + (g[two + j] + g[three + j])
            products[j] += (g[j] * (x[j] - centre[j]) + g[step + j] * (x[step + j] - centre[j])) \
                + (g[two + j] * (x[two + j] - centre[j]) + g[three + j] * (x[three + j] - centre[j]))
        g += 4 * step
        x += 4 * step
        row += 4
    while row < block.length:
        for j in range(block.lines):
            sums[j] += g[j]
            products[j] += g[j] * (x[j] - centre[j])
        g += step
        x += step
        row += 1


cdef void batch_norm_backward(const real* x, const real* w, const real* g, real* dw, real* db, real* dx,
                              BatchNormJob* job, const Block* block) noexcept nogil:
    cdef Py_ssize_t piece, start, i, j, l, C = block.first, channels = job.lines.lines.size
    cdef const double* mean = job.mean + C
    cdef const double* r = job.r + C
    cdef double n = <double>(job.lines.length.size * job.lines.pieces), rest
    cdef double* sum_g = job.sums + C
    cdef double* sum_gh = job.sums + channels + C
    cdef real* centre = <real*>(job.sums + 2 * channels + C)
    cdef real scale[CHANNELS]
    cdef real slope[CHANNELS]
    cdef real shift[CHANNELS]
    cdef real c, s, t, h
    for j in range(block.lines):
        centre[j] = <real>mean[j]
        sum_g[j] = sum_gh[j] = 0
    for piece in range(job.lines.pieces):
        start = piece_at(&job.lines, piece)
        if block.columns:
            add_products(g + start, x + start, block, centre, sum_g, sum_gh)
        else:
            for j in range(block.lines):
                l = start + j * block.line_step
                sum_g[j] += sum_run(g + l, block.length)
                sum_gh[j] += sum_products_run(g + l, x + l, centre[j], block.length)
    for j in range(block.lines):
        sum_gh[j] = (sum_gh[j] - (mean[j] - centre[j]) * sum_g[j]) * r[j]
        db[C + j] = <real>sum_g[j]
        dw[C + j] = <real>sum_gh[j]
        rest = -w[C + j] * r[j] * r[j] * sum_gh[j] / n
        scale[j] = <real>(w[C + j] * r[j])
        slope[j] = <real>rest
        shift[j] = <real>(-w[C + j] * r[j] * sum_g[j] / n - (mean[j] - centre[j]) * rest)
    for piece in range(job.lines.pieces if dx != NULL else 0):
        start = piece_at(&job.lines, piece)
        if block.columns:
            for i in range(block.length):
                l = start + i * block.step
                for j in range(block.lines):
                    dx[l + j] = g[l + j] * scale[j] + ((x[l + j] - centre[j]) * slope[j] + shift[j])
        else:
            for j in range(block.lines):
                c, s, t, h, l = centre[j], scale[j], slope[j], shift[j], start + j * block.line_step
                for i in range(l, l + block.length):
                    dx[i] = g[i] * s + ((x[i] - c) * t + h)


cdef void batch_norm_part(void* job_pointer, Py_ssize_t _number, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef BatchNormJob* job = <BatchNormJob*>job_pointer
    cdef Py_ssize_t number, i
    cdef Block block
    for number in range(first, last):
        block = block_at(&job.blocks, number)
        i = block.start
        if job.single and job.g == NULL:
            batch_norm_forward(<const float*>job.x + i, <const float*>job.w, <const float*>job.b, <float*>job.y + i,
                               job, &block)
        elif job.g == NULL:
            batch_norm_forward(<const double*>job.x + i, <const double*>job.w, <const double*>job.b,
                               <double*>job.y + i, job, &block)
        elif job.single:
            batch_norm_backward(<const float*>job.x + i, <const float*>job.w, <const float*>job.g + i, <float*>job.dw,
                                <float*>job.db, <float*>job.dx + i if job.dx != NULL else NULL, job, &block)
        else:
            batch_norm_backward(<const double*>job.x + i, <const double*>job.w, <const double*>job.g + i,
                                <double*>job.dw, <double*>job.db, <double*>job.dx + i if job.dx != NULL else NULL, job,
                                &block)


@cython.final
@cython.no_gc
cdef class BatchNorm(WithBias):
    """w (x - mean) / sqrt(variance + eps) + b, with the batch's own mean and variance."""

    cdef double eps

    cdef Tensor apply(self, Tensor x, Tensor weight, Tensor bias, ndarray a, ndarray w, ndarray b, ndarray statistics):
        """a, w, b: their arrays when they were checked.

        statistics: float64 (3, C), to be filled with each channel's mean, variance and (variance + eps)^(-1/2).
        """
        self.a, self.b, self.bias = a, w, b
        self.y = empty_like(a)
        self.context = statistics
        self.run_forward()
        return record(self, x, weight, bias)

    def move_running(self, ndarray means, Version version_of_means, ndarray variances, Version version_of_variances,
                     double unbiased, double momentum):
        """Move the running statistics that are given towards the batch's; unbiased is n / (n - 1)."""
        cdef const double* mean = <const double*>cnp.PyArray_DATA(<ndarray>self.context)
        if means is not None:
            move_towards(means, mean, 1, momentum)
            count_write(version_of_means)
        if variances is not None:
            move_towards(variances, mean + cnp.PyArray_DIM(<ndarray>self.context, 1), unbiased, momentum)
            count_write(version_of_variances)

    cdef void run_channels(self, BatchNormJob* job, ndarray x, ndarray w):
        """Run a job, forward or backward, on all channels."""
        cdef ndarray statistics = <ndarray>self.context
        cdef Py_ssize_t channels = cnp.PyArray_DIM(x, 1), parts
        make_lines(&job.lines, cnp.PyArray_NDIM(x), <const Py_ssize_t*>cnp.PyArray_DIMS(x), ~(<Dims>1 << 1))
        job.single, job.eps = is_single(x), self.eps
        job.mean = <double*>cnp.PyArray_DATA(statistics)
        job.variance, job.r = job.mean + channels, job.mean + 2 * channels
        job.x, job.w = cnp.PyArray_DATA(x), cnp.PyArray_DATA(w)
        parts = parts_of(cnp.PyArray_SIZE(x), ELEMENTS_PER_THREAD)
        job.blocks = blocks_of(&job.lines, min(CHANNELS, max(channels // parts, UNIT if job.lines.columns else 1)))
        parallel_for(batch_norm_part, job, job.blocks.count, 1, blocks_per_thread(&job.blocks, ELEMENTS_PER_THREAD))

    cdef int run_forward(self) except -1:
        cdef ndarray b = contiguous(self.bias)
        cdef BatchNormJob job
        job.b, job.y, job.g = cnp.PyArray_DATA(b), cnp.PyArray_DATA(self.y), NULL
        self.run_channels(&job, contiguous(self.a), contiguous(self.b))
        return 0

    cdef int reads(self) noexcept:
        return INPUT | OTHER | CONTEXT

    cdef int allocate_gradients(self) except -1:
        if self.needs(0):
            self.da = empty_like(self.a)
        self.db, self.dbias = empty_like(self.b), empty_like(self.b)
        return 0

    cdef int run_backward(self) except -1:
        cdef ndarray sums = empty_like(<ndarray>self.context)
        cdef BatchNormJob job
        job.sums = <double*>cnp.PyArray_DATA(sums)
        job.g = cnp.PyArray_DATA(<ndarray>self.g)
        job.dx = NULL if self.da is None else cnp.PyArray_DATA(self.da)
        job.dw, job.db = cnp.PyArray_DATA(self.db), cnp.PyArray_DATA(self.dbias)
        self.run_channels(&job, contiguous(self.a), contiguous(self.b))
        return 0

    def rule(self, Tensor g not None):
        x, w = self.input(0), self.input(1)
        dims = [d for d in range(x.ndim) if d != 1]
        h, r = normalised(x, dims, self.eps)
        dx = normalised_backward(channelwise(w, x.ndim) * g, h, r, dims)
        return dx, (g * h).sum(dims), g.sum(dims)

    @staticmethod
    def samples(draw):
        def twin(x, w, b):
            dims = tuple([d for d in range(x.ndim) if d != 1])
            shape = (1, -1) + (1,) * (x.ndim - 2)
            h = (x - x.mean(dims, keepdims=True)) / np.sqrt(x.var(dims, keepdims=True) + 1e-5)
            return h * w.reshape(shape) + b.reshape(shape)

        for shape in ((5, 3), (4, 3, 2), (7, 3, 1)):
            yield Sample(lambda x, w, b: batch_norm(x, None, None, w, b, training=True),
                         [draw(*shape), draw(3), draw(3)], twin)


cdef Tensor channelwise(Tensor vector, Py_ssize_t ndim):
    """A tensor (C,) shaped to broadcast along dimension 1 of ndim dimensions."""
    return vector.reshape((1, -1) + (1,) * (ndim - 2))


cdef tuple normalised(Tensor x, list dims, double eps):
    """h and r, for the rules."""
    centred = x - x.mean(dims, keepdim=True)
    r = 1 / sqrt((centred * centred).mean(dims, keepdim=True) + eps)
    return centred * r, r


cdef object normalised_backward(u, h, r, list dims):
    """dx from u = dL/dh, for the rules."""
    return r * (u - u.mean(dims, keepdim=True) - h * (u * h).mean(dims, keepdim=True))


cdef ndarray parameter_of(str op, str name, Tensor parameter, ndarray x, int first, int last):
    """A parameter's array, with the sizes of x's dimensions from first to before last and x's dtype, or raise.

    None for None.
    """
    if parameter is None:
        return None
    cdef ndarray array = parameter.array
    cdef bint fits = cnp.PyArray_NDIM(array) == last - first
    cdef int d
    for d in range(first, last):
        fits = fits and cnp.PyArray_DIM(array, d - first) == cnp.PyArray_DIM(x, d)
    if not fits:
        raise ValueError(f"{op}: expected {name} of shape {(<object>x).shape[first:last]} for input "
                         f"{(<object>x).shape}, got {(<object>array).shape}")
    if cnp.PyArray_TYPE(array) != cnp.PyArray_TYPE(x):
        raise TypeError(f"{op}: expected {name} of the input's dtype {x.dtype}, got {array.dtype}: "
                        "convert the input with .to(dtype), an array with .astype(dtype)")
    return array


def batch_norm(input, Tensor running_mean, Tensor running_var, Tensor weight=None, Tensor bias=None,
               bint training=False, double momentum=0.1, double eps=1e-5):
    """Batch normalisation (Ioffe and Szegedy 2015).

    In training each channel is normalised with the batch's own mean and biased variance, and running_mean and
    running_var, if given, are moved towards the batch's mean and unbiased variance in place. Otherwise they are used.

    Args:
        input: x, (N, C) or (N, C, L), float32 or float64.
        running_mean, running_var: (C,), or None in training.
        weight, bias: w and b, (C,), or None for 1 and 0.
        training: use the batch's statistics.
        momentum: how far the running statistics move towards the batch's, from 0 to 1.
        eps: added to the variance.

    Returns:
        y, of x's shape and dtype.

    Raises:
        ValueError: if shapes do not match, in training with one value per channel, or without running statistics
            where they are needed.
        TypeError: if dtypes do not match.

    Formula: y = w (x - mean) / sqrt(variance + eps) + b

    >>> import microtensor as mt
    >>> mt.batch_norm(mt.tensor([[1.0], [3.0]]), None, None, training=True, eps=0.0)
    tensor([[-1.],
            [ 1.]])
    """
    cdef Tensor x = as_tensor(input, "input")
    cdef ndarray a = x.array            # each array once: code of others may run in between, and replace one
    cdef Py_ssize_t channels, n
    if cnp.PyArray_NDIM(a) not in (2, 3):
        raise ValueError(f"batch_norm: expected input (N, C) or (N, C, L), got {(<object>a).shape}")
    if not is_float(a):
        raise TypeError(f"batch_norm: expected a float input, got {a.dtype}")
    channels = cnp.PyArray_DIM(a, 1)
    if weight is None:
        weight = constant(wrap(np.ones(channels, a.dtype)))
    if bias is None:
        bias = constant(wrap(np.zeros(channels, a.dtype)))
    cdef ndarray means = parameter_of("batch_norm", "running_mean", running_mean, a, 1, 2)
    cdef Version version_of_means = None if means is None else (<Tensor>running_mean).get_version()
    cdef ndarray variances = parameter_of("batch_norm", "running_var", running_var, a, 1, 2)
    cdef Version version_of_variances = None if variances is None else (<Tensor>running_var).get_version()
    cdef ndarray w = parameter_of("batch_norm", "weight", weight, a, 1, 2)
    cdef ndarray b = parameter_of("batch_norm", "bias", bias, a, 1, 2)
    if not training:
        if running_mean is None or running_var is None:
            raise ValueError("batch_norm: running_mean and running_var are needed when not training")
        scale = weight / sqrt(running_var + eps)
        centred = x - channelwise(running_mean, x.ndim)
        return centred * channelwise(scale, x.ndim) + channelwise(bias, x.ndim)

    n = cnp.PyArray_SIZE(a) // channels if channels else 0
    if n <= 1 and channels:
        raise ValueError("batch_norm: expected more than one value per channel in training, got input "
                         f"{(<object>a).shape}: use a larger batch, or eval()")
    for running in (running_mean, running_var):
        if running is not None:
            (<Tensor>running).check_writable()
            take_in(running, "batch_norm")
    cdef BatchNorm op = BatchNorm.__new__(BatchNorm)
    op.eps = eps
    cdef Py_ssize_t shape[2]
    shape[0], shape[1] = 3, channels
    cdef ndarray statistics = empty(2, shape, cnp.NPY_FLOAT64)
    y = op.apply(x, weight, bias, a, w, b, statistics)
    moved = means, version_of_means, variances, version_of_variances, n / (n - 1.) if channels else 1.0, momentum
    op.move_running(*moved)
    if is_taping():
        call_again(op.move_running, moved)
    return y


cdef void move_towards(ndarray running, const double* batch, double scale, double momentum) noexcept:
    """running = (1 - momentum) running + momentum scale batch, in place."""
    cdef Py_ssize_t c
    cdef bint single = is_single(running)
    cdef Py_ssize_t step = cnp.PyArray_STRIDE(running, 0)
    cdef char* data = <char*>cnp.PyArray_DATA(running)
    for c in range(cnp.PyArray_DIM(running, 0)):
        if single:
            (<float*>(data + c * step))[0] = <float>(
                (1 - momentum) * (<float*>(data + c * step))[0] + momentum * scale * batch[c])
        else:
            (<double*>(data + c * step))[0] = (
                (1 - momentum) * (<double*>(data + c * step))[0] + momentum * scale * batch[c])


# -- layer_norm -------------------------------------------------------------------------------------------------
# x is seen as M rows of N values, and w and b as a row each. For one row, with means over its N values, m, v, r and h
# are what they are above, and y = w h + b, where each value has its own w and b.
#
# dL/db = sum g,  dL/dw = sum g h, over the rows, and with u = dL/dh = g w the way from h to x is batch_norm's:
#     dx = r (u  -  mean(u)  -  h mean(u h))
#
# Threads share the rows in the loops for y and dx, and the columns in the one for dw and db, so results do not depend
# on their number. With c and m - c as above:
#     h  = (x - c) r + shift                  shift = -(m - c) r
#     dx = u r + (x - c) slope + shift        slope = -r^2 mean(u h),  shift = -r mean(u) - (m - c) slope

cdef struct LayerNormJob:
    bint single
    Py_ssize_t rows, n
    double eps
    double* mean        # of each row, and behind these
    double* r
    const void* x
    const void* w
    const void* b
    void* y
    const void* g       # backward only
    void* dx
    void* dw
    void* db


cdef void layer_norm_forward(const real* x, const real* w, const real* b, real* y, LayerNormJob* job,
                             Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef Py_ssize_t row, j, n = job.n
    cdef double mean, r
    cdef real c, s, shift
    x, y = x + first * n, y + first * n
    for row in range(first, last):
        mean = sum_run(x, n) / n
        r = 1 / simd.sqrt(sum_squares_run(x, mean, n) / n + job.eps)
        job.mean[row], job.r[row] = mean, r
        c, s = <real>mean, <real>r
        shift = <real>((c - mean) * r)
        for j in range(n):
            y[j] = ((x[j] - c) * s + shift) * w[j] + b[j]
        x, y = x + n, y + n


cdef void layer_norm_backward(const real* x, const real* w, const real* g, real* dx, LayerNormJob* job,
                              Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef Py_ssize_t row, j, n = job.n
    cdef double r, rest, sum_u, sum_uh
    cdef real c, s, slope, shift
    x, g, dx = x + first * n, g + first * n, dx + first * n
    for row in range(first, last):
        r, c = job.r[row], <real>job.mean[row]
        rest = job.mean[row] - c
        for j in range(n):
            dx[j] = g[j] * w[j]                             # u
        sum_u = sum_run(dx, n)
        sum_uh = (sum_products_run(dx, x, c, n) - rest * sum_u) * r
        s, slope = <real>r, <real>(-r * r * sum_uh / n)
        shift = <real>(-r * sum_u / n + rest * r * r * sum_uh / n)
        for j in range(n):
            dx[j] = dx[j] * s + ((x[j] - c) * slope + shift)
        x, g, dx = x + n, g + n, dx + n


cdef void layer_norm_weights(const real* x, const real* g, real* dw, real* db, const LayerNormJob* job,
                             Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """dw and db of the columns from first to last."""
    cdef double sums[COLUMNS]
    cdef double products[COLUMNS]
    cdef Py_ssize_t row, start, j, columns
    cdef real c, s, shift
    while first < last:
        columns = min(COLUMNS, last - first)
        for j in range(columns):
            sums[j] = products[j] = 0
        for row in range(job.rows):
            start = row * job.n + first
            c, s = <real>job.mean[row], <real>job.r[row]
            shift = <real>((c - job.mean[row]) * job.r[row])
            for j in range(columns):
                sums[j] += g[start + j]
                products[j] += g[start + j] * ((x[start + j] - c) * s + shift)
        for j in range(columns):
            db[first + j], dw[first + j] = <real>sums[j], <real>products[j]
        first += columns


cdef void layer_norm_rows_part(void* job_pointer, Py_ssize_t _number, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef LayerNormJob* job = <LayerNormJob*>job_pointer
    if job.single and job.g == NULL:
        layer_norm_forward(<const float*>job.x, <const float*>job.w, <const float*>job.b, <float*>job.y, job, first,
                           last)
    elif job.g == NULL:
        layer_norm_forward(<const double*>job.x, <const double*>job.w, <const double*>job.b, <double*>job.y, job, first,
                           last)
    elif job.single:
        layer_norm_backward(<const float*>job.x, <const float*>job.w, <const float*>job.g, <float*>job.dx, job, first,
                            last)
    else:
        layer_norm_backward(<const double*>job.x, <const double*>job.w, <const double*>job.g, <double*>job.dx, job,
                            first, last)


cdef void layer_norm_columns_part(void* job_pointer, Py_ssize_t _number, Py_ssize_t first,
                                  Py_ssize_t last) noexcept nogil:
    cdef LayerNormJob* job = <LayerNormJob*>job_pointer
    if job.single:
        layer_norm_weights(<const float*>job.x, <const float*>job.g, <float*>job.dw, <float*>job.db, job, first, last)
    else:
        layer_norm_weights(<const double*>job.x, <const double*>job.g, <double*>job.dw, <double*>job.db, job, first,
                           last)


@cython.final
@cython.no_gc
cdef class LayerNorm(WithBias):
    """w (x - mean) / sqrt(variance + eps) + b, with the mean and variance of each row."""

    cdef double eps
    cdef int first              # of the dimensions that make a row

    cdef Tensor apply(self, Tensor x, Tensor weight, Tensor bias, ndarray a, ndarray w, ndarray b):
        """a, w, b: their arrays when they were checked."""
        self.a, self.b, self.bias = a, w, b
        self.y = empty_like(a)
        cdef Py_ssize_t shape[2]
        shape[0], shape[1] = 2, self.count_rows()
        self.context = empty(2, shape, cnp.NPY_FLOAT64)     # each row's mean and (variance + eps)^(-1/2)
        self.run_forward()
        return record(self, x, weight, bias)

    cdef Py_ssize_t count_rows(self) noexcept:
        cdef Py_ssize_t rows = 1
        cdef int d
        for d in range(self.first):
            rows *= cnp.PyArray_DIM(self.a, d)
        return rows

    cdef void fill_in(self, LayerNormJob* job, ndarray x, ndarray w):
        """What forward and backward both read."""
        job.single, job.eps, job.rows, job.n = is_single(x), self.eps, self.count_rows(), cnp.PyArray_SIZE(w)
        job.mean = <double*>cnp.PyArray_DATA(<ndarray>self.context)
        job.r = job.mean + job.rows
        job.x, job.w = cnp.PyArray_DATA(x), cnp.PyArray_DATA(w)

    cdef int run_forward(self) except -1:
        cdef ndarray x = contiguous(self.a), w = contiguous(self.b), b = contiguous(self.bias)
        cdef LayerNormJob job
        self.fill_in(&job, x, w)
        job.b, job.y, job.g = cnp.PyArray_DATA(b), cnp.PyArray_DATA(self.y), NULL
        if job.n > 0:
            parallel_for(layer_norm_rows_part, &job, job.rows, 1, max(ELEMENTS_PER_THREAD // job.n, 1))
        return 0

    cdef int reads(self) noexcept:
        return INPUT | OTHER | CONTEXT

    cdef int allocate_gradients(self) except -1:
        if self.needs(0):
            self.da = empty_like(self.a)
        if self.needs(1) or self.needs(2):
            self.db, self.dbias = empty_like(self.b), empty_like(self.b)
        return 0

    cdef int run_backward(self) except -1:
        cdef ndarray x = contiguous(self.a), w = contiguous(self.b)
        cdef LayerNormJob job
        self.fill_in(&job, x, w)
        job.g = cnp.PyArray_DATA(<ndarray>self.g)
        if self.da is not None and job.n > 0:
            job.dx = cnp.PyArray_DATA(self.da)
            parallel_for(layer_norm_rows_part, &job, job.rows, 1, max(ELEMENTS_PER_THREAD // job.n, 1))
        if self.db is not None:
            job.dw, job.db = cnp.PyArray_DATA(self.db), cnp.PyArray_DATA(self.dbias)
            parallel_for(layer_norm_columns_part, &job, job.n, UNIT, max(ELEMENTS_PER_THREAD // max(job.rows, 1), 1))
        return 0

    def rule(self, Tensor g not None):
        x, w = self.input(0), self.input(1)
        h, r = normalised(x, list(range(self.first, x.ndim)), self.eps)
        dx = normalised_backward(g * w, h, r, list(range(self.first, x.ndim)))
        return dx, sum_to(g * h, w.shape), sum_to(g, w.shape)

    @staticmethod
    def samples(draw):
        def twin(x, w, b):
            dims = tuple(range(x.ndim - w.ndim, x.ndim))
            return w * (x - x.mean(dims, keepdims=True)) / np.sqrt(x.var(dims, keepdims=True) + 1e-5) + b

        for shape, row in (((4, 5), (5,)), ((2, 3, 5), (3, 5)), ((2, 3, 5), (5,)), ((7,), (7,)), ((0, 3), (3,))):
            yield Sample(lambda x, w, b: layer_norm(x, w.shape, w, b), [draw(*shape), draw(*row), draw(*row)], twin,
                         zero_gradient=0 in shape)


def layer_norm(input, normalized_shape, Tensor weight=None, Tensor bias=None, double eps=1e-5):
    """Layer normalisation (Ba, Kiros and Hinton 2016): each row is brought to mean 0 and variance 1.

    A row is what lies along the last dimensions, those of normalized_shape. It is scaled and shifted then.

    Args:
        input: x, (..., *normalized_shape), float32 or float64.
        normalized_shape: the sizes of the last dimensions, or an int for the last one.
        weight, bias: w and b, of normalized_shape and x's dtype, or None for 1 and 0.
        eps: added to the variance, which is the biased one.

    Returns:
        y, of x's shape and dtype.

    Raises:
        ValueError: if shapes do not match.
        TypeError: if dtypes do not match, or normalized_shape is neither an int nor a tuple of them.

    Formula: y = w (x - mean) / sqrt(variance + eps) + b

    >>> import microtensor as mt
    >>> mt.layer_norm(mt.tensor([[1.0, 3.0], [10.0, 30.0]]), 2, eps=0.0)
    tensor([[-1.,  1.],
            [-1.,  1.]])
    """
    cdef Tensor x = as_tensor(input, "input")
    cdef ndarray a = x.array            # each array once: code of others may run in between, and replace one
    cdef int ndim = cnp.PyArray_NDIM(a)
    cdef tuple row = row_shape(normalized_shape)
    if (<object>a).shape[-len(row):] != row:
        raise ValueError(f"layer_norm: expected input with last dims {row}, the normalized_shape, got "
                         f"{(<object>a).shape}")
    if not is_float(a):
        raise TypeError(f"layer_norm: expected a float input, got {a.dtype}")
    cdef int first = ndim - <int>len(row)
    if weight is None:
        weight = constant(wrap(np.ones(row, a.dtype)))
    if bias is None:
        bias = constant(wrap(np.zeros(row, a.dtype)))
    cdef ndarray w = parameter_of("layer_norm", "weight", weight, a, first, ndim)
    cdef ndarray b = parameter_of("layer_norm", "bias", bias, a, first, ndim)
    cdef LayerNorm op = LayerNorm.__new__(LayerNorm)
    op.eps, op.first = eps, first
    return op.apply(x, weight, bias, a, w, b)


def row_shape(normalized_shape):
    """The sizes of the dimensions that make a row, as a tuple; an int stands for one of them.

    Raises:
        TypeError: if they are no ints.
        ValueError: if there are none.
    """
    sizes = (normalized_shape,) if hasattr(normalized_shape, "__index__") else normalized_shape
    try:
        row = tuple([operator.index(size) for size in sizes])
    except TypeError:
        raise TypeError(f"normalized_shape is an int or a tuple of ints, not {normalized_shape!r}") from None
    if not row:
        raise ValueError(f"normalized_shape must name at least one dimension, got {normalized_shape!r}")
    return row
