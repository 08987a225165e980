"""Along a dimension: softmax and log_softmax; and the losses made of them, cross_entropy and nll_loss.

x is the input, y the output, g = dL/dy, dx = dL/dx. The loops are given blocks of lines that fit in the L1 cache (see
kernels/lines.pyx): rows, whose elements are adjacent, or columns, which lie side by side.
"""

cimport cython
cimport numpy as cnp
from libc.string cimport memcpy
from numpy cimport ndarray

from microtensor.core cimport (
    CONTEXT, INPUT, Op, Tensor, as_tensor, call_again, contiguous, either, empty, empty_like, is_taping, is_float,
    is_single, lent, record, set_number, take_in, wrap,
)
from microtensor.kernels cimport simd
from microtensor.kernels.lines cimport MAX_HEIGHT, Block, height_in_cache, rows_at
from microtensor.kernels.simd cimport real
from microtensor.kernels.sums cimport larger, max_of_rows, sum_run
from microtensor.kernels.threads cimport EXPONENTIALS_PER_THREAD, MAX_PARTS, parallel_for, parts_of
from microtensor.ops.base cimport AlongDim, AlongDimLoops
from microtensor.ops.loss cimport check_pair, check_reduction, reduced

import numpy as np

from microtensor.ops.arithmetic import exp, where
from microtensor.ops.sample import Sample

cnp.import_array()


cdef void exponentials(const real* x, real* e, const Block* block, real* m, double* s) noexcept nogil:
    """e = e^(x - m), with each line's largest x in m and its sum of e in s."""
    cdef Py_ssize_t l, r, i, length = block.length
    if not block.columns:
        max_of_rows(x, block.lines, length, length, m)
        for r in range(block.lines):
            for l in range(length):
                e[r * length + l] = x[r * length + l] - m[r]
        for i in range(block.lines * length):       # one vector loop over all rows
            e[i] = simd.exp(e[i])
        for r in range(block.lines):
            s[r] = sum_run(e + r * length, length)
        return
    for r in range(block.lines):
        m[r] = -<real>simd.INFINITY
        s[r] = 0
    for l in range(length):
        for r in range(block.lines):
            m[r] = larger(m[r], x[l * block.step + r])
    for l in range(length):
        for r in range(block.lines):
            i = l * block.step + r
            e[i] = simd.exp(x[i] - m[r])
            s[r] += e[i]


# -- softmax --------------------------------------------------------------------------------------------------
# y_l = e^x_l / s,  s = e^x_1 + ... + e^x_n;  with every x_l less max(x), y is the same and nothing overflows
# dy_k/dx_l = y_k ([k = l] - y_l)                                        (quotient rule)
# dx_l = sum_k g_k dy_k/dx_l = y_l (g_l - sum_k g_k y_k)                 needs y, not x

cdef void softmax_forward(const real* x, real* y, const Block* block) noexcept nogil:
    cdef Py_ssize_t l, r, i, length = block.length
    cdef real m[MAX_HEIGHT]
    cdef real s[MAX_HEIGHT]
    cdef double total[MAX_HEIGHT]
    exponentials(x, y, block, m, total)
    for r in range(block.lines):
        s[r] = <real>total[r]
    if not block.columns:
        for r in range(block.lines):
            for i in range(r * length, (r + 1) * length):
                y[i] = y[i] / s[r]
    else:
        for l in range(length):
            for r in range(block.lines):
                i = l * block.step + r
                y[i] = y[i] / s[r]


cdef void softmax_backward(const real* y, const real* g, real* dx, const Block* block) noexcept nogil:
    cdef Py_ssize_t l, r, i, length = block.length
    cdef double dot[MAX_HEIGHT]
    cdef real s
    if not block.columns:
        for i in range(block.lines * length):
            dx[i] = g[i] * y[i]
        for r in range(block.lines):
            s = <real>sum_run(dx + r * length, length)
            for i in range(r * length, (r + 1) * length):
                dx[i] = y[i] * (g[i] - s)
    else:
        for r in range(block.lines):
            dot[r] = 0
        for l in range(length):
            for r in range(block.lines):
                i = l * block.step + r
                dot[r] += g[i] * y[i]
        for l in range(length):
            for r in range(block.lines):
                i = l * block.step + r
                dx[i] = y[i] * (g[i] - <real>dot[r])


