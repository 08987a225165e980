"""Ops that move elements without computing: reshape, permute, expand, index, cat, clone, to; and their composites.

NumPy moves the elements, as views where it can; what the ops add is the way back. A view shares its input's memory
and version: an in-place write to either is seen by both.
"""

cimport cython
cimport numpy as cnp
from numpy cimport ndarray

from microtensor.core cimport (
    Engine, Op, Tensor, as_tensor, contiguous, copy_of, either, is_float, lent, operators, picks_once, raise_replaced,
    record, record_all, refuse_in_capture, shape_of, wrap,
)
from microtensor.ops.base cimport normal_dim

import operator

import numpy as np

from microtensor.core import check_dtype, index_steps
from microtensor.ops.arithmetic import where
from microtensor.ops.sample import Sample

cnp.import_array()


cdef Tensor record_view(Op op, Tensor x):
    """record for an output that may share x's memory."""
    cdef ndarray array = op.a
    cdef Tensor y = record(op, x)
    y.version = x.get_version() if x.array is array else raise_replaced(op, x)
    return y


# -- reshape ----------------------------------------------------------------------------------------------------
# y has x's elements in the same order:   dx = g, in x's shape

@cython.final
@cython.no_gc
cdef class Reshape(Op):
    """The same elements in another shape."""

    cdef tuple shape, target    # x's, y's

    cdef int run_forward(self) except -1:
        self.y = (<object>self.a).reshape(self.target)
        return 0

    cdef int run_backward(self) except -1:
        self.da = self.g.reshape(self.shape)
        return 0

    cdef int give_gradients(self, Engine engine) except -1:
        return engine.lend(self, 0, self.da)

    def rule(self, Tensor g not None):
        return (reshape(g, self.shape),)

    @staticmethod
    def samples(draw):
        yield Sample(lambda x: reshape(x, (5, 3)), [draw(3, 5)], lambda x: x.reshape(5, 3))
        yield Sample(lambda x: reshape(x, (-1,)), [draw(2, 3, 5)], lambda x: x.reshape(-1))
        yield Sample(lambda x: reshape(x, (1, 1)), [draw()], lambda x: x.reshape(1, 1))
        yield Sample(lambda x: flatten(x, 1), [draw(0, 3, 5)], lambda x: x.reshape(0, 15))
        yield Sample(lambda x: squeeze(unsqueeze(x, 1), 1), [draw(3, 5)], lambda x: x)


def reshape(input, shape):
    """The same elements, in row-major order, in another shape; a view where x's memory allows.

    Args:
        input: x, any shape.
        shape: the new sizes; one may be -1, and is then what remains.

    Returns:
        A tensor of that shape and x's dtype.

    Raises:
        ValueError: if the sizes do not hold x's elements.

    >>> import microtensor as mt
    >>> mt.reshape(mt.arange(6), (2, -1))
    tensor([[0, 1, 2],
            [3, 4, 5]])
    """
    cdef Tensor x = as_tensor(input, "input")
    cdef Reshape op = Reshape.__new__(Reshape)
    op.a, op.shape = x.array, shape_of(x)
    op.target = (shape,) if isinstance(shape, int) else tuple(shape)
    try:
        op.run_forward()
    except ValueError:
        raise ValueError(f"reshape: shape {x.shape} of {x.numel()} elements does not fit into "
                         f"{op.target}") from None
    return record_view(op, x)


def flatten(input, start_dim=0, end_dim=-1):
    """The dimensions from start_dim to end_dim, both included, made one.

    >>> import microtensor as mt
    >>> mt.flatten(mt.zeros(2, 3, 5), start_dim=1).shape
    (2, 15)
    """
    cdef Tensor x = as_tensor(input, "input")
    cdef tuple shape = shape_of(x) or (1,)
    cdef Py_ssize_t ndim = len(shape_of(x)), start = normal_dim(start_dim, ndim), end = normal_dim(end_dim, ndim)
    if start > end:
        raise ValueError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim} in shape {x.shape}")
    cdef Py_ssize_t size = 1
    for s in shape[start:end + 1]:
        size *= <Py_ssize_t>s
    return reshape(x, shape[:start] + (size,) + shape[end + 1:])


