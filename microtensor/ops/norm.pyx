"""batch_norm: each channel of a batch brought to mean 0 and variance 1, then scaled and shifted.

x is (N, C) or (N, C, L), seen as (N, C, L): n = N L values for each channel c.
"""

cimport cython
cimport numpy as cnp
from cython.parallel cimport prange
from numpy cimport ndarray

from microtensor.kernels cimport simd
from microtensor.core cimport Engine, Op, Tensor, contiguous, empty, empty_like, is_float, is_single, record, wrap
from microtensor.ops.axes cimport Axes, axes_of
from microtensor.kernels.simd cimport real
from microtensor.kernels.threads cimport PARALLEL_ELEMENTS, RELEASE_ELEMENTS, share, threads_for

import numpy as np

from microtensor.ops.arithmetic import sqrt
from microtensor.ops.sample import Sample

cnp.import_array()


# -- batch_norm -------------------------------------------------------------------------------------------------
# For one channel, with means over its n values:
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
# Loops run over strips of up to LANES consecutive elements, each lane with sums and factors of its own. With L = 1 a
# strip holds a group of channels side by side; otherwise it is a part of one channel, and its lanes are added up in
# the end. Threads share the channels, so results do not depend on their number.
#
# Sums are taken in double, of four rows at a time that were added in x's own type. The other loops compute in that
# type with c, the mean as rounded to it, since x - c is as good as exact near the mean; what the rounding left, m - c,
# goes into the additive factor:
#     y  = (x - c) scale + shift              scale = w r,  shift = b - (m - c) w r
#     dx = g scale + (x - c) slope + shift    slope = -w r^2 mean(g h),  shift = -w r mean(g) - (m - c) slope

cdef enum:
    LANES = 1024        # what is kept for each lane fits in the first-level cache
    UNIT = 16           # channels: with L = 1, threads split them at whole cache lines


cdef struct Group:
    Py_ssize_t channel, channels        # the first, and how many
    Py_ssize_t start                    # the group's first element
    Py_ssize_t rows, step, width        # rows of consecutive elements, a step apart, to be cut into strips


cdef inline Group group_of(Axes axes, Py_ssize_t channel, Py_ssize_t last) noexcept nogil:
    """The group that begins with a channel and ends before the last."""
    cdef Group group
    group.channel = channel
    group.channels = min(LANES, last - channel) if axes.inner == 1 else 1
    group.start = channel * axes.inner
    group.rows = axes.outer
    group.step = axes.length * axes.inner
    group.width = group.channels * axes.inner
    return group


cdef inline Py_ssize_t count_strips(Group group) noexcept nogil:
    return (group.width + LANES - 1) // LANES


cdef inline void fold(double* lanes, Group group) noexcept nogil:
    """Turn the lanes' sums into one per channel."""
    cdef Py_ssize_t j
    if group.channels == 1:
        for j in range(1, min(group.width, LANES)):
            lanes[0] += lanes[j]


cdef inline void spread(real* lanes, Group group) noexcept nogil:
    """Turn one factor per channel into one per lane."""
    cdef Py_ssize_t j
    if group.channels == 1:
        for j in range(1, min(group.width, LANES)):
            lanes[j] = lanes[0]


cdef inline void add_moments(const real* x, const real* k, double* sums, double* squares, Py_ssize_t rows,
                             Py_ssize_t step, Py_ssize_t n) noexcept nogil:
    """sums += x - k and squares += (x - k)^2 over rows of n elements, a step apart."""
    cdef Py_ssize_t j, row = 0
    cdef real d0, d1, d2, d3
    while row + 4 <= rows:
        for j in range(n):
            d0, d1 = x[j] - k[j], x[step + j] - k[j]
            d2, d3 = x[2 * step + j] - k[j], x[3 * step + j] - k[j]
            sums[j] += (d0 + d1) + (d2 + d3)
            squares[j] += (d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3)
        x += 4 * step
        row += 4
    while row < rows:
        for j in range(n):
            d0 = x[j] - k[j]
            sums[j] += d0
            squares[j] += d0 * d0
        x += step
        row += 1


