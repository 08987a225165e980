"""The matrix products of the graph: linear (x W^T + b) and matmul (1-D, 2-D, batched).

Both are one or more calls of gemm (see gemm.pyx), which takes its matrices with any strides: transposes are never
copied.
"""

cimport cython
cimport numpy as cnp
from cython.parallel cimport prange
from numpy cimport ndarray

from microtensor.core cimport Engine, Op, Tensor, contiguous, empty, is_float, is_single, late, record, wrap
from microtensor.kernels.gemm cimport THREAD_WORK, Layout, gemm
from microtensor.ops.elementwise cimport MAX_DIMS
from microtensor.kernels.simd cimport real
from microtensor.kernels.threads cimport share, threads_for

import numpy as np

from microtensor.ops.sample import Sample

cnp.import_array()

cdef enum:
    RELEASE_WORK = 64 * 64 * 64     # multiplications from which on the GIL is released
    COLUMNS = 128                   # sums of columns that are kept at a time: they stay in the first-level cache


# -- linear -----------------------------------------------------------------------------------------------------
# x (N, I), W (O, I), b (O), y (N, O):   y = x W^T + b,   y_no = sum_i x_ni W_oi + b_o
# dx_ni = sum_o g_no dy_no/dx_ni = sum_o g_no W_oi                       dx = g W        (N, O)(O, I)
# dW_oi = sum_n g_no dy_no/dW_oi = sum_n g_no x_ni                       dW = g^T x      (O, N)(N, I)
# db_o  = sum_n g_no                                                     db = the column sums of g

cdef void linear_forward(const real* x, const real* W, const real* b, real* y, Py_ssize_t N, Py_ssize_t I,
                         Py_ssize_t O) noexcept nogil:
    cdef Layout x_step = Layout(I, 1), W_transposed = Layout(1, I)
    gemm(N, O, I, x, x_step, W, W_transposed, b, 0, y, O)                  # every row starts with b


cdef void linear_backward_x(const real* g, const real* W, real* dx, Py_ssize_t N, Py_ssize_t I,
                            Py_ssize_t O) noexcept nogil:
    cdef Layout g_step = Layout(O, 1), W_step = Layout(I, 1)
    gemm(N, I, O, g, g_step, W, W_step, <real*>NULL, 0, dx, I)


cdef void linear_backward_b(const real* g, real* db, Py_ssize_t N, Py_ssize_t O) noexcept nogil:
    cdef double sums[COLUMNS]
    cdef const real* rows
    cdef Py_ssize_t n, o, first = 0, count
    while first < O:
        count = O - first if O - first < COLUMNS else COLUMNS
        for o in range(count):
            sums[o] = 0
        for n in range(0, N - 3, 4):            # four rows for each time that the sums are loaded and stored
            rows = g + n * O + first
            for o in range(count):
                sums[o] += (<double>rows[o] + rows[O + o]) + (<double>rows[2 * O + o] + rows[3 * O + o])
        for n in range(N - N % 4, N):
            for o in range(count):
                sums[o] += g[n * O + first + o]
        for o in range(count):
            db[first + o] = <real>sums[o]
        first += count


cdef void linear_backward_W(const real* g, const real* x, real* dW, Py_ssize_t N, Py_ssize_t I,
                            Py_ssize_t O) noexcept nogil:
    cdef Layout g_transposed = Layout(1, O), x_step = Layout(I, 1)
    gemm(O, I, N, g, g_transposed, x, x_step, <real*>NULL, 0, dW, I)