def unsqueeze(input, dim):
    """x with a dimension of size 1 inserted before dimension dim; -1 is after the last.

    >>> import microtensor as mt
    >>> mt.unsqueeze(mt.zeros(3), 1).shape
    (3, 1)
    """
    cdef Tensor x = as_tensor(input, "input")
    cdef tuple shape = shape_of(x)
    cdef Py_ssize_t at = normal_dim(dim, len(shape) + 1)
    return reshape(x, shape[:at] + (1,) + shape[at:])


def squeeze(input, dim=None):
    """x without its dimensions of size 1, or without those of dim (an int or several) that have size 1.

    >>> import microtensor as mt
    >>> mt.squeeze(mt.zeros(1, 3, 1)).shape, mt.squeeze(mt.zeros(1, 3, 1), 0).shape
    ((3,), (3, 1))
    """
    cdef Tensor x = as_tensor(input, "input")
    cdef tuple shape = shape_of(x)
    named = range(len(shape)) if dim is None else dim if isinstance(dim, (tuple, list)) else (dim,)
    dims = [normal_dim(d, len(shape)) for d in named]
    return reshape(x, tuple([size for d, size in enumerate(shape) if size != 1 or d not in dims]))


# -- permute ----------------------------------------------------------------------------------------------------
# y[i_p0, i_p1, ...] = x[i_0, i_1, ...]:   dx = g with the inverse permutation

@cython.final
@cython.no_gc
cdef class Permute(Op):
    """The dimensions in another order."""

    cdef tuple order
    cdef bint is_view           # whether dx shares g's memory

    cdef tuple inverse(self):
        return tuple([self.order.index(d) for d in range(len(self.order))])

    cdef int run_forward(self) except -1:
        self.y = (<object>self.a).transpose(self.order)
        return 0

    cdef int run_backward(self) except -1:
        cdef ndarray view = self.g.transpose(self.inverse())
        self.da = contiguous(view)
        self.is_view = self.da is view
        return 0

    cdef int give_gradients(self, Engine engine) except -1:
        return engine.lend(self, 0, self.da) if self.is_view else engine.give(self, 0, self.da)

    def rule(self, Tensor g not None):
        return (permute(g, self.inverse()),)

    @staticmethod
    def samples(draw):
        yield Sample(lambda x: permute(x, (2, 0, 1)), [draw(2, 3, 5)], lambda x: x.transpose(2, 0, 1))
        yield Sample(lambda x: transpose(x, 0, -1), [draw(2, 3, 5)], lambda x: x.swapaxes(0, -1))
        yield Sample(t, [draw(3, 5)], np.transpose)
        yield Sample(lambda x: permute(x, ()), [draw()], lambda x: x)
        yield Sample(t, [draw(0, 5)], np.transpose)


def permute(input, dims):
    """x with its dimensions in another order: a view.

    Args:
        input: x, any shape.
        dims: every dimension once; the result's dimension i is x's dimension dims[i].

    Returns:
        A tensor of the permuted shape and x's dtype.

    Raises:
        ValueError: if dims does not name every dimension once.

    >>> import microtensor as mt
    >>> mt.permute(mt.zeros(2, 3, 5), (2, 0, 1)).shape
    (5, 2, 3)
    """
    cdef Tensor x = as_tensor(input, "input")
    cdef Permute op = Permute.__new__(Permute)
    ndim = cnp.PyArray_NDIM(x.array)
    op.order = tuple([normal_dim(d, ndim) for d in dims])
    if sorted(op.order) != list(range(ndim)):
        raise ValueError(f"permute: dims {tuple(dims)} must name every dimension of shape {x.shape} once")
    op.a = x.array
    op.run_forward()
    return record_view(op, x)