cdef AlongDimLoops SOFTMAX_LOOPS = AlongDimLoops(
    softmax_forward[float], softmax_forward[double], softmax_backward[float], softmax_backward[double])


@cython.final
@cython.no_gc
cdef class Softmax(AlongDim):
    """e^x_l / (e^x_1 + ... + e^x_n)."""

    def rule(self, Tensor g not None):
        y = self.output()
        return (y * (g - (g * y).sum(self.dim, keepdim=True)),)

    @staticmethod
    def samples(draw):
        def twin(x, axis):
            e = np.exp(x - x.max(axis, keepdims=True)) if x.size else x
            return e / e.sum(axis, keepdims=True)

        for shape, dim in (((3, 5), -1), ((3, 5), 0), ((2, 3, 5), 1), ((0, 3), 1)):
            yield Sample(lambda x, d=dim: softmax(x, d), [draw(*shape)], lambda x, d=dim: twin(x, d))
        yield Sample(lambda x: softmax(x, 0), [draw()], np.ones_like, zero_gradient=True)


def softmax(input, dim=None, *, axis=None):
    """Each element's share of the exponentials along a dimension: positive, and 1 in sum.

    Args:
        input: x, any shape.
        dim: the dimension along which the result sums to 1.

    Returns:
        A tensor of x's shape.

    Raises:
        IndexError: if the dimension is out of range.

    Formula: y_l = e^x_l / (e^x_1 + ... + e^x_n)

    >>> import microtensor as mt
    >>> mt.softmax(mt.tensor([0.0, 0.0, 1000.0]), dim=0)
    tensor([0., 0., 1.])
    """
    cdef Softmax op = Softmax.__new__(Softmax)
    return op.apply(&SOFTMAX_LOOPS, input, either(dim, axis))


# -- log_softmax ----------------------------------------------------------------------------------------------
# y_l = ln softmax(x)_l = x_l - ln s,  s = e^x_1 + ... + e^x_n
# dy_k/dx_l = [k = l] - e^x_l / s = [k = l] - e^y_l
# dx_l = g_l - e^y_l sum_k g_k                                          needs y, not x

cdef void log_softmax_forward(const real* x, real* y, const Block* block) noexcept nogil:
    cdef Py_ssize_t l, r, i, length = block.length
    cdef real m[MAX_HEIGHT]
    cdef real log_s[MAX_HEIGHT]
    cdef double total[MAX_HEIGHT]
    exponentials(x, y, block, m, total)
    for r in range(block.lines):
        log_s[r] = <real>simd.log(total[r])
    if not block.columns:
        for r in range(block.lines):
            for i in range(r * length, (r + 1) * length):
                y[i] = (x[i] - m[r]) - log_s[r]
    else:
        for l in range(length):
            for r in range(block.lines):
                i = l * block.step + r
                y[i] = (x[i] - m[r]) - log_s[r]


cdef void log_softmax_backward(const real* y, const real* g, real* dx, const Block* block) noexcept nogil:
    cdef Py_ssize_t l, r, i, length = block.length
    cdef double total[MAX_HEIGHT]
    cdef real s
    if not block.columns:
        for i in range(block.lines * length):
            dx[i] = simd.exp(y[i])
        for r in range(block.lines):
            s = <real>sum_run(g + r * length, length)
            for i in range(r * length, (r + 1) * length):
                dx[i] = g[i] - dx[i] * s
    else:
        for r in range(block.lines):
            total[r] = 0
        for l in range(length):
            for r in range(block.lines):
                total[r] += g[l * block.step + r]
        for l in range(length):
            for r in range(block.lines):
                i = l * block.step + r
                dx[i] = g[i] - simd.exp(y[i]) * <real>total[r]


