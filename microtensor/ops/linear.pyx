"""The matrix products of the graph: linear (x W^T + b) and matmul (1-D, 2-D, batched).

Both are one or more calls of gemm (see gemm.pyx), which takes matrices of any strides: a transpose is the same
memory with its two strides exchanged.
"""

cimport cython
cimport numpy as cnp
from numpy cimport ndarray

from microtensor.core cimport (
    INPUT, NOTHING, OTHER, Op, Tensor, as_tensor, contiguous, empty, is_float, is_single, lent, operators,
    record, wrap,
)
from microtensor.kernels.broadcast cimport MAX_DIMS
from microtensor.kernels.gemm cimport Matrix, gemm, products_of_vectors
from microtensor.kernels.simd cimport real
from microtensor.kernels.sums cimport add_rows
from microtensor.kernels.threads cimport PRODUCTS_PER_THREAD, parallel_for
from microtensor.ops.base cimport WithBias, empty_of

import numpy as np

from microtensor.ops.sample import Sample

cnp.import_array()

cdef enum:
    COLUMNS = 256               # sums of columns that are computed at a time, in the L1 cache


# -- linear -----------------------------------------------------------------------------------------------------
# x (N, I), W (O, I), b (O), y (N, O):   y = x W^T + b,   y_no = sum_i x_ni W_oi + b_o
# dx_ni = sum_o g_no dy_no/dx_ni = sum_o g_no W_oi                       dx = g W        (N, O)(O, I)
# dW_oi = sum_n g_no dy_no/dW_oi = sum_n g_no x_ni                       dW = g^T x      (O, N)(N, I)
# db_o  = sum_n g_no                                                     db = the column sums of g

cdef inline Matrix matrix(ndarray array, Py_ssize_t columns) noexcept:
    """A contiguous array as a matrix with that many columns."""
    return Matrix(cnp.PyArray_DATA(array), columns, 1)


cdef inline Matrix transposed(ndarray array, Py_ssize_t columns) noexcept:
    """The transpose of matrix(array, columns): the same memory with its steps exchanged."""
    return Matrix(cnp.PyArray_DATA(array), 1, columns)


cdef inline Matrix zeros() noexcept nogil:
    """What a product starts with that is added to nothing."""
    return Matrix(NULL, 0, 1)


cdef inline Matrix every_row(ndarray array) noexcept:
    """A vector as a matrix of equal rows."""
    return Matrix(cnp.PyArray_DATA(array), 0, 1)


cdef void column_sums(const real* g, Py_ssize_t rows, Py_ssize_t columns, real* db) noexcept nogil:
    cdef double sums[COLUMNS]
    cdef Py_ssize_t first = 0, n, j
    while first < columns:
        n = min(COLUMNS, columns - first)
        for j in range(n):
            sums[j] = 0
        add_rows(g + first, rows, columns, sums, n)
        for j in range(n):
            db[first + j] = <real>sums[j]
        first += n