@cython.final
@cython.no_gc
cdef class Linear(Op):
    """x W^T + b for every row of x."""

    cdef Py_ssize_t rows, inputs, outputs

    cdef Tensor apply(self, Tensor x, Tensor weight, Tensor bias):
        cdef ndarray x_array = contiguous(x.array), W_array = contiguous(weight.array), b_array = None
        cdef Py_ssize_t shape[MAX_DIMS]
        cdef int d, ndim = cnp.PyArray_NDIM(x_array)
        self.outputs = cnp.PyArray_DIM(W_array, 0)
        self.inputs = cnp.PyArray_DIM(W_array, 1)
        self.rows = 1
        for d in range(ndim - 1):
            shape[d] = cnp.PyArray_DIM(x_array, d)
            self.rows *= shape[d]
        shape[ndim - 1] = self.outputs
        cdef ndarray y_array = empty(ndim, shape, cnp.PyArray_TYPE(x_array))
        cdef const void* b_data = NULL
        if bias is not None:
            b_array = contiguous(bias.array)
            b_data = cnp.PyArray_DATA(b_array)
        cdef const void* x_data = cnp.PyArray_DATA(x_array)
        cdef const void* W_data = cnp.PyArray_DATA(W_array)
        cdef void* y_data = cnp.PyArray_DATA(y_array)
        cdef bint single = is_single(x_array)
        if self.rows * self.inputs * self.outputs < RELEASE_WORK:
            self.forward_loop(single, x_data, W_data, b_data, y_data)
        else:
            with nogil:
                self.forward_loop(single, x_data, W_data, b_data, y_data)
        cdef Tensor y = record(self, y_array, x, weight, bias)
        if y.op is not None:
            self.save(x if self.needs(1) else None, weight if self.needs(0) else None, None)
        return y

    cdef void forward_loop(self, bint single, const void* x, const void* W, const void* b, void* y) noexcept nogil:
        if single:
            linear_forward(<const float*>x, <const float*>W, <const float*>b, <float*>y, self.rows, self.inputs,
                           self.outputs)
        else:
            linear_forward(<const double*>x, <const double*>W, <const double*>b, <double*>y, self.rows, self.inputs,
                           self.outputs)

    cdef int backward(self, ndarray g, Engine engine) except -1:
        cdef ndarray dx, dW, db, x, W
        cdef Py_ssize_t shape[MAX_DIMS]
        cdef int d, ndim = cnp.PyArray_NDIM(g)
        cdef bint single = is_single(g)
        cdef bint release = self.rows * self.inputs * self.outputs >= RELEASE_WORK
        cdef const void* g_data = cnp.PyArray_DATA(g)
        cdef const void* other
        cdef void* result
        if len(self.edges) == 3 and self.needs(2):
            shape[0] = self.outputs
            db = empty(1, shape, cnp.PyArray_TYPE(g))
            if single:
                linear_backward_b(<const float*>g_data, <float*>cnp.PyArray_DATA(db), self.rows, self.outputs)
            else:
                linear_backward_b(<const double*>g_data, <double*>cnp.PyArray_DATA(db), self.rows, self.outputs)
            engine.give(self, 2, db)
        if self.needs(1):
            x = contiguous(self.a)
            shape[0], shape[1] = self.outputs, self.inputs
            dW = empty(2, shape, cnp.PyArray_TYPE(g))
            other, result = cnp.PyArray_DATA(x), cnp.PyArray_DATA(dW)
            if release:
                with nogil:
                    self.backward_loop(single, 1, g_data, other, result)
            else:
                self.backward_loop(single, 1, g_data, other, result)
            engine.give(self, 1, dW)
        if self.needs(0):
            W = contiguous(self.b)
            for d in range(ndim - 1):
                shape[d] = cnp.PyArray_DIM(g, d)
            shape[ndim - 1] = self.inputs
            dx = empty(ndim, shape, cnp.PyArray_TYPE(g))
            other, result = cnp.PyArray_DATA(W), cnp.PyArray_DATA(dx)
            if release:
                with nogil:
                    self.backward_loop(single, 0, g_data, other, result)
            else:
                self.backward_loop(single, 0, g_data, other, result)
            engine.give(self, 0, dx)
        return 0

    cdef void backward_loop(self, bint single, int side, const void* g, const void* other, void* result) noexcept nogil:
        """dx from g and W, or dW from g and x."""
        if side == 0:
            if single:
                linear_backward_x(<const float*>g, <const float*>other, <float*>result, self.rows, self.inputs,
                                  self.outputs)
            else:
                linear_backward_x(<const double*>g, <const double*>other, <double*>result, self.rows, self.inputs,
                                  self.outputs)
        else:
            if single:
                linear_backward_W(<const float*>g, <const float*>other, <float*>result, self.rows, self.inputs,
                                  self.outputs)
            else:
                linear_backward_W(<const double*>g, <const double*>other, <double*>result, self.rows, self.inputs,
                                  self.outputs)

    def rule(self, Tensor g):
        rows = g.reshape((self.rows, self.outputs))
        dx = dW = db = None
        if self.needs(0):
            dx = (g @ self.input(1))
        if self.needs(1):
            dW = rows.T @ self.input(0).reshape((self.rows, self.inputs))
        if len(self.edges) == 3:
            db = rows.sum(0)
        return dx, dW, db

    @staticmethod
    def samples(draw):
        for leading in ((4,), (2, 4), (), (0,)):
            yield Sample(linear, [draw(*leading, 5), draw(3, 5), draw(3)], lambda x, W, b: x @ W.T + b,
                         zero_gradient=leading == (0,))
        yield Sample(linear, [draw(4, 5), draw(3, 5)], lambda x, W: x @ W.T)
        yield Sample(linear, [draw(40, 50), draw(30, 50), draw(30)], lambda x, W, b: x @ W.T + b)


