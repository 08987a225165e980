"""batch_norm: each channel of a batch brought to mean 0 and variance 1, then scaled and shifted.

x is (N, C) or (N, C, L), seen as (N, C, L): n = N L values for each channel c.
"""

cimport cython
cimport numpy as cnp
from numpy cimport ndarray

from microtensor cimport simd
from microtensor.core cimport Engine, Op, Tensor, contiguous, empty, empty_like, is_float, is_single, record, wrap
from microtensor.ops.axes cimport Axes, axes_of
from microtensor.simd cimport real

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

cdef void batch_norm_statistics(const real* x, Axes axes, double* mean, double* variance) noexcept nogil:
    """Each channel's mean and biased variance, in one pass over x."""
    cdef Py_ssize_t o, c, i, C = axes.length, L = axes.inner
    cdef const real* row
    cdef double d, s, q, n = <double>(axes.outer * L)
    for c in range(C):
        mean[c] = 0
        variance[c] = 0
    for o in range(axes.outer):
        row = x + o * C * L
        if L == 1:
            for c in range(C):
                d = <double>row[c] - <double>x[c]
                mean[c] += d
                variance[c] += d * d
        else:
            for c in range(C):
                s = 0
                q = 0
                for i in range(L):
                    d = <double>row[c * L + i] - <double>x[c * L]
                    s += d
                    q += d * d
                mean[c] += s
                variance[c] += q
    for c in range(C):
        d = mean[c] / n
        s = variance[c] / n - d * d
        mean[c] = d + x[c * L]
        variance[c] = s if s > 0 else 0 * s             # rounding may leave it below 0; nan stays nan


cdef inline real normalised(real x, double mean, double r) noexcept nogil:
    """h = (x - m) r, the difference taken in double: a large mean costs no digits."""
    return <real>((x - mean) * r)


# The innermost loop runs over channels where L = 1 and over L otherwise, so that it is long in both cases.

cdef void batch_norm_forward(const real* x, const real* w, const real* b, const double* mean, const double* r, real* y,
                             Axes axes) noexcept nogil:
    cdef Py_ssize_t _o, c, i, C = axes.length, L = axes.inner
    for _o in range(axes.outer):
        if L == 1:
            for c in range(C):
                y[c] = normalised(x[c], mean[c], r[c]) * w[c] + b[c]
        else:
            for c in range(C):
                for i in range(L):
                    y[c * L + i] = normalised(x[c * L + i], mean[c], r[c]) * w[c] + b[c]
        x += C * L
        y += C * L


cdef void batch_norm_sums(const real* x, const double* mean, const double* r, const real* g, double* sum_g,
                          double* sum_gh, Axes axes) noexcept nogil:
    """Each channel's sum g and sum g h."""
    cdef Py_ssize_t _o, c, i, C = axes.length, L = axes.inner
    for c in range(C):
        sum_g[c] = 0
        sum_gh[c] = 0
    for _o in range(axes.outer):
        if L == 1:
            for c in range(C):
                sum_g[c] += g[c]
                sum_gh[c] += g[c] * ((x[c] - mean[c]) * r[c])
        else:
            for c in range(C):
                for i in range(L):
                    sum_g[c] += g[c * L + i]
                    sum_gh[c] += g[c * L + i] * ((x[c * L + i] - mean[c]) * r[c])
        x += C * L
        g += C * L


cdef void batch_norm_backward(const real* x, const real* w, const double* mean, const double* r, const real* g,
                              const double* mean_g, const double* mean_gh, real* dx, Axes axes) noexcept nogil:
    cdef Py_ssize_t _o, c, i, C = axes.length, L = axes.inner
    for _o in range(axes.outer):
        if L == 1:
            for c in range(C):
                dx[c] = <real>(w[c] * r[c] * (g[c] - mean_g[c] - (x[c] - mean[c]) * r[c] * mean_gh[c]))
        else:
            for c in range(C):
                for i in range(L):
                    dx[c * L + i] = <real>(w[c] * r[c] * (g[c * L + i] - mean_g[c]
                                                          - (x[c * L + i] - mean[c]) * r[c] * mean_gh[c]))
        x += C * L
        g += C * L
        dx += C * L


cdef void channel_gradients(const double* sum_g, const double* sum_gh, real* dw, real* db, Py_ssize_t C) noexcept nogil:
    cdef Py_ssize_t c
    for c in range(C):
        db[c] = <real>sum_g[c]
        dw[c] = <real>sum_gh[c]