def transpose(input, dim0, dim1):
    """x with two dimensions swapped: a view.

    >>> import microtensor as mt
    >>> mt.transpose(mt.zeros(2, 3, 5), 0, 2).shape
    (5, 3, 2)
    """
    cdef Tensor x = as_tensor(input, "input")
    ndim = cnp.PyArray_NDIM(x.array)
    order = list(range(ndim))
    if not order:
        return x
    first, second = normal_dim(dim0, ndim), normal_dim(dim1, ndim)
    order[first], order[second] = order[second], order[first]
    return permute(x, order)


def t(input):
    """The transpose of a matrix: a view; vectors and 0-d tensors stay as they are.

    >>> import microtensor as mt
    >>> mt.t(mt.zeros(2, 3)).shape
    (3, 2)
    """
    cdef Tensor x = as_tensor(input, "input")
    cdef int ndim = cnp.PyArray_NDIM(x.array)
    if ndim > 2:
        raise ValueError(f"t is for at most two dimensions, got shape {x.shape}: use transpose or permute")
    return permute(x, tuple(range(ndim))[::-1])


# -- expand -----------------------------------------------------------------------------------------------------
# y[..., i, ...] = x[..., 0, ...] for every i of a repeated dimension:   dx = the sum of g over it

@cython.final
@cython.no_gc
cdef class Expand(Op):
    """Dimensions of size 1 repeated, and dimensions added in front."""

    cdef tuple shape, target    # x's, y's

    cdef int run_forward(self) except -1:
        self.y = np.broadcast_to(lent(self.a), self.target)
        return 0

    cdef int run_backward(self) except -1:
        self.da = operators.sum_to(self.g, self.shape)
        return 0

    cdef int give_gradients(self, Engine engine) except -1:
        return engine.lend(self, 0, self.da) if self.da is self.g else engine.give(self, 0, self.da)

    def rule(self, Tensor g not None):
        return (sum_to(g, self.shape),)

    @staticmethod
    def samples(draw):
        yield Sample(lambda x: expand(x, (3, 5)), [draw(3, 1)], lambda x: np.broadcast_to(x, (3, 5)))
        yield Sample(lambda x: expand(x, (2, -1, 5)), [draw(3, 1)], lambda x: np.broadcast_to(x, (2, 3, 5)))
        yield Sample(lambda x: expand(x, (3, 5)), [draw(3, 5)], np.copy)
        yield Sample(lambda x: expand(x, (4,)), [draw()], lambda x: np.broadcast_to(x, (4,)))
        yield Sample(lambda x: expand(x, (0, 5)), [draw(1, 5)], lambda x: np.broadcast_to(x, (0, 5)),
                     zero_gradient=True)


def expand(input, sizes):
    """x with its dimensions of size 1 repeated, without copying: a read-only view.

    Args:
        input: x, any shape.
        sizes: the new sizes; -1 keeps x's; more than x has dimensions adds some in front.

    Returns:
        A tensor of that shape and x's dtype.

    Raises:
        ValueError: if a dimension of x is neither 1 nor of the new size.

    >>> import microtensor as mt
    >>> mt.expand(mt.tensor([[1.0], [2.0]]), (-1, 3))
    tensor([[1., 1., 1.],
            [2., 2., 2.]])
    """
    cdef Tensor x = as_tensor(input, "input")
    cdef Expand op = Expand.__new__(Expand)
    op.a, op.shape = x.array, shape_of(x)
    sizes = (sizes,) if isinstance(sizes, int) else tuple(sizes)
    added = len(sizes) - len(op.shape)
    op.target = tuple([op.shape[d - added] if size == -1 and d >= added else size for d, size in enumerate(sizes)])
    try:
        op.run_forward()
    except ValueError:
        raise ValueError(f"expand: shape {x.shape} does not expand to {sizes}: only dimensions of size 1 "
                         "repeat") from None
    return record_view(op, x)