cdef AlongDimLoops LOG_SOFTMAX_LOOPS = AlongDimLoops(
    log_softmax_forward[float], log_softmax_forward[double], log_softmax_backward[float], log_softmax_backward[double])


@cython.final
@cython.no_gc
cdef class LogSoftmax(AlongDim):
    """x_l - ln(e^x_1 + ... + e^x_n)."""

    def rule(self, Tensor g not None):
        return (g - exp(self.output()) * g.sum(self.dim, keepdim=True),)

    @staticmethod
    def samples(draw):
        def twin(x, axis):
            return x - np.log(np.exp(x).sum(axis, keepdims=True)) if x.size else x

        for shape, dim in (((3, 5), -1), ((3, 5), 0), ((2, 3, 5), 1), ((0, 3), 1)):
            yield Sample(lambda x, d=dim: log_softmax(x, d), [draw(*shape)], lambda x, d=dim: twin(x, d))
        yield Sample(lambda x: log_softmax(x, 0), [draw()], np.zeros_like, zero_gradient=True)


def log_softmax(input, dim=None, *, axis=None):
    """The logarithm of softmax along a dimension, without its overflow and underflow.

    Args:
        input: x, any shape.
        dim: the dimension along which the exponentials of the result sum to 1.

    Returns:
        A tensor of x's shape.

    Raises:
        IndexError: if the dimension is out of range.

    Formula: y_l = x_l - ln(e^x_1 + ... + e^x_n)

    >>> import microtensor as mt
    >>> mt.log_softmax(mt.tensor([0.0, 0.0, 1000.0]), dim=0)
    tensor([-1000., -1000.,     0.])
    """
    cdef LogSoftmax op = LogSoftmax.__new__(LogSoftmax)
    return op.apply(&LOG_SOFTMAX_LOOPS, input, either(dim, axis))


# -- cross_entropy ------------------------------------------------------------------------------------------------
# x is (N, C) or (C,): rows of C scores; t holds one class index per row. With p = softmax(x), for one row
#     L = -w_t ln p_t = w_t (ln s - x_t),   s = e^x_1 + ... + e^x_C,   w the classes' weights, 1 without
# d ln s/dx_c = e^x_c / s = p_c, so
#     dx_c = g w_t (p_c - [c = t])
# A row whose index is ignore_index counts nothing: its L and dx are 0. For 'mean', L is divided by the sum of the rows'
# w_t. Forward keeps e = e^(x - m), m the row's largest x, and 1/s, so that backward is one multiplication per score, as
# p = e / s.

cdef struct CrossEntropyJob:
    bint single
    Py_ssize_t C
    const long long* target             # one class index per row
    long long ignore_index
    const void* weight                  # one number per class, or NULL
    void* e                             # like x
    void* inverse                       # 1/s of each row
    const void* x                       # forward: the scores, and each row's loss, or NULL
    void* row_losses
    double loss_sum[MAX_PARTS]          # the sums over each part's rows: of the losses,
    double weight_sum[MAX_PARTS]        # of their weights,
    Py_ssize_t misfits[MAX_PARTS]       # and of class indices that are out of range
    const void* g                       # backward: g, one number per row or, with a step of 0, one in all
    Py_ssize_t g_step
    double scale
    void* dx


cdef void cross_entropy_forward(const real* x, const real* weight, real* losses, real* e, real* inverse,
                                CrossEntropyJob* job, const Block* block, Py_ssize_t part) noexcept nogil:
    cdef Py_ssize_t r, C = block.length, misfits = 0
    cdef long long t
    cdef real m[MAX_HEIGHT]
    cdef double s[MAX_HEIGHT]
    cdef double log_s[MAX_HEIGHT]
    cdef double w, loss, total_loss = 0, total_weight = 0
    exponentials(x, e, block, m, s)
    for r in range(block.lines):
        inverse[r] = <real>(1 / s[r])
        log_s[r] = simd.log(s[r])
    for r in range(block.lines):
        t = job.target[block.first + r]
        w = loss = 0
        if t == job.ignore_index:
            pass
        elif 0 <= t < C:
            w = 1 if weight == NULL else weight[t]
            loss = w * (log_s[r] + (m[r] - x[r * C + t]))
        else:
            misfits += 1
        if losses != NULL:
            losses[block.first + r] = <real>loss
        total_loss += loss
        total_weight += w
    job.loss_sum[part] += total_loss        # once for the block: other threads write to the same cache line
    job.weight_sum[part] += total_weight
    job.misfits[part] += misfits


