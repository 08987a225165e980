"""Loops over all parameters at once, in place and without temporaries: the step of SGD, norms, scaling, clamping.

No gradient flows through these; they write where the graph must not look, and count each write in the tensor's version.
Everything is checked before anything is changed.
"""

cimport cython
cimport numpy as cnp
from cython.parallel cimport prange
from libc.stdlib cimport free, realloc
from numpy cimport ndarray

from microtensor.kernels cimport simd
from microtensor.core cimport Tensor, contiguous, empty, empty_like, holding, is_float, is_single, wrap
from microtensor.kernels.sums cimport larger, sum_squares_run
from microtensor.kernels.simd cimport real
from microtensor.kernels.threads cimport PARALLEL_ELEMENTS, RELEASE_ELEMENTS, share, threads_for

import numpy as np

cnp.import_array()

cdef enum:
    UNIT = 16           # elements: threads split arrays at whole cache lines
    MAX_PARTS = 64      # threads with a partial result each


cdef struct Piece:
    void* x             # the parameter or gradient
    const void* g       # for SGD: its gradient,
    void* v             # and its velocity, NULL without momentum
    bint first          # whether v is empty yet
    bint single         # float32, not float64
    Py_ssize_t n


@cython.no_gc
cdef class Update:
    """One loop over many arrays; the arrays come one after the other, and threads share the elements of a long one."""

    cdef Piece* pieces
    cdef Py_ssize_t count, total        # pieces, and elements in all of them
    cdef list arrays                    # what the pieces point into
    cdef list copies                    # (array, its contiguous copy) to copy back

    def __cinit__(self):
        self.arrays = []
        self.copies = []

    def __dealloc__(self):
        free(self.pieces)

    cdef void* address(self, ndarray array, bint written) except? NULL:
        """Where the array's elements are, or those of a contiguous copy; copied back after run, if it is written."""
        cdef ndarray straight = contiguous(array)
        self.arrays.append(straight)
        if written and straight is not array:
            self.copies.append((array, straight))
        return cnp.PyArray_DATA(straight)

    cdef Piece* add(self, ndarray x, bint written=True) except NULL:
        cdef Piece* pieces
        if self.count % 16 == 0:
            pieces = <Piece*>realloc(self.pieces, (self.count + 16) * sizeof(Piece))
            if pieces == NULL:
                raise MemoryError
            self.pieces = pieces
        cdef Piece* piece = self.pieces + self.count
        piece.x = self.address(x, written)
        piece.g = piece.v = NULL
        piece.first = False
        piece.single = is_single(x)
        piece.n = cnp.PyArray_SIZE(x)
        self.count += 1
        self.total += piece.n
        return piece

    cdef int run(self) except -1:
        if self.total < RELEASE_ELEMENTS:
            self.run_pieces()
        else:
            with nogil:
                self.run_pieces()
        for array, copy in self.copies:
            np.copyto(array, copy)
        return 0

    cdef void run_pieces(self) noexcept nogil:
        cdef Py_ssize_t k, n, part, parts
        for k in range(self.count):
            n = self.pieces[k].n
            parts = min(threads_for(n, PARALLEL_ELEMENTS), MAX_PARTS)
            if parts == 1:
                self.loop(self.pieces + k, 0, n, 0)
                continue
            for part in prange(parts, num_threads=<int>parts, schedule="static"):
                self.loop(self.pieces + k, share(part, parts, n, UNIT), share(part + 1, parts, n, UNIT), part)

    cdef void loop(self, const Piece* piece, Py_ssize_t first, Py_ssize_t last, Py_ssize_t part) noexcept nogil:
        """The work on a piece's elements first to last, by the thread that does this part."""


cdef Tensor checked(str name, object tensor):
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name} takes tensors, got a {type(tensor).__name__}")
    return tensor


cdef int check_float(str name, Tensor tensor) except -1:
    if not is_float(tensor.array):
        raise TypeError(f"{name} takes float tensors, got one of dtype {tensor.dtype}")
    return 0