def sum_to(input, shape):
    """x summed over what was repeated when a tensor of this shape was broadcast to x's: expand's transpose.

    >>> import microtensor as mt
    >>> mt.ops.sum_to(mt.ones(2, 3), (3,))
    tensor([2., 2., 2.])
    """
    cdef Tensor x = as_tensor(input, "input")
    if x.shape == shape:
        return x
    added = x.ndim - len(shape)
    repeated = tuple([d for d in range(x.ndim) if d < added or (shape[d - added] == 1 and x.shape[d] != 1)])
    return reshape(x.sum(repeated), shape)


# -- index ------------------------------------------------------------------------------------------------------
# y_j = x_k(j), k(j) the element that the index picks for place j
# dx_i = the sum of g_j over all j with k(j) = i                         an element picked twice gets both gradients

cdef ndarray scatter(ndarray g, object key, tuple shape):
    """Zeros of a shape, with g's elements added where the index picks them."""
    cdef ndarray total = np.zeros(shape, (<object>g).dtype)
    if picks_once(key):
        total[key] = g
    elif len(shape) > 32 or cnp.PyArray_NDIM(g) > 32:       # there np.add.at writes out of bounds (NumPy 2.4)
        places = np.arange(cnp.PyArray_SIZE(total)).reshape(shape)[key]
        np.add.at((<object>total).reshape(-1), places.reshape(-1), (<object>g).reshape(-1))
    else:
        np.add.at(total, key, g)
    return total


@cython.final
@cython.no_gc
cdef class Index(Op):
    """The elements that an index picks."""

    cdef object key
    cdef tuple shape            # x's

    cdef int run_forward(self) except -1:
        if picks_once(self.key):
            parts = self.key if isinstance(self.key, tuple) else (self.key,)
            # With an ellipsis NumPy gives a view, also of one element.
            self.y = (<object>self.a)[parts if Ellipsis in parts else parts + (Ellipsis,)]
        else:
            self.y = np.asarray((<object>self.a)[self.key])
        return 0

    cdef int run_backward(self) except -1:
        self.da = scatter(self.g, self.key, self.shape)
        return 0

    def rule(self, Tensor g not None):
        return (_scatter(g, self.key, self.shape),)

    @staticmethod
    def samples(draw):
        rows, columns = np.array([0, 2, 2, 1, 0]), np.array([4, 1, 1, 0, 4])
        mask, cube = draw(3, 5) > 0, draw(2, 3, 5)
        for key in (1, (slice(None), -1), (slice(0, 3, 2), None, slice(None, None, -1)), Ellipsis, rows,
                    (rows, columns), (slice(None), columns), mask, (rows[:, None], columns)):
            yield Sample(lambda x, k=key: index(x, k), [draw(3, 5)], lambda x, k=key: x[k])
        yield Sample(lambda x: index(x, (1, slice(None), columns)), [cube], lambda x: x[1][:, columns])
        yield Sample(lambda x: index(x, ()), [draw()], lambda x: x)
        yield Sample(lambda x: index(x, slice(0, 1)), [draw(0, 3)], lambda x: x[0:1])


def index(input, key):
    """x[key]: the elements that an index picks, as NumPy does; a view for a basic index, a copy otherwise.

    Args:
        input: x, any shape.
        key: integers, slices, None, ..., integer or bool tensors or arrays, or a tuple of them.

    Returns:
        A tensor of x's dtype.

    Raises:
        IndexError: if the index does not fit x's shape.

    >>> import microtensor as mt
    >>> x = mt.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> x[:, 1], x[mt.tensor([0, 0])], x[x > 2]
    (tensor([2., 4.]), tensor([[1., 2.],
            [1., 2.]]), tensor([3., 4.]))
    """
    cdef Tensor x = as_tensor(input, "input")
    for step in index_steps(key):
        x = _index(x, step)
    return x