@cython.final
@cython.no_gc
cdef class Linear(WithBias):
    """x W^T + b for every row of x."""

    cdef Py_ssize_t rows, inputs, outputs       # N, I, O

    cdef Tensor apply(self, Tensor x, Tensor weight, Tensor bias):
        cdef Py_ssize_t shape[MAX_DIMS]
        cdef int d, ndim = cnp.PyArray_NDIM(x.array)
        self.a, self.b, self.bias = x.array, weight.array, None if bias is None else bias.array
        self.outputs, self.inputs = cnp.PyArray_DIM(self.b, 0), cnp.PyArray_DIM(self.b, 1)
        self.rows = 1
        for d in range(ndim - 1):
            shape[d] = cnp.PyArray_DIM(x.array, d)
            self.rows *= shape[d]
        shape[ndim - 1] = self.outputs
        self.y = empty(ndim, shape, cnp.PyArray_TYPE(x.array))
        self.run_forward()
        return record(self, x, weight, bias)

    cdef int run_forward(self) except -1:
        cdef ndarray x = contiguous(self.a), W = contiguous(self.b), y = self.y
        cdef ndarray b = None if self.bias is None else contiguous(self.bias)
        gemm(is_single(y), self.rows, self.outputs, self.inputs, matrix(x, self.inputs), transposed(W, self.inputs),
             zeros() if b is None else every_row(b), matrix(y, self.outputs))
        return 0

    cdef int reads(self) noexcept:
        return (INPUT if self.needs(1) else NOTHING) | (OTHER if self.needs(0) else NOTHING)

    cdef int allocate_gradients(self) except -1:
        cdef ndarray g = <ndarray>self.g
        cdef Py_ssize_t shape[MAX_DIMS]
        cdef int d, ndim = cnp.PyArray_NDIM(g), dtype = cnp.PyArray_TYPE(g)
        if self.needs(0):
            for d in range(ndim - 1):
                shape[d] = cnp.PyArray_DIM(g, d)
            shape[ndim - 1] = self.inputs
            self.da = empty(ndim, shape, dtype)
        shape[0], shape[1] = self.outputs, self.inputs
        if self.needs(1):
            self.db = empty(2, shape, dtype)
        if len(self.edges) == 3 and self.needs(2):
            self.dbias = empty(1, shape, dtype)
        return 0

    cdef int run_backward(self) except -1:
        cdef ndarray g = <ndarray>self.g, dbias = self.dbias, x, W
        cdef bint single = is_single(g)
        if self.da is not None:
            W = contiguous(self.b)
            gemm(single, self.rows, self.inputs, self.outputs, matrix(g, self.outputs), matrix(W, self.inputs), zeros(),
                 matrix(self.da, self.inputs))
        if self.db is not None:
            x = contiguous(self.a)
            gemm(single, self.outputs, self.inputs, self.rows, transposed(g, self.outputs), matrix(x, self.inputs),
                 zeros(), matrix(self.db, self.inputs))
        if dbias is not None and single:
            column_sums(<const float*>cnp.PyArray_DATA(g), self.rows, self.outputs, <float*>cnp.PyArray_DATA(dbias))
        elif dbias is not None:
            column_sums(<const double*>cnp.PyArray_DATA(g), self.rows, self.outputs, <double*>cnp.PyArray_DATA(dbias))
        return 0

    def rule(self, Tensor g not None):
        rows = g.reshape((self.rows, self.outputs))
        dx = dW = db = None
        if self.needs(0):
            dx = g @ self.input(1)
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
        # more rows and columns of y than a tile of the product has
        yield Sample(linear, [draw(14, 20), draw(37, 20), draw(37)], lambda x, W, b: x @ W.T + b)
        # one output and one row, where gemm reads its operands as they lie
        yield Sample(linear, [draw(14, 20), draw(1, 20), draw(1)], lambda x, W, b: x @ W.T + b)
        yield Sample(linear, [draw(1, 20), draw(37, 20), draw(37)], lambda x, W, b: x @ W.T + b)


def linear(input, Tensor weight not None, Tensor bias=None):
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
    cdef Tensor given = as_tensor(input, "input")
    cdef ndarray x = given.array, W = weight.array, b
    if cnp.PyArray_NDIM(W) != 2:
        raise ValueError(f"linear: weight must be (out_features, in_features), got shape {weight.shape}")
    if cnp.PyArray_NDIM(x) == 0 or cnp.PyArray_DIM(x, cnp.PyArray_NDIM(x) - 1) != cnp.PyArray_DIM(W, 1):
        raise ValueError(f"linear: expected input with last dim {weight.shape[1]}, as weight has shape {weight.shape}, "
                         f"got {given.shape}")
    if not is_float(x) or cnp.PyArray_TYPE(x) != cnp.PyArray_TYPE(W):
        raise TypeError(f"linear: input and weight must have the same float dtype, got {given.dtype} and "
                        f"{weight.dtype}: convert one with .to(dtype), an array with .astype(dtype)")
    if bias is not None:
        b = bias.array
        if cnp.PyArray_NDIM(b) != 1 or cnp.PyArray_DIM(b, 0) != cnp.PyArray_DIM(W, 0):
            raise ValueError(f"linear: bias must have shape {(weight.shape[0],)}, as weight has shape {weight.shape}, "
                             f"got {bias.shape}")
        if cnp.PyArray_TYPE(b) != cnp.PyArray_TYPE(x):
            raise TypeError(f"linear: bias must have the input's dtype {given.dtype}, got {bias.dtype}")
    cdef Linear op = Linear.__new__(Linear)
    return op.apply(given, weight, bias)


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