cdef void batch_norm_statistics(const real* x, Group group, double n, double* mean, double* variance) noexcept nogil:
    """Each channel's mean and biased variance, in one pass over x."""
    cdef Py_ssize_t strip, i, j, lanes = min(group.width, LANES)
    cdef real k[LANES]
    cdef double sums[LANES]
    cdef double squares[LANES]
    cdef double d
    for j in range(group.channels):
        k[j] = x[j]
    spread(k, group)
    for j in range(lanes):
        sums[j] = squares[j] = 0
    for strip in range(count_strips(group)):
        i = strip * LANES
        add_moments(x + i, k, sums, squares, group.rows, group.step, min(LANES, group.width - i))
    fold(sums, group)
    fold(squares, group)
    for j in range(group.channels):
        d = sums[j] / n
        mean[j] = d + k[j]
        d = squares[j] / n - d * d
        variance[j] = d if d > 0 else 0 * d             # rounding may leave it below 0; nan stays nan


cdef void batch_norm_channels(const real* x, const real* w, const real* b, double eps, double* statistics, real* y,
                              Axes axes, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """y of some channels. statistics (3, C): each channel's mean, variance and r, filled in."""
    cdef Py_ssize_t row, strip, i, j, c = first
    cdef Group group
    cdef const real* x_strip
    cdef real* y_strip
    cdef double* mean = statistics
    cdef double* variance = mean + axes.length
    cdef double* r = variance + axes.length
    cdef real centre[LANES]
    cdef real scale[LANES]
    cdef real shift[LANES]
    while c < last:
        group = group_of(axes, c, last)
        batch_norm_statistics(x + group.start, group, <double>(axes.outer * axes.inner), mean + c, variance + c)
        for j in range(group.channels):
            r[c + j] = 1 / simd.sqrt(variance[c + j] + eps)
            centre[j] = <real>mean[c + j]
            scale[j] = <real>(w[c + j] * r[c + j])
            shift[j] = <real>(b[c + j] - (mean[c + j] - centre[j]) * w[c + j] * r[c + j])
        spread(centre, group)
        spread(scale, group)
        spread(shift, group)
        for row in range(group.rows):
            for strip in range(count_strips(group)):
                i = strip * LANES
                x_strip = x + group.start + row * group.step + i
                y_strip = y + group.start + row * group.step + i
                for j in range(min(LANES, group.width - i)):
                    y_strip[j] = (x_strip[j] - centre[j]) * scale[j] + shift[j]
        c += group.channels


cdef void batch_norm_forward(const real* x, const real* w, const real* b, double eps, double* statistics, real* y,
                             Axes axes) noexcept nogil:
    cdef Py_ssize_t C = axes.length, unit = UNIT if axes.inner == 1 else 1
    cdef Py_ssize_t part, parts = threads_for(axes.outer * C * axes.inner, PARALLEL_ELEMENTS)
    if parts == 1:
        batch_norm_channels(x, w, b, eps, statistics, y, axes, 0, C)
        return
    for part in prange(parts, num_threads=<int>parts, schedule="static"):
        batch_norm_channels(x, w, b, eps, statistics, y, axes, share(part, parts, C, unit),
                            share(part + 1, parts, C, unit))


cdef inline void add_products(const real* g, const real* x, const real* centre, double* sums, double* products,
                              Py_ssize_t rows, Py_ssize_t step, Py_ssize_t n) noexcept nogil:
    """sums += g and products += g (x - centre) over rows of n elements, a step apart."""
    cdef Py_ssize_t j, row = 0, two = 2 * step, three = 3 * step
    while row + 4 <= rows:
        for j in range(n):
            sums[j] += (g[j] + g[step + j]) + (g[two + j] + g[three + j])
            products[j] += (g[j] * (x[j] - centre[j]) + g[step + j] * (x[step + j] - centre[j])) \
                + (g[two + j] * (x[two + j] - centre[j]) + g[three + j] * (x[three + j] - centre[j]))
        g += 4 * step
        x += 4 * step
        row += 4
    while row < rows:
        for j in range(n):
            sums[j] += g[j]
            products[j] += g[j] * (x[j] - centre[j])
        g += step
        x += step
        row += 1


cdef void batch_norm_gradients(const real* x, const real* w, const double* statistics, const real* g, real* dw,
                               real* db, real* dx, Axes axes, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """dw, db, and dx unless that is NULL, of some channels."""
    cdef Py_ssize_t row, strip, i, j, at, c = first
    cdef Group group
    cdef const double* mean = statistics
    cdef const double* r = mean + 2 * axes.length
    cdef double n = <double>(axes.outer * axes.inner), rest
    cdef double sum_g[LANES]
    cdef double sum_gh[LANES]
    cdef real centre[LANES]
    cdef real scale[LANES]
    cdef real slope[LANES]
    cdef real shift[LANES]
    cdef const real* x_strip
    cdef const real* g_strip
    cdef real* dx_strip
    while c < last:
        group = group_of(axes, c, last)
        for j in range(group.channels):
            centre[j] = <real>mean[c + j]
        spread(centre, group)
        for j in range(min(group.width, LANES)):
            sum_g[j] = sum_gh[j] = 0
        for strip in range(count_strips(group)):
            i = strip * LANES
            at = group.start + i
            add_products(g + at, x + at, centre, sum_g, sum_gh, group.rows, group.step, min(LANES, group.width - i))
        fold(sum_g, group)
        fold(sum_gh, group)
        for j in range(group.channels):
            sum_gh[j] = (sum_gh[j] - (mean[c + j] - centre[j]) * sum_g[j]) * r[c + j]
            db[c + j] = <real>sum_g[j]
            dw[c + j] = <real>sum_gh[j]
            rest = -w[c + j] * r[c + j] * r[c + j] * sum_gh[j] / n
            scale[j] = <real>(w[c + j] * r[c + j])
            slope[j] = <real>rest
            shift[j] = <real>(-w[c + j] * r[c + j] * sum_g[j] / n - (mean[c + j] - centre[j]) * rest)
        spread(scale, group)
        spread(slope, group)
        spread(shift, group)
        for row in range(group.rows if dx != NULL else 0):
            for strip in range(count_strips(group)):
                i = strip * LANES
                at = group.start + row * group.step + i
                x_strip, g_strip, dx_strip = x + at, g + at, dx + at
                for j in range(min(LANES, group.width - i)):
                    dx_strip[j] = g_strip[j] * scale[j] + ((x_strip[j] - centre[j]) * slope[j] + shift[j])
        c += group.channels


cdef void batch_norm_backward(const real* x, const real* w, const double* statistics, const real* g, real* dw, real* db,
                              real* dx, Axes axes) noexcept nogil:
    cdef Py_ssize_t C = axes.length, unit = UNIT if axes.inner == 1 else 1
    cdef Py_ssize_t part, parts = threads_for(axes.outer * C * axes.inner, PARALLEL_ELEMENTS)
    if parts == 1:
        batch_norm_gradients(x, w, statistics, g, dw, db, dx, axes, 0, C)
        return
    for part in prange(parts, num_threads=<int>parts, schedule="static"):
        batch_norm_gradients(x, w, statistics, g, dw, db, dx, axes, share(part, parts, C, unit),
                             share(part + 1, parts, C, unit))


@cython.final
@cython.no_gc
cdef class BatchNorm(Op):
    """w (x - mean) / sqrt(variance + eps) + b, with the batch's own mean and variance."""

    cdef double eps
    cdef bint single

    cdef Tensor apply(self, Tensor x, Tensor weight, Tensor bias, ndarray statistics):
        """statistics: float64 (3, C), to be filled with each channel's mean, variance and (variance + eps)^(-1/2)."""
        cdef ndarray x_array = contiguous(x.array)
        cdef ndarray w = contiguous(weight.array), b = contiguous(bias.array)
        cdef ndarray y_array = empty_like(x_array)
        cdef const void* x_data = cnp.PyArray_DATA(x_array)
        cdef const void* w_data = cnp.PyArray_DATA(w)
        cdef const void* b_data = cnp.PyArray_DATA(b)
        cdef double* statistics_data = <double*>cnp.PyArray_DATA(statistics)
        cdef void* y_data = cnp.PyArray_DATA(y_array)
        cdef Axes axes = axes_of(x_array, 1)
        self.single = is_single(x_array)
        if cnp.PyArray_SIZE(x_array) < RELEASE_ELEMENTS:
            self.forward_loop(x_data, w_data, b_data, statistics_data, y_data, axes)
        else:
            with nogil:
                self.forward_loop(x_data, w_data, b_data, statistics_data, y_data, axes)
        cdef Tensor y = record(self, y_array, x, weight, bias)
        if y.op is not None:
            self.save(x, weight, None)
            self.context = statistics
        return y

    cdef int backward(self, ndarray g, Engine engine) except -1:
        cdef ndarray x = contiguous(self.a), w = contiguous(self.b), statistics = self.context
        cdef ndarray dw = empty_like(w), db = empty_like(w)
        cdef ndarray dx = empty_like(x) if self.needs(0) else None
        cdef const void* x_data = cnp.PyArray_DATA(x)
        cdef const void* w_data = cnp.PyArray_DATA(w)
        cdef const double* statistics_data = <const double*>cnp.PyArray_DATA(statistics)
        cdef const void* g_data = cnp.PyArray_DATA(g)
        cdef void* dw_data = cnp.PyArray_DATA(dw)
        cdef void* db_data = cnp.PyArray_DATA(db)
        cdef void* dx_data = NULL if dx is None else cnp.PyArray_DATA(dx)
        cdef Axes axes = axes_of(x, 1)
        if cnp.PyArray_SIZE(x) < RELEASE_ELEMENTS:
            self.backward_loop(x_data, w_data, statistics_data, g_data, dw_data, db_data, dx_data, axes)
        else:
            with nogil:
                self.backward_loop(x_data, w_data, statistics_data, g_data, dw_data, db_data, dx_data, axes)
        engine.give(self, 1, dw)
        engine.give(self, 2, db)
        return 0 if dx is None else engine.give(self, 0, dx)

    cdef void forward_loop(self, const void* x, const void* w, const void* b, double* statistics, void* y,
                           Axes axes) noexcept nogil:
        if self.single:
            batch_norm_forward(<const float*>x, <const float*>w, <const float*>b, self.eps, statistics, <float*>y, axes)
        else:
            batch_norm_forward(<const double*>x, <const double*>w, <const double*>b, self.eps, statistics, <double*>y,
                               axes)

    cdef void backward_loop(self, const void* x, const void* w, const double* statistics, const void* g, void* dw,
                            void* db, void* dx, Axes axes) noexcept nogil:
        if self.single:
            batch_norm_backward(<const float*>x, <const float*>w, statistics, <const float*>g, <float*>dw, <float*>db,
                                <float*>dx, axes)
        else:
            batch_norm_backward(<const double*>x, <const double*>w, statistics, <const double*>g, <double*>dw,
                                <double*>db, <double*>dx, axes)

    def rule(self, Tensor g):
        x, w = self.input(0), self.input(1)
        dims = [d for d in range(x.ndim) if d != 1]
        centred = x - x.mean(dims, keepdim=True)
        r = 1 / sqrt((centred * centred).mean(dims, keepdim=True) + self.eps)
        h = centred * r
        dx = channelwise(w, x.ndim) * r * (g - g.mean(dims, keepdim=True) - h * (g * h).mean(dims, keepdim=True))
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


cdef int check_vector(str name, Tensor vector, Tensor input, Py_ssize_t channels) except -1:
    """Raise unless a vector is None or holds one number of the input's dtype per channel."""
    if vector is None:
        return 0
    if cnp.PyArray_NDIM(vector.array) != 1 or cnp.PyArray_DIM(vector.array, 0) != channels:
        raise ValueError(f"batch_norm: expected {name} of shape {(channels,)} for input {input.shape}, "
                         f"got {vector.shape}")
    if cnp.PyArray_TYPE(vector.array) != cnp.PyArray_TYPE(input.array):
        raise TypeError(f"batch_norm: expected {name} of the input's dtype {input.dtype}, got {vector.dtype}")
    return 0


def batch_norm(Tensor input not None, Tensor running_mean, Tensor running_var, Tensor weight=None, Tensor bias=None,
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
    cdef Py_ssize_t channels, n
    if cnp.PyArray_NDIM(input.array) not in (2, 3):
        raise ValueError(f"batch_norm: expected input (N, C) or (N, C, L), got {input.shape}")
    if not is_float(input.array):
        raise TypeError(f"batch_norm: expected a float input, got {input.dtype}")
    channels = cnp.PyArray_DIM(input.array, 1)
    check_vector("running_mean", running_mean, input, channels)
    check_vector("running_var", running_var, input, channels)
    check_vector("weight", weight, input, channels)
    check_vector("bias", bias, input, channels)
    if weight is None:
        weight = wrap(np.ones(channels, input.dtype))
    if bias is None:
        bias = wrap(np.zeros(channels, input.dtype))
    if not training:
        if running_mean is None or running_var is None:
            raise ValueError("batch_norm: running_mean and running_var are needed when not training")
        scale = weight / sqrt(running_var + eps)
        centred = input - channelwise(running_mean, input.ndim)
        return centred * channelwise(scale, input.ndim) + channelwise(bias, input.ndim)

    n = cnp.PyArray_SIZE(input.array) // channels if channels else 0
    if n <= 1 and channels:
        raise ValueError(f"batch_norm: expected more than one value per channel in training, got input {input.shape}: "
                         "use a larger batch, or eval()")
    for running in (running_mean, running_var):
        if running is not None:
            (<Tensor>running).before_write()
    cdef BatchNorm op = BatchNorm.__new__(BatchNorm)
    op.eps = eps
    cdef Py_ssize_t shape[2]
    shape[0], shape[1] = 3, channels
    cdef ndarray statistics = empty(2, shape, cnp.NPY_FLOAT64)
    cdef const double* mean = <const double*>cnp.PyArray_DATA(statistics)
    y = op.apply(input, weight, bias, statistics)
    if running_mean is not None:
        move_towards(running_mean, mean, 1, momentum)
    if running_var is not None:
        move_towards(running_var, mean + channels, n / (n - 1.), momentum)
    return y


cdef int move_towards(Tensor running, const double* batch, double scale, double momentum) except -1:
    """running = (1 - momentum) running + momentum scale batch, in place."""
    cdef Py_ssize_t c
    cdef bint single = is_single(running.array)
    cdef Py_ssize_t step = cnp.PyArray_STRIDE(running.array, 0)
    cdef char* data = <char*>cnp.PyArray_DATA(running.array)
    for c in range(cnp.PyArray_DIM(running.array, 0)):
        if single:
            (<float*>(data + c * step))[0] = <float>(
                (1 - momentum) * (<float*>(data + c * step))[0] + momentum * scale * batch[c])
        else:
            (<double*>(data + c * step))[0] = (
                (1 - momentum) * (<double*>(data + c * step))[0] + momentum * scale * batch[c])
    running.after_write()
    return 0