cdef Tensor _index(Tensor x, object key):
    cdef Index op = Index.__new__(Index)
    op.a, op.key, op.shape = x.array, key, shape_of(x)
    if not picks_once(key):
        refuse_in_capture("an index by an array")
    try:
        op.run_forward()
    except IndexError as error:
        raise IndexError(f"index into a tensor of shape {x.shape}: {error}") from None
    return record_view(op, x) if picks_once(key) else record(op, x)


# -- embedding: a composite ---------------------------------------------------------------------------------------
# y_j = W_k(j), k(j) the row that index j names:   dW_i = the sum of g_j over all j with k(j) = i

def padding_row(padding_idx, Py_ssize_t rows):
    """padding_idx as a row number from 0 to rows - 1, or None.

    Raises:
        ValueError: if there is no such row.
    """
    if padding_idx is None:
        return None
    row = operator.index(padding_idx)
    if not -rows <= row < rows:
        raise ValueError(f"embedding: padding_idx {row} is out of range for {rows} rows: they are 0 to {rows - 1}, or "
                         f"{-rows} to -1 counted from the end")
    return row + rows if row < 0 else row


def embedding(input, Tensor weight not None, padding_idx=None):
    """The rows of a table that indices name.

    Args:
        input: indices, integers of any dtype and shape.
        weight: the table, (num_embeddings, embedding_dim).
        padding_idx: a row that gets no gradient, or None.

    Returns:
        A tensor (*input.shape, embedding_dim) of weight's dtype.

    Raises:
        TypeError: if the indices are not integers.
        IndexError: if an index is negative, or not below num_embeddings.
        ValueError: if the table is no matrix, or padding_idx not one of its rows.

    Formula: y_j = weight_input_j

    >>> import microtensor as mt
    >>> mt.embedding(mt.tensor([1, 1, 0]), mt.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([[3., 4.],
            [3., 4.],
            [1., 2.]])
    """
    cdef tuple shape = shape_of(weight)
    indices = np.array(lent(as_tensor(input, "input").array))       # of its own: nobody can change it after the check
    if len(shape) != 2:
        raise ValueError(f"embedding: weight must be (num_embeddings, embedding_dim), got shape {shape}")
    if indices.dtype.kind not in "iu":
        raise TypeError(f"embedding: indices must be integers, got an input of dtype {indices.dtype}: use input.long()")
    rows = indices.reshape(-1)
    wrong = rows[(rows < 0) | (rows >= shape[0])]
    if wrong.size:
        raise IndexError(f"embedding: index {wrong[0]} is out of range for a weight of shape {shape}: indices are 0 to "
                         f"{shape[0] - 1}")
    padding = padding_row(padding_idx, shape[0])
    y = _index(weight, rows.astype(np.intp, copy=False))
    if padding is not None:
        y = where((rows == padding)[:, None], y.detach(), y)
    return reshape(y, indices.shape + shape[1:])


# -- scatter: index's transpose, for its rule --------------------------------------------------------------------
# y_i = the sum of x_j over all j with k(j) = i:   dx_j = g_k(j)

@cython.final
@cython.no_gc
cdef class Scatter(Op):
    """Zeros, with x's elements added where an index picks them."""

    cdef object key
    cdef tuple shape            # y's

    cdef int run_forward(self) except -1:
        self.y = scatter(self.a, self.key, self.shape)
        return 0

    cdef int run_backward(self) except -1:
        self.da = np.array(self.g[self.key], order="C")
        return 0

    def rule(self, Tensor g not None):
        return (index(g, self.key),)

    @staticmethod
    def samples(draw):
        rows = np.array([0, 2, 2])

        def twin(x, key):
            y = np.zeros((3, 5))
            np.add.at(y, key, x)
            return y

        for key, shape in ((rows, (3, 5)), ((slice(None), 1), (3,)), ((1, 2), ()), ((), (3, 5))):
            yield Sample(lambda x, k=key: _scatter(x, k, (3, 5)), [draw(*shape)], lambda x, k=key: twin(x, k))