cdef Matrix matrix_of(ndarray array):
    """The matrix of the last two dimensions, of any strides: the first one of a batch."""
    cdef int ndim = cnp.PyArray_NDIM(array)
    cdef Py_ssize_t itemsize = cnp.PyArray_ITEMSIZE(array)
    return Matrix(cnp.PyArray_DATA(array), cnp.PyArray_STRIDE(array, ndim - 2) // itemsize,
                  cnp.PyArray_STRIDE(array, ndim - 1) // itemsize)


cdef struct BatchJob:
    bint single
    Py_ssize_t m, n, k, y_bytes
    Matrix a, b, y                      # the first ones
    const Py_ssize_t* a_start           # and in bytes, how far each one is behind the first
    const Py_ssize_t* b_start


cdef void batch_part(void* job_pointer, Py_ssize_t _number, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef BatchJob* job = <BatchJob*>job_pointer
    cdef Matrix a = job.a, b = job.b, y = job.y
    cdef Py_ssize_t i
    for i in range(first, last):
        a.data = <char*>job.a.data + job.a_start[i]
        b.data = <char*>job.b.data + job.b_start[i]
        y.data = <char*>job.y.data + i * job.y_bytes
        gemm(job.single, job.m, job.n, job.k, a, b, zeros(), y)


cdef tuple broadcast_batch(tuple a, tuple b):
    """The leading dimensions of a product, from those of its factors; None if they do not broadcast.

    np.broadcast_shapes ends at 32 dimensions.
    """
    cdef tuple longer = a if len(a) > len(b) else b, shorter = b if longer is a else a
    cdef Py_ssize_t first = len(longer) - len(shorter)
    cdef list batch = list(longer)
    for d, size in enumerate(shorter, first):
        if batch[d] == 1:
            batch[d] = size
        elif size != 1 and size != batch[d]:
            return None
    return tuple(batch)


cdef ndarray product(ndarray left, ndarray right):
    """a @ b for arrays (..., M, K) and (..., K, N) of one float dtype, of any strides."""
    left, right = in_steps(left), in_steps(right)
    cdef int a_ndim = cnp.PyArray_NDIM(left), b_ndim = cnp.PyArray_NDIM(right)
    cdef Py_ssize_t m = cnp.PyArray_DIM(left, a_ndim - 2), k = cnp.PyArray_DIM(left, a_ndim - 1)
    cdef Py_ssize_t n = cnp.PyArray_DIM(right, b_ndim - 1), count = 1, work
    cdef Py_ssize_t[2] shape = [m, n]
    cdef object a = left, b = right
    cdef tuple batch
    cdef ndarray y, a_start, b_start
    cdef BatchJob job
    if a_ndim == 2 and b_ndim == 2:
        # A vector in one piece is multiplied faster, and summed in the same order however it lay before.
        if m == 1:
            left = contiguous(left)
        if n == 1:
            right = contiguous(right)
        y = empty(2, shape, cnp.PyArray_TYPE(left))
        gemm(is_single(y), m, n, k, matrix_of(left), matrix_of(right), zeros(), matrix(y, n))
        return y
    if b_ndim == 2:                         # one b for all: the rows of all a's are one tall matrix
        tall = np.ascontiguousarray(a).reshape(np.prod(a.shape[:-1], dtype=int), k)
        return product(tall, right).reshape(a.shape[:-1] + (n,))
    batch = broadcast_batch(a.shape[:-2], b.shape[:-2])
    for size in batch:
        count *= <Py_ssize_t>size
    y = empty_of(batch + (m, n), cnp.PyArray_TYPE(left))
    if cnp.PyArray_SIZE(y) == 0:            # of as many matrices as one likes
        return y
    # Where each matrix of the batch begins; a broadcast dimension has stride 0.
    a_start = starts(np.broadcast_to(lent(left), batch + (m, k)))
    b_start = starts(np.broadcast_to(lent(right), batch + (k, n)))
    job.single, job.m, job.n, job.k, job.y_bytes = is_single(y), m, n, k, m * n * cnp.PyArray_ITEMSIZE(y)
    job.a, job.b, job.y = matrix_of(left), matrix_of(right), Matrix(cnp.PyArray_DATA(y), n, 1)
    job.a_start = <const Py_ssize_t*>cnp.PyArray_DATA(a_start)
    job.b_start = <const Py_ssize_t*>cnp.PyArray_DATA(b_start)
    work = max(PRODUCTS_PER_THREAD // max(products_of_vectors(is_single(y), m, n, k), 1), 1)
    if work > 1 or count == 1:
        parallel_for(batch_part, &job, count, 1, work)
    else:                                   # each product is worth threads of its own
        batch_part(&job, 0, 0, count)
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

    cdef Tensor apply(self, Tensor a, Tensor b, ndarray left, ndarray right):
        """left, right: their arrays when they were checked."""
        self.a, self.b = left, right
        if cnp.PyArray_NDIM(left) > 2 or cnp.PyArray_NDIM(right) > 2:
            self.input_shapes = ((<object>left).shape, (<object>right).shape)
        self.run_forward()
        return record(self, a, b)

    cdef int run_forward(self) except -1:
        self.y = product(self.a, self.b)
        return 0

    cdef int reads(self) noexcept:
        return (INPUT if self.needs(1) else NOTHING) | (OTHER if self.needs(0) else NOTHING)

    cdef int run_backward(self) except -1:
        if self.needs(0):
            self.da = product(self.g, (<object>self.b).swapaxes(-1, -2))
        if self.needs(1):
            self.db = product((<object>self.a).swapaxes(-1, -2), self.g)
        return 0

    def rule(self, Tensor g not None):
        return (g @ self.input(1).transpose(-1, -2) if self.needs(0) else None,
                self.input(0).transpose(-1, -2) @ g if self.needs(1) else None)

    @staticmethod
    def samples(draw):
        for left, right in (((3, 5), (5, 2)), ((5,), (5,)), ((3, 5), (5,)), ((5,), (5, 2)), ((4, 3, 5), (5, 2)),
                            ((4, 3, 5), (4, 5, 2)), ((2, 1, 3, 5), (4, 5, 2)), ((3, 5), (4, 5, 2)), ((5,), (4, 5, 2)),
                            ((0, 5), (5, 2)), ((3, 0), (0, 2)), ((4, 3, 0), (0, 2))):
            yield Sample(matmul, [draw(*left), draw(*right)], np.matmul, zero_gradient=0 in left)


cdef Tensor _matmul(Tensor a, Tensor b):
    cdef ndarray left = a.array, right = b.array
    cdef int a_ndim = cnp.PyArray_NDIM(left), b_ndim = cnp.PyArray_NDIM(right)
    if a_ndim == 0 or b_ndim == 0:
        raise ValueError(f"matmul needs at least one dimension each, got shapes {a.shape} and {b.shape}: "
                         "use * for numbers")
    cdef Py_ssize_t columns = cnp.PyArray_DIM(left, a_ndim - 1)
    cdef Py_ssize_t rows = cnp.PyArray_DIM(right, b_ndim - 2 if b_ndim > 1 else 0)
    if columns != rows:
        raise ValueError(f"matmul: shapes {a.shape} and {b.shape} do not match: {columns} columns on the left, "
                         f"{rows} rows on the right")
    if cnp.PyArray_TYPE(left) != cnp.PyArray_TYPE(right):
        raise TypeError(f"matmul: both must have one dtype, got {a.dtype} and {b.dtype}: convert one with .to(dtype), "
                        "an array with .astype(dtype)")
    if not is_float(left):
        return wrap(np.asarray(np.matmul(left, right)))
    # A vector is a row on the left and a column on the right, and that dimension goes away again.
    if a_ndim == 1:
        return _matmul(Tensor.reshape(a, (1, columns)), b).squeeze(-2 if b_ndim > 1 else 0)
    if b_ndim == 1:
        return _matmul(a, Tensor.reshape(b, (rows, 1))).squeeze(-1)
    if a_ndim > 2 and b_ndim > 2:
        if broadcast_batch((<object>left).shape[:-2], (<object>right).shape[:-2]) is None:
            raise ValueError(f"matmul: the leading dimensions of shapes {a.shape} and {b.shape} do not broadcast")
    cdef MatMul op = MatMul.__new__(MatMul)
    return op.apply(a, b, left, right)


def matmul(input, other):
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
    return _matmul(as_tensor(input, "input"), as_tensor(other, "other"))


operators.matmul = _matmul