cdef void cross_entropy_backward(const real* e, const real* inverse, const real* weight, const real* g, real* dx,
                                 CrossEntropyJob* job, const Block* block) noexcept nogil:
    cdef Py_ssize_t r, c, C = block.length
    cdef long long t
    cdef double gw
    cdef real factor
    for r in range(block.lines):
        t = job.target[block.first + r]
        if t == job.ignore_index:
            for c in range(C):
                dx[r * C + c] = 0
            continue
        gw = job.scale * g[(block.first + r) * job.g_step] * (1 if weight == NULL else weight[t])
        factor = <real>(gw * inverse[r])
        for c in range(C):
            dx[r * C + c] = factor * e[r * C + c]
        dx[r * C + t] -= <real>gw


cdef inline Py_ssize_t rows_per_thread(Py_ssize_t C) noexcept nogil:
    return max(EXPONENTIALS_PER_THREAD // max(C, 1), 1)


cdef void cross_entropy_part(void* job_pointer, Py_ssize_t part, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """Rows first to last, forward or, with a dx, backward, in blocks."""
    cdef CrossEntropyJob* job = <CrossEntropyJob*>job_pointer
    cdef Py_ssize_t C = job.C, i
    cdef Block block
    while first < last:
        block = rows_at(first, min(height_in_cache(C, False), last - first), C)
        i = block.start
        if job.single and job.dx == NULL:
            cross_entropy_forward(<const float*>job.x + i, <const float*>job.weight, <float*>job.row_losses,
                                  <float*>job.e + i, <float*>job.inverse + first, job, &block, part)
        elif job.dx == NULL:
            cross_entropy_forward(<const double*>job.x + i, <const double*>job.weight, <double*>job.row_losses,
                                  <double*>job.e + i, <double*>job.inverse + first, job, &block, part)
        elif job.single:
            cross_entropy_backward(<const float*>job.e + i, <const float*>job.inverse + first,
                                   <const float*>job.weight, <const float*>job.g, <float*>job.dx + i, job, &block)
        else:
            cross_entropy_backward(<const double*>job.e + i, <const double*>job.inverse + first,
                                   <const double*>job.weight, <const double*>job.g, <double*>job.dx + i, job, &block)
        first += block.lines


@cython.final
@cython.no_gc
cdef class CrossEntropy(Op):
    """-w_t ln softmax(x)_t for each row, and the mean or sum of that."""

    cdef ndarray target, weight         # copies, which nobody else can write into
    cdef long long ignore_index
    cdef bint per_row, mean             # reduction 'none', 'mean'; otherwise 'sum'
    cdef double scale                   # 1, or for 'mean' 1 / the sum of the rows' weights

    cdef Tensor apply(self, Tensor x, ndarray a, ndarray target, ndarray weight, long long ignore_index, str reduction):
        """a: x's array when the others were checked against it."""
        cdef Py_ssize_t size = cnp.PyArray_SIZE(a) + cnp.PyArray_SIZE(target)
        self.a = a
        self.target, self.weight, self.ignore_index = target, weight, ignore_index
        self.per_row, self.mean = reduction == "none", reduction == "mean"
        self.y = empty(cnp.PyArray_NDIM(target) if self.per_row else 0, <Py_ssize_t*>cnp.PyArray_DIMS(target),
                       cnp.PyArray_TYPE(a))
        self.context = empty(1, &size, cnp.PyArray_TYPE(a))       # e, and behind it 1/s of each row
        self.run_forward()
        return record(self, x)

    def take_target(self, Tensor target, Tensor weight):
        """Copy the target and the weights, which may have changed."""
        cdef ndarray w = None if weight is None else weight.array
        self.target = class_indices("cross_entropy", self.a, target.array, w, self.ignore_index)
        self.weight = None if w is None else np.array(w, order="C")

    cdef void describe(self, CrossEntropyJob* job):
        """Set what forward and backward have in common."""
        cdef ndarray x = self.a
        job.single, job.C = is_single(x), cnp.PyArray_DIM(x, cnp.PyArray_NDIM(x) - 1)
        job.target, job.ignore_index = <const long long*>cnp.PyArray_DATA(self.target), self.ignore_index
        job.weight = NULL if self.weight is None else cnp.PyArray_DATA(self.weight)
        job.e = cnp.PyArray_DATA(<ndarray>self.context)
        job.inverse = <char*>job.e + cnp.PyArray_SIZE(x) * cnp.PyArray_ITEMSIZE(x)
        job.dx = NULL

    cdef int run_forward(self) except -1:
        cdef ndarray x = contiguous(self.a)
        cdef CrossEntropyJob job
        cdef double loss = 0, weights = 0
        cdef Py_ssize_t rows = cnp.PyArray_SIZE(self.target), work, part, parts, misfits = 0
        self.describe(&job)
        work = rows_per_thread(job.C)
        parts = parts_of(rows, work)            # once: another thread may change the number of threads meanwhile
        job.x, job.row_losses = cnp.PyArray_DATA(x), cnp.PyArray_DATA(self.y) if self.per_row else NULL
        for part in range(parts):
            job.loss_sum[part] = job.weight_sum[part] = job.misfits[part] = 0
        parallel_for(cross_entropy_part, &job, rows, 1, work)
        for part in range(parts):
            loss += job.loss_sum[part]
            weights += job.weight_sum[part]
            misfits += job.misfits[part]
        if misfits:
            raise_out_of_range("cross_entropy", self.target, self.ignore_index, (<object>x).shape, job.C)
        self.scale = 1 / weights if self.mean else 1
        if not self.per_row:
            set_number(self.y, loss * self.scale)
        return 0

    cdef int reads(self) noexcept:
        return INPUT | CONTEXT

    cdef int allocate_gradients(self) except -1:
        self.da = empty_like(self.a)
        return 0

    cdef int run_backward(self) except -1:
        cdef CrossEntropyJob job
        self.describe(&job)
        job.g, job.g_step, job.scale = cnp.PyArray_DATA(<ndarray>self.g), self.per_row, self.scale
        job.dx = cnp.PyArray_DATA(self.da)
        parallel_for(cross_entropy_part, &job, cnp.PyArray_SIZE(self.target), 1, rows_per_thread(job.C))
        return 0

    def rule(self, Tensor g not None):
        x = self.input(0)
        q = wanted(x, self.target, self.weight, self.ignore_index, 0)
        rows = g.unsqueeze(-1) if self.per_row else g
        scale = 0.0 if self.scale == np.inf else self.scale         # all rows are ignored
        return (rows * scale * (softmax(x, -1) * q.sum(-1, keepdim=True) - q),)

    @staticmethod
    def samples(draw):
        def twin(x, t, w, e, ignore, reduction):
            shape, C, inner = t.shape, x.shape[1], int(np.prod(x.shape[2:]))
            x, t = x.reshape(len(x), C, inner), t.reshape(len(x), inner)
            logp = x - np.log(np.exp(x).sum(1, keepdims=True))
            q = (1 - e) * (np.arange(C)[None, :, None] == t[:, None]) + e / C
            rows = -(q * w[None, :, None] * logp).sum(1) * (t != ignore)
            if reduction == "none":
                return rows.reshape(shape)
            return rows.sum() / ((w[t.clip(0)] * (t != ignore)).sum() if reduction == "mean" else 1)

        w = draw.positive(5)
        for shape, weight, smoothing, ignore, reduction in (
                ((7, 5), None, 0, -100, "mean"), ((7, 5), None, 0, 2, "sum"), ((7, 5), None, 0, 2, "none"),
                ((7, 5), w, 0.1, 2, "mean"), ((3, 5, 2, 2), w, 0.1, -100, "mean"), ((3, 5, 2), w, 0, 1, "none"),
                ((0, 5), None, 0, -100, "sum")):
            t = draw.integers(5, shape[0], *shape[2:])
            yield Sample(
                lambda x, t=t, w=weight, e=smoothing, i=ignore, r=reduction: cross_entropy(
                    x, wrap(np.asarray(t)), None if w is None else wrap(w.astype(x.dtype)), i, r, e),
                [draw(*shape)],
                lambda x, t=t, w=weight, e=smoothing, i=ignore, r=reduction: twin(x, t, np.ones(5) if w is None else w,
                                                                                  e, i, r))
        for reduction in ("mean", "none"):
            yield Sample(lambda x, r=reduction: cross_entropy(x, wrap(np.asarray(2)), reduction=r), [draw(5)],
                         lambda x: np.log(np.exp(x).sum()) - x[2])


cdef ndarray class_indices(str name, ndarray x, ndarray target, ndarray weight, long long ignore_index):
    """A copy of the target in int64; raises where the arguments do not fit. Their range is checked in the run."""
    cdef Py_ssize_t dim = 0 if cnp.PyArray_NDIM(x) == 1 else 1
    cdef tuple shape
    if cnp.PyArray_NDIM(x) == 0:
        raise ValueError(f"{name}: expected input (N, C), (N, C, d1, ...) or (C,), got a 0-d tensor")
    if not is_float(x):
        raise TypeError(f"{name}: expected a float input, got {x.dtype}")
    if not cnp.PyArray_ISINTEGER(target):
        raise TypeError(f"{name}: class indices must be integers, got a target of dtype {target.dtype}: use "
                        "target.long()")
    if not fits(target, x, dim):
        shape = (<object>x).shape
        raise ValueError(f"{name}: input {shape} needs a target of shape {shape[:dim] + shape[dim + 1:]}, one class "
                         f"index per row of scores, got {(<object>target).shape}{way_out(target, x, dim)}")
    cdef Py_ssize_t C = cnp.PyArray_DIM(x, <int>dim)
    if weight is not None and ((<object>weight).shape != (C,) or cnp.PyArray_TYPE(weight) != cnp.PyArray_TYPE(x)):
        raise ValueError(f"{name}: weight must hold one {x.dtype} per class, shape {(C,)}, got "
                         f"{(<object>weight).shape} {weight.dtype}")
    cdef ndarray copy = empty(cnp.PyArray_NDIM(target), <Py_ssize_t*>cnp.PyArray_DIMS(target), cnp.NPY_INT64)
    if cnp.PyArray_ISCARRAY_RO(target) and cnp.PyArray_TYPE(target) == cnp.NPY_INT64:
        memcpy(cnp.PyArray_DATA(copy), cnp.PyArray_DATA(target), cnp.PyArray_NBYTES(copy))          # the usual case
    else:
        if target.dtype == np.uint64:                               # before a large one becomes negative
            raise_out_of_range(name, target, ignore_index, (<object>x).shape, C)
        cnp.PyArray_CopyInto(copy, target)
    return copy


cdef str way_out(ndarray target, ndarray x, Py_ssize_t dim):
    """What makes class indices of a target that does not fit, as the end of a sentence."""
    cdef str integers = ".long()" if is_float(target) else ""
    cdef tuple shape = (<object>x).shape
    if (<object>target).shape == shape:
        return f": of one-hot rows use target.argmax({dim})"
    if (<object>target).shape == shape[:dim] + (1,) + shape[dim + 1:]:
        return f": use target.squeeze({dim}){integers}"
    return f": use target{integers}" if integers else ""


cdef bint fits(ndarray target, ndarray x, Py_ssize_t dim) noexcept:
    """Whether the target has x's shape without dimension dim."""
    cdef Py_ssize_t d
    if cnp.PyArray_NDIM(target) != cnp.PyArray_NDIM(x) - 1:
        return False
    for d in range(cnp.PyArray_NDIM(target)):
        if cnp.PyArray_DIM(target, d) != cnp.PyArray_DIM(x, d if d < dim else d + 1):
            return False
    return True


cdef int raise_out_of_range(str name, object target, long long ignore_index, tuple shape, Py_ssize_t C) except -1:
    """Raise for the first class index that is out of range, if there is one."""
    rows = lent(target).reshape(-1)
    wrong = np.flatnonzero((rows != ignore_index) & ((rows < 0) | (rows >= C)))
    if wrong.size:
        raise IndexError(f"{name}: class index {rows[wrong[0]]} at row {wrong[0]} is out of range for input "
                         f"{shape} with {C} classes")
    return 0


cdef Tensor wanted(Tensor x, object target, object weight, long long ignore_index, double smoothing):
    """The distribution q that each row is compared with, times its class's weight: x's shape; 0 for ignored rows."""
    cdef Py_ssize_t dim = 0 if x.ndim == 1 else 1, C = x.shape[dim]
    target = lent(target)
    one_hot = np.expand_dims(target, dim) == np.arange(C).reshape((C,) + (1,) * (x.ndim - dim - 1))
    q = (1 - smoothing) * one_hot + smoothing / C
    if weight is not None:
        q = q * np.reshape(lent(weight), (C,) + (1,) * (x.ndim - dim - 1))
    return wrap(np.asarray(q * np.expand_dims(target != ignore_index, dim), x.dtype))


cdef Tensor against(Tensor x, Tensor q):
    """-sum_c q_c ln softmax(x)_c for each row of x; a class of probability 0 that nobody wants adds 0, not nan."""
    dim = 0 if x.ndim == 1 else 1
    log_p = log_softmax(x, dim)
    log_p = where((q == 0) & (log_p == -np.inf), 0.0, log_p)
    return -(q * log_p).sum(dim)


cdef Tensor total_of(Tensor losses, object target, object weight, long long ignore_index, object reduction):
    """The losses of rows, reduced; 'mean' divides by the sum of the weights of the rows' classes."""
    if reduction == "none":
        return losses
    if reduction == "sum":
        return losses.sum()
    counted = target[target != ignore_index]
    total = float(counted.size if weight is None else weight[counted].sum(dtype=np.float64))
    # Where nothing counts the loss is nan, 0 / 0, and its gradient 0.
    return losses.sum() / total if total != 0 else losses.sum() * 0.0 + float("nan")


def cross_entropy(input, target, Tensor weight=None, long long ignore_index=-100, reduction="mean",
                  double label_smoothing=0.0):
    """The cross-entropy between softmax(input) and the wanted classes: the loss of classification.

    Args:
        input: scores (logits), (N, C), (N, C, d1, ...) or (C,).
        target: class indices, integers of shape (N,), (N, d1, ...) or (); or probabilities of input's shape and dtype.
        weight: one number per class, (C,), of input's dtype; or None.
        ignore_index: rows with this class index count nothing.
        reduction: 'mean' (over rows, weighted by their classes' weights for class indices), 'sum' or 'none'.
        label_smoothing: how much of the wanted distribution is spread evenly over all classes, from 0 to 1.

    Returns:
        A 0-d tensor; for 'none' one loss per row.

    Raises:
        ValueError: if shapes do not match or label_smoothing is outside [0, 1].
        IndexError: if a class index is out of range.
        TypeError: if a dtype does not fit.

    Formula: L = -sum_c w_c q_c ln softmax(input)_c, q the wanted distribution

    >>> import microtensor as mt
    >>> mt.cross_entropy(mt.tensor([[0.0, 0.0], [0.0, 1000.0]]), mt.tensor([0, 1]))
    tensor(0.3466)
    """
    cdef Tensor x = as_tensor(input, "input"), t = as_tensor(target, "target")
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"cross_entropy: label_smoothing must be from 0 to 1, got {label_smoothing}")
    if is_float(t.array):
        return _cross_entropy_of_probabilities(x, t, weight, ignore_index, reduction, label_smoothing)
    reduction = check_reduction(reduction)
    cdef ndarray a = x.array, w = None if weight is None else weight.array
    cdef ndarray indices = class_indices("cross_entropy", a, t.array, w, ignore_index)
    cdef ndarray weights = None if w is None else np.array(w, order="C")
    cdef CrossEntropy op
    if label_smoothing == 0 and cnp.PyArray_NDIM(a) <= 2:
        op = CrossEntropy.__new__(CrossEntropy)
        if is_taping():
            take_in(t, "cross_entropy")
            take_in(weight, "cross_entropy")
            call_again(op.take_target, (t, weight))
        return op.apply(x, a, indices, weights, ignore_index, reduction)
    raise_out_of_range("cross_entropy", indices, ignore_index, x.shape, x.shape[min(x.ndim - 1, 1)])
    q = wanted(x, indices, weights, ignore_index, label_smoothing)
    return total_of(against(x, q), indices, weights, ignore_index, reduction)


def _cross_entropy_of_probabilities(Tensor input, Tensor target, Tensor weight, ignore_index, reduction,
                                    double label_smoothing):
    """cross_entropy where the wanted distribution is given: a composite, differentiable in both arguments."""
    reduction = check_reduction(reduction)
    if target.shape != input.shape:
        raise ValueError(f"cross_entropy: a float target holds probabilities and needs the input's shape "
                         f"{input.shape}, got {target.shape}; class indices must be "
                         f"integers{way_out(target.array, input.array, 0 if input.ndim == 1 else 1)}")
    check_pair("cross_entropy", input, target)
    if weight is not None and weight.shape != input.shape[min(input.ndim - 1, 1):][:1]:
        raise ValueError(f"cross_entropy: weight must hold one number per class of input {input.shape}, got "
                         f"{weight.shape}")
    if ignore_index != -100:
        raise ValueError("cross_entropy: ignore_index has no meaning where the target holds probabilities")
    dim = 0 if input.ndim == 1 else 1
    classes = input.shape[dim]
    if label_smoothing:
        target = (1 - label_smoothing) * target + label_smoothing / classes
    if weight is not None:
        target = target * weight.reshape((classes,) + (1,) * (input.ndim - dim - 1))
    return reduced(against(input, target), None, reduction)


# -- nll_loss -----------------------------------------------------------------------------------------------------
# L = -w_t x_t for each row of log-probabilities x: a product with the wanted distribution

def nll_loss(input, target, Tensor weight=None, long long ignore_index=-100, reduction="mean"):
    """The negative log-likelihood of the wanted classes.

    Args:
        input: log-probabilities, (N, C), (N, C, d1, ...) or (C,), as ``log_softmax`` gives them.
        target: class indices, integers of shape (N,), (N, d1, ...) or ().
        weight: one number per class, (C,), of input's dtype; or None.
        ignore_index: rows with this class index count nothing.
        reduction: 'mean' (over rows, weighted by their classes' weights), 'sum' or 'none'.

    Returns:
        A 0-d tensor; for 'none' one loss per row.

    Raises:
        ValueError: if shapes do not match.
        IndexError: if a class index is out of range.
        TypeError: if a dtype does not fit.

    Formula: L = -w_t input_t

    >>> import microtensor as mt
    >>> mt.nll_loss(mt.tensor([[-0.5, -1.0]]), mt.tensor([1]))
    tensor(1.)
    """
    cdef Tensor x = as_tensor(input, "input"), t = as_tensor(target, "target")
    reduction = check_reduction(reduction)
    cdef ndarray w = None if weight is None else weight.array
    cdef ndarray indices = class_indices("nll_loss", x.array, t.array, w, ignore_index)
    dim = 0 if x.ndim == 1 else 1
    raise_out_of_range("nll_loss", indices, ignore_index, x.shape, x.shape[dim])
    cdef ndarray weights = None if w is None else np.array(w, order="C")
    q = wanted(x, indices, weights, ignore_index, 0)
    losses = -where(q == 0, 0.0, q * x).sum(dim)
    return total_of(losses, indices, weights, ignore_index, reduction)