cdef Tensor _scatter(Tensor x, object key, tuple shape):
    cdef Scatter op = Scatter.__new__(Scatter)
    op.a, op.key, op.shape = x.array, key, shape
    op.run_forward()
    return record(op, x)


# -- cat --------------------------------------------------------------------------------------------------------
# y = the inputs, one behind the other along a dimension:   each gets its own part of g

@cython.final
@cython.no_gc
cdef class Cat(Op):
    """Tensors one behind the other along a dimension."""

    cdef Py_ssize_t dim
    cdef list sizes             # the inputs' along dim

    cdef list parts(self):
        """The index of each input's part of y."""
        cdef list parts = []
        cdef Py_ssize_t start = 0
        for size in self.sizes:
            parts.append((slice(None),) * self.dim + (slice(start, start + size),))
            start += size
        return parts

    cdef int run_forward(self) except -1:
        self.y = np.concatenate([lent(array) for array in self.context], axis=self.dim)
        return 0

    cdef int give_gradients(self, Engine engine) except -1:
        for i, part in enumerate(self.parts()):
            if self.needs(i):
                engine.give(self, i, np.array(self.g[part], order="C"))
        return 0

    def rule(self, Tensor g not None):
        return tuple([index(g, part) for part in self.parts()])

    @staticmethod
    def samples(draw):
        yield Sample(lambda a, b: cat([a, b]), [draw(2, 5), draw(3, 5)], lambda a, b: np.concatenate([a, b]))
        yield Sample(lambda a, b, c: cat([a, b, c], -1), [draw(2, 5), draw(2, 1), draw(2, 0)],
                     lambda a, b, c: np.concatenate([a, b, c], -1))
        yield Sample(lambda a, b: stack([a, b], 1), [draw(2, 5), draw(2, 5)], lambda a, b: np.stack([a, b], 1))
        yield Sample(lambda a, b: stack([a, b]), [draw(), draw()], lambda a, b: np.stack([a, b]))


def cat(tensors, dim=None, *, axis=None):
    """Tensors one behind the other along a dimension.

    Args:
        tensors: a sequence of tensors of one dtype, with equal sizes in all dimensions but dim.
        dim: the dimension along which they are put together; the first if none is given.

    Returns:
        A tensor whose size along dim is the sum of theirs.

    Raises:
        ValueError: if there are none, or the shapes do not match.
        TypeError: if one is no tensor, or the dtypes differ.

    >>> import microtensor as mt
    >>> mt.cat([mt.ones(2), mt.zeros(1)])
    tensor([1., 1., 0.])
    """
    cdef list inputs = list(tensors)
    cdef Cat op = Cat.__new__(Cat)
    cdef tuple shape
    if not inputs:
        raise ValueError("cat needs at least one tensor")
    for i, x in enumerate(inputs):
        inputs[i] = as_tensor(x, f"tensor {i} of cat")
    op.context = [(<Tensor>x).array for x in inputs]        # once: the dim may be an object that runs code
    shape = op.context[0].shape
    if not shape:
        raise ValueError("cat: 0-d tensors have no dimension to put them together along: use stack")
    dim = either(dim, axis)
    op.dim = normal_dim(0 if dim is None else dim, len(shape))
    for i, x in enumerate(op.context):
        if x.dtype != op.context[0].dtype:
            raise TypeError(f"cat: tensor 0 has dtype {op.context[0].dtype} and tensor {i} {x.dtype}: convert one with "
                            ".to(dtype)")
        if x.ndim != len(shape) or x.shape[:op.dim] != shape[:op.dim] or x.shape[op.dim + 1:] != shape[op.dim + 1:]:
            raise ValueError(f"cat: tensor 0 has shape {shape} and tensor {i} {x.shape}: sizes must be equal in all "
                             f"dimensions but {op.dim}")
    op.sizes = [x.shape[op.dim] for x in op.context]
    op.run_forward()
    return record_all(op, inputs)


