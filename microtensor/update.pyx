"""Loops over all parameters at once, in place and without temporaries: the step of SGD, norms, scaling, clamping.

No gradient flows through these; they write where the graph must not look, and count each write in the tensor's version.
"""

cimport numpy as cnp
from numpy cimport ndarray

from microtensor cimport simd
from microtensor.core cimport Tensor, contiguous, empty_like, is_float, is_single, wrap
from microtensor.simd cimport real

import numpy as np

cnp.import_array()

cdef enum:
    LANES = 16          # partial sums, for vector registers to hold


cdef ndarray begin_write(Tensor tensor):
    """The tensor's array, or a contiguous copy of it to be given back to end_write; counts as a write."""
    tensor.after_write()
    return contiguous(tensor.array)


cdef int end_write(Tensor tensor, ndarray array) except -1:
    if array is not tensor.array:
        np.copyto(tensor.array, array)
    return 0


cdef int check_tensors(str name, list tensors) except -1:
    for tensor in tensors:
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{name} takes tensors, got a {type(tensor).__name__}")
        if not is_float((<Tensor>tensor).array):
            raise TypeError(f"{name} takes float tensors, got one of dtype {tensor.dtype}")
    return 0


cdef int check_writeable(str name, list tensors) except -1:
    for tensor in tensors:
        if not cnp.PyArray_ISWRITEABLE((<Tensor>tensor).array):
            raise ValueError(f"{name} writes in place, but a tensor of shape {tensor.shape} has read-only memory: "
                             "use a clone()")
    return 0


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


def check_sgd(list params not None, list grads not None, list buffers not None, double momentum):
    """Raise if sgd_step could not step: with several groups of parameters, all are checked before the first steps."""
    cdef Py_ssize_t k, count = len(params)
    cdef Tensor p, g, v
    if len(grads) != count or len(buffers) != count:
        raise ValueError(f"sgd_step: {count} params, {len(grads)} grads, {len(buffers)} buffers: must be as many each")
    check_tensors("sgd_step", params)
    check_tensors("sgd_step", grads)
    check_writeable("sgd_step", params)
    for k in range(count):
        p, g = params[k], grads[k]
        if not cnp.PyArray_SAMESHAPE(p.array, g.array) or cnp.PyArray_TYPE(p.array) != cnp.PyArray_TYPE(g.array):
            raise ValueError(f"sgd_step: parameter {k} is {p.shape} {p.dtype}, its gradient {g.shape} {g.dtype}")
        v = buffers[k]
        if v is not None and momentum != 0 and (not cnp.PyArray_SAMESHAPE(p.array, v.array)
                                                or cnp.PyArray_TYPE(p.array) != cnp.PyArray_TYPE(v.array)):
            raise ValueError(f"sgd_step: parameter {k} is {p.shape} {p.dtype}, its momentum buffer {v.shape} "
                             f"{v.dtype}: it changed since the last step; make a new optimizer")


def sgd_step(list params not None, list grads not None, list buffers not None, double lr, double momentum,
             double dampening, double weight_decay, bint nesterov, bint maximize):
    """One step of stochastic gradient descent on every parameter, in place.

    Args:
        params, grads: tensors, pairwise of one shape and float dtype.
        buffers: the velocities, pairwise like params; None before the first step, which puts a new tensor there.
            Left alone if momentum is 0.
        lr, momentum, dampening, weight_decay, nesterov, maximize: as in ``optim.SGD``.

    Raises:
        ValueError: if the lists differ in length or a pair in shape or dtype; nothing is changed then.
    """
    cdef Py_ssize_t k, n
    cdef Tensor p, g, v
    cdef ndarray p_array, g_array, v_array
    cdef void* v_data
    cdef bint first
    cdef float sign = -1 if maximize else 1
    check_sgd(params, grads, buffers, momentum)
    for k in range(len(params)):
        p, g = params[k], grads[k]
        p_array, g_array = begin_write(p), contiguous(g.array)
        n = cnp.PyArray_SIZE(p_array)
        v_data = NULL
        v = None
        first = False
        if momentum != 0:
            first = buffers[k] is None
            if first:
                buffers[k] = wrap(empty_like(p_array))
            v = buffers[k]
            v_array = begin_write(v)
            v_data = cnp.PyArray_DATA(v_array)
        if is_single(p_array):
            sgd_loop(<float*>cnp.PyArray_DATA(p_array), <const float*>cnp.PyArray_DATA(g_array), <float*>v_data, first,
                     n, <float>lr, <float>momentum, <float>(1 - dampening), <float>weight_decay, sign, nesterov)
        else:
            sgd_loop(<double*>cnp.PyArray_DATA(p_array), <const double*>cnp.PyArray_DATA(g_array), <double*>v_data,
                     first, n, lr, momentum, 1 - dampening, weight_decay, sign, nesterov)
        end_write(p, p_array)
        if v is not None:
            end_write(v, v_array)