def linear(Tensor input not None, Tensor weight not None, Tensor bias=None):
    """x W^T + b: the affine map of a fully connected layer, for every row of x.

    Args:
        input: x, (..., in_features).
        weight: W, (out_features, in_features), of x's dtype.
        bias: b, (out_features,), of x's dtype, or None.

    Returns:
        y, (..., out_features), of x's dtype.

    Raises:
        ValueError: if the shapes do not match.
        TypeError: if the dtypes are not one and the same float dtype.

    Formula: y = x W^T + b

    >>> import microtensor as mt
    >>> mt.linear(mt.tensor([[1.0, 2.0]]), mt.tensor([[3.0, 4.0]]), mt.tensor([5.0]))
    tensor([[16.]])
    """
    cdef ndarray x = input.array, W = weight.array, b
    if cnp.PyArray_NDIM(W) != 2:
        raise ValueError(f"linear: weight must be (out_features, in_features), got shape {weight.shape}")
    if cnp.PyArray_NDIM(x) == 0 or cnp.PyArray_DIM(x, cnp.PyArray_NDIM(x) - 1) != cnp.PyArray_DIM(W, 1):
        raise ValueError(f"linear: expected input with last dim {weight.shape[1]}, as weight has shape {weight.shape}, "
                         f"got {input.shape}")
    if not is_float(x) or cnp.PyArray_TYPE(x) != cnp.PyArray_TYPE(W):
        raise TypeError(f"linear: input and weight must have the same float dtype, got {input.dtype} and "
                        f"{weight.dtype}: convert one with .to(dtype)")
    if bias is not None:
        b = bias.array
        if cnp.PyArray_NDIM(b) != 1 or cnp.PyArray_DIM(b, 0) != cnp.PyArray_DIM(W, 0):
            raise ValueError(f"linear: bias must have shape {(weight.shape[0],)}, as weight has shape {weight.shape}, "
                             f"got {bias.shape}")
        if cnp.PyArray_TYPE(b) != cnp.PyArray_TYPE(x):
            raise TypeError(f"linear: bias must have the input's dtype {input.dtype}, got {bias.dtype}")
    cdef Linear op = Linear.__new__(Linear)
    return op.apply(input, weight, bias)


# -- matmul -----------------------------------------------------------------------------------------------------
# a (..., M, K), b (..., K, N), y (..., M, N), the leading dimensions broadcast:   y_mn = sum_k a_mk b_kn
# da_mk = sum_n g_mn dy_mn/da_mk = sum_n g_mn b_kn                       da = g b^T      (M, N)(N, K)
# db_kn = sum_m g_mn dy_mn/db_kn = sum_m a_mk g_mn                       db = a^T g      (K, M)(M, N)
# A matrix that was broadcast gets the sum over its copies, from the engine.

cdef ndarray in_steps(ndarray array):
    """The array itself if its strides are whole elements, as of all but odd views of records; a copy otherwise."""
    cdef int d
    for d in range(cnp.PyArray_NDIM(array)):
        if cnp.PyArray_STRIDE(array, d) % cnp.PyArray_ITEMSIZE(array) != 0:
            return cnp.PyArray_NewCopy(array, cnp.NPY_CORDER)
    return array if cnp.PyArray_ISALIGNED(array) else cnp.PyArray_NewCopy(array, cnp.NPY_CORDER)