cdef int check_writeable(str name, Tensor tensor) except -1:
    if not cnp.PyArray_ISWRITEABLE(tensor.array):
        raise ValueError(f"{name} writes in place, but a tensor of shape {tensor.shape} has read-only memory: "
                         "use a clone()")
    return 0


cdef bint alike(Tensor a, Tensor b) noexcept:
    """Whether two tensors have one shape and dtype."""
    return cnp.PyArray_SAMESHAPE(a.array, b.array) and cnp.PyArray_TYPE(a.array) == cnp.PyArray_TYPE(b.array)


# -- gradients ----------------------------------------------------------------------------------------------------

def zero_grad(list parameters not None, bint set_to_none=True):
    """Forget the gradient of every parameter, or set it to 0."""
    cdef Tensor parameter
    for item in parameters:
        parameter = checked("zero_grad", item)
        if set_to_none or parameter.gradient is None:
            parameter.gradient = None
        else:
            parameter.gradient = parameter.grad.detach().zero_()


def gradients(list parameters not None):
    """The parameters' gradients; those without one are left out."""
    cdef list result = []
    cdef Tensor parameter
    for item in parameters:
        parameter = checked("clipping", item)
        if parameter.gradient is not None:
            result.append(parameter.gradient)
    return result


# -- SGD ----------------------------------------------------------------------------------------------------------
# For a parameter p with gradient g, velocity v, learning rate lr, momentum mu, dampening d, weight decay w:
#     g <- g + w p                                    (-g first, to maximize)
#     v <- mu v + (1 - d) g;  v = g in the first step
#     p <- p - lr v;   with Nesterov's lookahead  p <- p - lr (g + mu v);   without momentum  p <- p - lr g
# Source: PyTorch's convention, Sutskever et al. 2013, with lr outside the velocity.

cdef void sgd_loop(real* p, const real* g, real* v, bint first, Py_ssize_t n, real lr, real mu, real kept, real decay,
                   real sign, bint nesterov) noexcept nogil:
    """kept = 1 - dampening; sign = -1 to maximize; v is NULL without momentum."""
    cdef Py_ssize_t i
    cdef real step
    if v == NULL:
        for i in range(n):
            p[i] -= lr * (sign * g[i] + decay * p[i])
    elif first:
        for i in range(n):
            step = sign * g[i] + decay * p[i]
            v[i] = step
            p[i] -= lr * (step + mu * v[i] if nesterov else v[i])
    else:
        for i in range(n):
            step = sign * g[i] + decay * p[i]
            v[i] = mu * v[i] + kept * step
            p[i] -= lr * (step + mu * v[i] if nesterov else v[i])


@cython.final
@cython.no_gc
cdef class SGDUpdate(Update):
    """The step of one group of parameters."""

    cdef double lr, momentum, kept, weight_decay, sign
    cdef bint nesterov

    cdef void loop(self, const Piece* piece, Py_ssize_t first, Py_ssize_t last, Py_ssize_t part) noexcept nogil:
        if piece.single:
            sgd_loop(<float*>piece.x + first, <const float*>piece.g + first,
                     <float*>piece.v + first if piece.v != NULL else NULL, piece.first, last - first, <float>self.lr,
                     <float>self.momentum, <float>self.kept, <float>self.weight_decay, <float>self.sign, self.nesterov)
        else:
            sgd_loop(<double*>piece.x + first, <const double*>piece.g + first,
                     <double*>piece.v + first if piece.v != NULL else NULL, piece.first, last - first, self.lr,
                     self.momentum, self.kept, self.weight_decay, self.sign, self.nesterov)


cdef Tensor velocity(dict state, Tensor p):
    """The parameter's momentum buffer, None before the first step."""
    cdef dict own = state.get(p)
    return None if own is None else own.get("momentum_buffer")