def stack(tensors, dim=None, *, axis=None):
    """Tensors of one shape, put together along a new dimension, the first if none is given.

    Raises:
        ValueError: if there are none, or the shapes differ.

    >>> import microtensor as mt
    >>> mt.stack([mt.zeros(2), mt.ones(2)], dim=1)
    tensor([[0., 1.],
            [0., 1.]])
    """
    inputs = [as_tensor(x, f"tensor {i} of stack") for i, x in enumerate(tensors)]
    shapes = [shape_of(x) for x in inputs]
    for i, shape in enumerate(shapes):
        if shape != shapes[0]:
            raise ValueError(f"stack: tensor 0 has shape {shapes[0]} and tensor {i} {shape}: they must be equal")
    dim = either(dim, axis)
    dim = 0 if dim is None else dim
    return cat([unsqueeze(x, dim) for x in inputs], normal_dim(dim, len(shapes[0]) + 1) if inputs else 0)


# -- clone ------------------------------------------------------------------------------------------------------
# y = x, in memory of its own:   dx = g

@cython.final
@cython.no_gc
cdef class Clone(Op):
    """A copy."""

    cdef int run_forward(self) except -1:
        self.y = copy_of(self.a)
        return 0

    cdef int give_gradients(self, Engine engine) except -1:
        return engine.lend(self, 0, self.g)

    def rule(self, Tensor g not None):
        return (g,)

    @staticmethod
    def samples(draw):
        yield Sample(clone, [draw(3, 5)], np.copy)
        yield Sample(clone, [draw()], np.copy)
        yield Sample(clone, [draw(0, 3)], np.copy)


def clone(input):
    """A copy of x with memory of its own, row-major; the gradient flows back to x.

    >>> import microtensor as mt
    >>> mt.clone(mt.tensor([1.0, 2.0]))
    tensor([1., 2.])
    """
    cdef Tensor x = as_tensor(input, "input")
    cdef Clone op = Clone.__new__(Clone)
    op.a = x.array
    op.run_forward()
    return record(op, x)


# -- to ---------------------------------------------------------------------------------------------------------
# y = x, rounded to another dtype; as a function of real numbers the identity:   dx = g, in x's dtype

@cython.final
@cython.no_gc
cdef class To(Op):
    """The same numbers in another dtype."""

    cdef object dtype, target   # x's, y's

    cdef int run_forward(self) except -1:
        self.y = np.asarray((<object>self.a).astype(self.target, order="C"))
        return 0

    cdef int run_backward(self) except -1:
        self.da = self.g.astype(self.dtype)
        return 0

    def rule(self, Tensor g not None):
        return (to(g, self.dtype),)

    @staticmethod
    def samples(draw):
        yield Sample(lambda x: to(x, np.float32), [np.arange(6.).reshape(2, 3)], np.float32, linear=True)
        yield Sample(lambda x: to(x, np.float32), [np.asarray(2.)], np.float32, linear=True)


def to(input, dtype):
    """x in another dtype; x itself if it has it already. Integers and bools are cut off from the graph.

    Args:
        input: x, any shape.
        dtype: ``mt.float32``, ``mt.float64``, ``mt.int64``, ``mt.bool`` or another of NumPy's bool or integer dtypes.

    Returns:
        A tensor of x's shape.

    Raises:
        TypeError: if a tensor cannot hold the dtype.

    >>> import microtensor as mt
    >>> mt.tensor([1, 2]).to(mt.float64)
    tensor([1., 2.], dtype=float64)
    """
    cdef Tensor x = as_tensor(input, "input")
    try:
        dtype = np.dtype(dtype)
    except TypeError:
        raise TypeError(f"to takes a dtype such as mt.float64, not {dtype!r}") from None
    if dtype == (<object>x.array).dtype:
        return x
    check_dtype(dtype)
    cdef To op = To.__new__(To)
    op.a, op.dtype, op.target = x.array, (<object>x.array).dtype, dtype
    op.run_forward()
    return record(op, x) if is_float(op.y) else wrap(op.y)