cdef Layout layout_of(ndarray matrix):
    """The steps of the last two dimensions, in elements."""
    cdef int ndim = cnp.PyArray_NDIM(matrix)
    cdef Py_ssize_t itemsize = cnp.PyArray_ITEMSIZE(matrix)
    return Layout(cnp.PyArray_STRIDE(matrix, ndim - 2) // itemsize, cnp.PyArray_STRIDE(matrix, ndim - 1) // itemsize)


cdef void gemm_data(bint single, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, const char* a, Layout a_step, const char* b,
                    Layout b_step, char* y) noexcept nogil:
    if single:
        gemm(m, n, k, <const float*>a, a_step, <const float*>b, b_step, <float*>NULL, 0, <float*>y, n)
    else:
        gemm(m, n, k, <const double*>a, a_step, <const double*>b, b_step, <double*>NULL, 0, <double*>y, n)


cdef ndarray matrix_gemm(ndarray a, ndarray b):
    """a @ b for matrices (M, K) and (K, N) of one float dtype, of any strides."""
    cdef Py_ssize_t m = cnp.PyArray_DIM(a, 0), k = cnp.PyArray_DIM(a, 1), n = cnp.PyArray_DIM(b, 1)
    cdef Py_ssize_t shape[2]
    shape[0], shape[1] = m, n
    cdef ndarray y = empty(2, shape, cnp.PyArray_TYPE(a))
    cdef Layout a_step = layout_of(a), b_step = layout_of(b)
    cdef const char* a_data = <const char*>cnp.PyArray_DATA(a)
    cdef const char* b_data = <const char*>cnp.PyArray_DATA(b)
    cdef char* y_data = <char*>cnp.PyArray_DATA(y)
    cdef bint single = is_single(a)
    if m * n * k < RELEASE_WORK:
        gemm_data(single, m, n, k, a_data, a_step, b_data, b_step, y_data)
    else:
        with nogil:
            gemm_data(single, m, n, k, a_data, a_step, b_data, b_step, y_data)
    return y


cdef ndarray batched_gemm(ndarray left, ndarray right):
    """a @ b for arrays (..., M, K) and (..., K, N) of one float dtype, of any strides."""
    left, right = in_steps(left), in_steps(right)
    if cnp.PyArray_NDIM(left) == 2 and cnp.PyArray_NDIM(right) == 2:
        return matrix_gemm(left, right)
    cdef object a = left, b = right
    cdef tuple batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    cdef Py_ssize_t m = a.shape[-2], k = a.shape[-1], n = b.shape[-1], i, count = 1
    if b.ndim == 2:                         # one b for all: the rows of all a's are one tall matrix
        rows = np.ascontiguousarray(a).reshape(np.prod(a.shape[:-1], dtype=int), k)
        return matrix_gemm(rows, b).reshape(batch + (m, n))
    for size in batch:
        count *= <Py_ssize_t>size
    # Where each matrix of the batch begins; a broadcast dimension has stride 0.
    cdef ndarray y = np.empty(batch + (m, n), a.dtype)
    cdef ndarray a_batch = starts(np.broadcast_to(a, batch + (m, k)))
    cdef ndarray b_batch = starts(np.broadcast_to(b, batch + (k, n)))
    cdef const Py_ssize_t* a_start = <const Py_ssize_t*>cnp.PyArray_DATA(a_batch)
    cdef const Py_ssize_t* b_start = <const Py_ssize_t*>cnp.PyArray_DATA(b_batch)
    cdef Py_ssize_t y_size = m * n * cnp.PyArray_ITEMSIZE(y)
    cdef Layout a_step = layout_of(left), b_step = layout_of(right)
    cdef const char* a_data = <const char*>cnp.PyArray_DATA(left)
    cdef const char* b_data = <const char*>cnp.PyArray_DATA(right)
    cdef char* y_data = <char*>cnp.PyArray_DATA(y)
    cdef bint single = is_single(y)
    cdef int part, parts = 1
    if threads_for(m * n * k, THREAD_WORK) == 1:        # too small to be shared, but there may be many
        parts = threads_for(count * m * n * k, THREAD_WORK)
    with nogil:
        if parts == 1:
            for i in range(count):
                gemm_data(single, m, n, k, a_data + a_start[i], a_step, b_data + b_start[i], b_step,
                          y_data + i * y_size)
        else:
            for part in prange(parts, num_threads=parts, schedule="static"):
                for i in range(share(part, parts, count, 1), share(part + 1, parts, count, 1)):
                    gemm_data(single, m, n, k, a_data + a_start[i], a_step, b_data + b_start[i], b_step,
                              y_data + i * y_size)
    return y


cdef ndarray starts(object array):
    """The offset in bytes of each matrix of a batch, in row-major order of the batch."""
    offsets = np.zeros((), np.intp)
    for size, stride in zip(array.shape[:-2], array.strides[:-2]):
        offsets = offsets[..., None] + np.arange(size) * stride
    return np.ascontiguousarray(offsets)


@cython.final
@cython.no_gc
cdef class MatMul(Op):
    """a b, for matrices or batches of them."""

    cdef Tensor apply(self, Tensor a, Tensor b):
        cdef Tensor y = record(self, batched_gemm(a.array, b.array), a, b)
        if y.op is not None:
            if cnp.PyArray_NDIM(a.array) > 2 or cnp.PyArray_NDIM(b.array) > 2:
                self.input_shapes = (a.shape, b.shape)
            self.save(a if self.needs(1) else None, b if self.needs(0) else None, None)
        return y

    cdef int backward(self, ndarray g, Engine engine) except -1:
        cdef object a = self.a, b = self.b
        if self.needs(0):
            engine.give(self, 0, batched_gemm(g, b.swapaxes(-1, -2)))
        if self.needs(1):
            engine.give(self, 1, batched_gemm(a.swapaxes(-1, -2), g))
        return 0

    def rule(self, Tensor g):
        return (g @ self.input(1).transpose(-1, -2) if self.needs(0) else None,
                self.input(0).transpose(-1, -2) @ g if self.needs(1) else None)

    @staticmethod
    def samples(draw):
        for left, right in (((3, 5), (5, 2)), ((5,), (5,)), ((3, 5), (5,)), ((5,), (5, 2)), ((4, 3, 5), (5, 2)),
                            ((4, 3, 5), (4, 5, 2)), ((2, 1, 3, 5), (4, 5, 2)), ((3, 5), (4, 5, 2)), ((5,), (4, 5, 2)),
                            ((0, 5), (5, 2)), ((3, 0), (0, 2)), ((4, 3, 0), (0, 2))):
            yield Sample(matmul, [draw(*left), draw(*right)], np.matmul, zero_gradient=0 in left)


cdef Tensor _matmul(Tensor a, Tensor b):
    cdef int a_ndim = cnp.PyArray_NDIM(a.array), b_ndim = cnp.PyArray_NDIM(b.array)
    if a_ndim == 0 or b_ndim == 0:
        raise ValueError(f"matmul needs at least one dimension each, got shapes {a.shape} and {b.shape}: "
                         "use * for numbers")
    cdef Py_ssize_t columns = cnp.PyArray_DIM(a.array, a_ndim - 1)
    cdef Py_ssize_t rows = cnp.PyArray_DIM(b.array, b_ndim - 2 if b_ndim > 1 else 0)
    if columns != rows:
        raise ValueError(f"matmul: shapes {a.shape} and {b.shape} do not match: {columns} columns on the left, "
                         f"{rows} rows on the right")
    if cnp.PyArray_TYPE(a.array) != cnp.PyArray_TYPE(b.array):
        raise TypeError(f"matmul: both must have one dtype, got {a.dtype} and {b.dtype}: convert one with .to(dtype)")
    if not is_float(a.array):
        return wrap(np.asarray(np.matmul(a.array, b.array)))
    # A vector is a row on the left and a column on the right, and that dimension goes away again.
    if a_ndim == 1:
        return _matmul(a.reshape((1, columns)), b).squeeze(-2 if b_ndim > 1 else 0)
    if b_ndim == 1:
        return _matmul(a, b.reshape((rows, 1))).squeeze(-1)
    if a_ndim > 2 and b_ndim > 2:
        try:
            np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        except ValueError:
            raise ValueError(f"matmul: the leading dimensions of shapes {a.shape} and {b.shape} do not "
                             "broadcast") from None
    cdef MatMul op = MatMul.__new__(MatMul)
    return op.apply(a, b)


def matmul(Tensor input not None, Tensor other not None):
    """The matrix product input @ other; vectors and batches as in PyTorch and NumPy.

    Args:
        input: a, (..., M, K), or a vector (K,).
        other: b, (..., K, N), or a vector (K,), of a's dtype.

    Returns:
        (..., M, N); the leading dimensions broadcast, and M or N is missing where a vector took its place.

    Raises:
        ValueError: if the shapes do not match.
        TypeError: if the dtypes differ.

    Formula: y_mn = a_m1 b_1n + ... + a_mK b_Kn

    >>> import microtensor as mt
    >>> mt.matmul(mt.tensor([[1.0, 2.0]]), mt.tensor([3.0, 4.0]))
    tensor([11.])
    """
    return _matmul(input, other)


late.matmul = _matmul