cdef SGDUpdate update_of(dict group):
    """The update of a group, with its options and no pieces yet."""
    cdef SGDUpdate update = SGDUpdate.__new__(SGDUpdate)
    update.lr, update.momentum, update.kept = group["lr"], group["momentum"], 1 - <double>group["dampening"]
    update.weight_decay, update.nesterov = group["weight_decay"], group["nesterov"]
    update.sign = -1 if group["maximize"] else 1
    return update


def sgd_step(list groups not None, dict state not None):
    """One step of stochastic gradient descent on every parameter that has a gradient, in place.

    Args:
        groups: parameter groups as ``optim.SGD`` keeps them: "params" and the options.
        state: by parameter, {"momentum_buffer": its velocity}; new ones are added.

    Raises:
        ValueError: if a parameter, its gradient and its velocity differ in shape or dtype; nothing is changed then.
    """
    cdef Tensor p, v
    cdef SGDUpdate update
    cdef Piece* piece
    cdef list updates = [], written = [], new = []
    for group in groups:
        update = update_of(group)
        updates.append(update)
        for item in group["params"]:
            p = checked("SGD", item)
            if p.gradient is None:
                continue
            check_float("SGD", p)
            check_writeable("SGD", p)
            if not alike(p, p.gradient):
                raise ValueError(f"SGD: a parameter is {p.shape} {p.dtype}, its gradient {p.gradient.shape} "
                                 f"{p.gradient.dtype}")
            piece = update.add(p.array)
            piece.g = update.address(p.gradient.array, False)
            written.append(p)
            if update.momentum == 0:
                continue
            v = velocity(state, p)
            if v is None:
                v = wrap(empty_like(p.array))
                new.append((p, v))
                piece.first = True
            elif not alike(p, v):
                raise ValueError(f"SGD: a parameter is {p.shape} {p.dtype}, its momentum buffer {v.shape} {v.dtype}: "
                                 "it changed since the last step; make a new optimizer")
            piece.v = update.address(v.array, True)
            written.append(v)
    for update in updates:
        update.run()
    for p in written:
        p.after_write()
    for p, v in new:
        state.setdefault(p, {})["momentum_buffer"] = v


# -- norms --------------------------------------------------------------------------------------------------------
# |x|_q = (sum |x_i|^q)^(1/q);  |x|_inf = max |x_i|;  |x|_0 = the number of elements that are not 0