# -- norms --------------------------------------------------------------------------------------------------------
# |x|_q = (sum |x_i|^q)^(1/q);  |x|_inf = max |x_i|;  |x|_0 = the number of elements that are not 0

cdef double sum_of_squares(const real* x, Py_ssize_t n) noexcept nogil:
    cdef double lanes[LANES]
    cdef double total = 0
    cdef Py_ssize_t i = 0, j
    for j in range(LANES):
        lanes[j] = 0
    while i + LANES <= n:
        for j in range(LANES):
            lanes[j] += <double>x[i + j] * x[i + j]
        i += LANES
    while i < n:
        total += <double>x[i] * x[i]
        i += 1
    for j in range(LANES):
        total += lanes[j]
    return total


cdef double largest_magnitude(const real* x, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef real m = 0, v
    for i in range(n):
        v = simd.fabs(x[i])
        m = v if v > m or v != v else m
    return m


cdef double sum_of_powers(const real* x, Py_ssize_t n, double q) noexcept nogil:
    cdef Py_ssize_t i
    cdef double total = 0
    for i in range(n):
        total += simd.power(<double>simd.fabs(x[i]), q) if x[i] != 0 else 0
    return total


cdef double norm_part(const real* x, Py_ssize_t n, double q) noexcept nogil:
    """What one tensor adds to the norm: the sum of |x|^q, or the largest |x|."""
    if q == 2:
        return sum_of_squares(x, n)
    if q == simd.INFINITY:
        return largest_magnitude(x, n)
    return sum_of_powers(x, n, q)


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
    check_tensors("total_norm", tensors)
    cdef double total = 0, part
    cdef ndarray array
    for tensor in tensors:
        array = contiguous((<Tensor>tensor).array)
        if is_single(array):
            part = norm_part(<const float*>cnp.PyArray_DATA(array), cnp.PyArray_SIZE(array), norm_type)
        else:
            part = norm_part(<const double*>cnp.PyArray_DATA(array), cnp.PyArray_SIZE(array), norm_type)
        if norm_type == simd.INFINITY:
            total = part if part > total or part != part else total
        else:
            total += part
    if norm_type == simd.INFINITY or norm_type == 0 or norm_type == 1:
        return total
    return simd.sqrt(total) if norm_type == 2 else simd.power(total, 1 / norm_type)


# -- in place -----------------------------------------------------------------------------------------------------

cdef void scale_loop(real* x, Py_ssize_t n, real factor) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        x[i] *= factor


cdef void clamp_loop(real* x, Py_ssize_t n, real limit) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        x[i] = limit if x[i] > limit else -limit if x[i] < -limit else x[i]


def scale_(list tensors not None, double factor):
    """Multiply every element of every float tensor by a factor, in place."""
    check_tensors("scale_", tensors)
    check_writeable("scale_", tensors)
    cdef ndarray array
    for tensor in tensors:
        array = begin_write(tensor)
        if is_single(array):
            scale_loop(<float*>cnp.PyArray_DATA(array), cnp.PyArray_SIZE(array), <float>factor)
        else:
            scale_loop(<double*>cnp.PyArray_DATA(array), cnp.PyArray_SIZE(array), factor)
        end_write(tensor, array)


def clamp_(list tensors not None, double limit):
    """Limit every element of every float tensor to [-limit, limit], in place."""
    check_tensors("clamp_", tensors)
    check_writeable("clamp_", tensors)
    cdef ndarray array
    for tensor in tensors:
        array = begin_write(tensor)
        if is_single(array):
            clamp_loop(<float*>cnp.PyArray_DATA(array), cnp.PyArray_SIZE(array), <float>limit)
        else:
            clamp_loop(<double*>cnp.PyArray_DATA(array), cnp.PyArray_SIZE(array), limit)
        end_write(tensor, array)