@cython.final
@cython.no_gc
cdef class BatchNorm(Op):
    """w (x - mean) / sqrt(variance + eps) + b, with the batch's own mean and variance."""

    cdef double eps

    cdef Tensor apply(self, Tensor x, Tensor weight, Tensor bias, ndarray statistics):
        """statistics: float64 (3, C), to be filled with each channel's mean, variance and (variance + eps)^(-1/2)."""
        cdef ndarray x_array = contiguous(x.array)
        cdef ndarray w = contiguous(weight.array), b = contiguous(bias.array)
        cdef ndarray y_array = empty_like(x_array)
        cdef Axes axes = axes_of(x_array, 1)
        cdef double* mean = <double*>cnp.PyArray_DATA(statistics)
        cdef double* variance = mean + axes.length
        cdef double* r = variance + axes.length
        cdef Py_ssize_t c
        if is_single(x_array):
            batch_norm_statistics(<const float*>cnp.PyArray_DATA(x_array), axes, mean, variance)
        else:
            batch_norm_statistics(<const double*>cnp.PyArray_DATA(x_array), axes, mean, variance)
        for c in range(axes.length):
            r[c] = 1 / simd.sqrt(variance[c] + self.eps)
        if is_single(x_array):
            batch_norm_forward(<const float*>cnp.PyArray_DATA(x_array), <const float*>cnp.PyArray_DATA(w),
                               <const float*>cnp.PyArray_DATA(b), mean, r, <float*>cnp.PyArray_DATA(y_array), axes)
        else:
            batch_norm_forward(<const double*>cnp.PyArray_DATA(x_array), <const double*>cnp.PyArray_DATA(w),
                               <const double*>cnp.PyArray_DATA(b), mean, r, <double*>cnp.PyArray_DATA(y_array), axes)
        cdef Tensor y = record(self, y_array, x, weight, bias)
        if y.op is not None:
            self.save(x, weight, None)
            self.context = statistics
        return y

    cdef int backward(self, ndarray g, Engine engine) except -1:
        cdef ndarray x = contiguous(self.a), w = contiguous(self.b), statistics = self.context
        cdef ndarray dx = empty_like(x), dw = empty_like(w), db = empty_like(w)
        cdef Axes axes = axes_of(x, 1)
        cdef Py_ssize_t c, room = 2 * axes.length
        cdef ndarray sums = empty(1, &room, cnp.NPY_FLOAT64)
        cdef double* sum_g = <double*>cnp.PyArray_DATA(sums)
        cdef double* sum_gh = sum_g + axes.length
        cdef const double* mean = <const double*>cnp.PyArray_DATA(statistics)
        cdef const double* r = mean + 2 * axes.length
        if is_single(x):
            batch_norm_sums(<const float*>cnp.PyArray_DATA(x), mean, r, <const float*>cnp.PyArray_DATA(g), sum_g,
                            sum_gh, axes)
            channel_gradients(sum_g, sum_gh, <float*>cnp.PyArray_DATA(dw), <float*>cnp.PyArray_DATA(db), axes.length)
        else:
            batch_norm_sums(<const double*>cnp.PyArray_DATA(x), mean, r, <const double*>cnp.PyArray_DATA(g), sum_g,
                            sum_gh, axes)
            channel_gradients(sum_g, sum_gh, <double*>cnp.PyArray_DATA(dw), <double*>cnp.PyArray_DATA(db), axes.length)
        engine.give(self, 1, dw)
        engine.give(self, 2, db)
        if not self.needs(0):
            return 0
        for c in range(room):
            sum_g[c] /= axes.outer * axes.inner         # sums become means
        if is_single(x):
            batch_norm_backward(<const float*>cnp.PyArray_DATA(x), <const float*>cnp.PyArray_DATA(w), mean, r,
                                <const float*>cnp.PyArray_DATA(g), sum_g, sum_gh, <float*>cnp.PyArray_DATA(dx), axes)
        else:
            batch_norm_backward(<const double*>cnp.PyArray_DATA(x), <const double*>cnp.PyArray_DATA(w), mean, r,
                                <const double*>cnp.PyArray_DATA(g), sum_g, sum_gh, <double*>cnp.PyArray_DATA(dx), axes)
        return engine.give(self, 0, dx)

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