cdef double largest_magnitude(const real* x, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef real m = 0
    for i in range(n):
        m = larger(m, simd.fabs(x[i]))
    return m


cdef double sum_of_powers(const real* x, Py_ssize_t n, double q) noexcept nogil:
    cdef Py_ssize_t i
    cdef double total = 0
    for i in range(n):
        total += simd.power(<double>simd.fabs(x[i]), q) if x[i] != 0 else 0
    return total


cdef double norm_loop(const real* x, Py_ssize_t n, double q) noexcept nogil:
    """What a run of elements adds to the norm: the sum of |x|^q, or the largest |x|."""
    if q == 2:
        return sum_squares_run(x, 0, n)
    if q == simd.INFINITY:
        return largest_magnitude(x, n)
    return sum_of_powers(x, n, q)


@cython.final
@cython.no_gc
cdef class Norm(Update):
    """Adds up the pieces' norms to the power of q."""

    cdef double q
    cdef double[MAX_PARTS] results      # each thread's part of the sum, or largest

    cdef void loop(self, const Piece* piece, Py_ssize_t first, Py_ssize_t last, Py_ssize_t part) noexcept nogil:
        cdef double result
        if piece.single:
            result = norm_loop(<const float*>piece.x + first, last - first, self.q)
        else:
            result = norm_loop(<const double*>piece.x + first, last - first, self.q)
        self.results[part] = self.joined(self.results[part], result)

    cdef double joined(self, double a, double b) noexcept nogil:
        return larger(a, b) if self.q == simd.INFINITY else a + b


def total_norm(list tensors not None, double norm_type=2):
    """The norm of all elements of all tensors together, taken in double.

    Args:
        tensors: float tensors of any shapes.
        norm_type: q, a number of at least 0, or inf.

    Returns:
        A Python float; 0 for no tensors.

    Raises:
        ValueError: if norm_type is negative or nan.

    Formula: (sum |x|^q)^(1/q)
    """
    if not norm_type >= 0:
        raise ValueError(f"the norm's type must be at least 0 or inf, got {norm_type}")
    cdef Norm norm = Norm.__new__(Norm)
    cdef double total = 0
    cdef Py_ssize_t part
    norm.q = norm_type
    cdef Tensor tensor
    for item in tensors:
        tensor = checked("total_norm", item)
        check_float("total_norm", tensor)
        norm.add(tensor.array, written=False)
    norm.run()
    for part in range(MAX_PARTS):
        total = norm.joined(total, norm.results[part])
    if norm_type == simd.INFINITY or norm_type == 0 or norm_type == 1:
        return total
    return simd.sqrt(total) if norm_type == 2 else simd.power(total, 1 / norm_type)


def number_like(double number, Tensor like not None):
    """A 0-d tensor of the float tensor's dtype; inf where float32 ends."""
    return holding(empty(0, NULL, cnp.PyArray_TYPE(like.array)), number)


# -- in place -----------------------------------------------------------------------------------------------------

cdef void scale_loop(real* x, Py_ssize_t n, real factor) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        x[i] *= factor


cdef void clamp_loop(real* x, Py_ssize_t n, real limit) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        x[i] = limit if x[i] > limit else -limit if x[i] < -limit else x[i]


@cython.final
@cython.no_gc
cdef class Scale(Update):
    """x factor."""

    cdef double factor

    cdef void loop(self, const Piece* piece, Py_ssize_t first, Py_ssize_t last, Py_ssize_t part) noexcept nogil:
        if piece.single:
            scale_loop(<float*>piece.x + first, last - first, <float>self.factor)
        else:
            scale_loop(<double*>piece.x + first, last - first, self.factor)


@cython.final
@cython.no_gc
cdef class Clamp(Update):
    """x, limited to [-limit, limit]."""

    cdef double limit

    cdef void loop(self, const Piece* piece, Py_ssize_t first, Py_ssize_t last, Py_ssize_t part) noexcept nogil:
        if piece.single:
            clamp_loop(<float*>piece.x + first, last - first, <float>self.limit)
        else:
            clamp_loop(<double*>piece.x + first, last - first, self.limit)


cdef int run_on(Update update, str name, list tensors) except -1:
    """Check the tensors, write to all of them, and count the writes."""
    cdef Tensor tensor
    for item in tensors:
        tensor = checked(name, item)
        check_float(name, tensor)
        check_writeable(name, tensor)
        update.add(tensor.array)
    update.run()
    for tensor in tensors:
        tensor.after_write()
    return 0


def scale_(list tensors not None, double factor):
    """Multiply every element of every float tensor by a factor, in place."""
    cdef Scale update = Scale.__new__(Scale)
    update.factor = factor
    run_on(update, "scale_", tensors)


def clamp_(list tensors not None, double limit):
    """Limit every element of every float tensor to [-limit, limit], in place."""
    cdef Clamp update = Clamp.__new__(Clamp)
    update.limit = limit
    run_on(update, "clamp_", tensors)


def increment_(Tensor counter not None):
    """Add 1 to a 0-d int64 tensor, in place."""
    if cnp.PyArray_TYPE(counter.array) != cnp.NPY_INT64 or cnp.PyArray_NDIM(counter.array) != 0:
        raise TypeError(f"increment_ takes a 0-d int64 tensor, got {counter.shape} {counter.dtype}")
    counter.before_write()
    (<long long*>cnp.PyArray_DATA(counter.array))[0] += 1
    counter.after_write()
