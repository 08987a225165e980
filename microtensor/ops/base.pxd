"""The families of ops, and their tables of loops: see base.pyx."""

cimport cython
from numpy cimport ndarray

from microtensor.core cimport Op, Tensor
from microtensor.kernels.lines cimport Block, Dims, ReductionLoops

# -- one input, element by element

ctypedef void (*unary_forward_float)(const float* x, float* y, Py_ssize_t n, const double* options) noexcept nogil
ctypedef void (*unary_forward_double)(const double* x, double* y, Py_ssize_t n, const double* options) noexcept nogil
ctypedef void (*unary_backward_float)(const float* saved, const float* g, float* dx, Py_ssize_t n,
                                      const double* options) noexcept nogil
ctypedef void (*unary_backward_double)(const double* saved, const double* g, double* dx, Py_ssize_t n,
                                       const double* options) noexcept nogil

cdef struct UnaryLoops:
    int reads                   # what backward reads as `saved`: NOTHING, INPUT or OUTPUT
    unary_forward_float forward_float
    unary_forward_double forward_double
    unary_backward_float backward_float
    unary_backward_double backward_double

cdef inline UnaryLoops unary(int reads, unary_forward_float forward_float, unary_forward_double forward_double,
                             unary_backward_float backward_float, unary_backward_double backward_double) noexcept:
    return UnaryLoops(reads, forward_float, forward_double, backward_float, backward_double)


@cython.no_gc
cdef class Unary(Op):
    cdef const UnaryLoops* loops
    cdef double[3] options      # an op's numbers, such as a slope: the loops' last argument

    cdef Tensor apply(self, const UnaryLoops* loops, object input)


# -- two inputs, element by element

ctypedef void (*binary_forward_float)(const float* a, const float* b, float* y, Py_ssize_t n) noexcept nogil
ctypedef void (*binary_forward_double)(const double* a, const double* b, double* y, Py_ssize_t n) noexcept nogil
ctypedef void (*binary_backward_float)(const float* a, const float* b, const float* y, const float* g, float* dx,
                                       Py_ssize_t n) noexcept nogil
ctypedef void (*binary_backward_double)(const double* a, const double* b, const double* y, const double* g, double* dx,
                                        Py_ssize_t n) noexcept nogil

cdef struct BinaryLoops:
    binary_forward_float forward_float
    binary_forward_double forward_double
    binary_backward_float backward_a_float, backward_b_float
    binary_backward_double backward_a_double, backward_b_double

cdef inline BinaryLoops binary(
        binary_forward_float forward_float, binary_forward_double forward_double,
        binary_backward_float backward_a_float, binary_backward_double backward_a_double,
        binary_backward_float backward_b_float, binary_backward_double backward_b_double) noexcept:
    return BinaryLoops(forward_float, forward_double, backward_a_float, backward_b_float, backward_a_double,
                       backward_b_double)


@cython.no_gc
cdef class Binary(Op):
    cdef const BinaryLoops* loops

    cdef Tensor apply(self, const BinaryLoops* loops, Tensor a, Tensor b)
    cdef int run_side(self, int side, ndarray y, ndarray g, ndarray result) except -1


# -- one result for each line of elements along some dimensions

@cython.no_gc
cdef class Reduction(Op):
    cdef const ReductionLoops* loops
    cdef Dims dims              # the reduced ones
    cdef Py_ssize_t length      # how many elements make one output
    cdef double scale           # factor of a sum
    cdef tuple shape            # of x

    cdef Tensor apply(self, const ReductionLoops* loops, object input, object dim, bint keepdim)
    cdef int prepare(self, ndarray x, Py_ssize_t outputs) except -1
    cdef tuple reduced(self)
    cdef Tensor put_back(self, Tensor g)


# -- along one dimension, a result for each element

ctypedef void (*along_forward_float)(const float* x, float* y, const Block* block) noexcept nogil
ctypedef void (*along_forward_double)(const double* x, double* y, const Block* block) noexcept nogil
ctypedef void (*along_backward_float)(const float* y, const float* g, float* dx, const Block* block) noexcept nogil
ctypedef void (*along_backward_double)(const double* y, const double* g, double* dx, const Block* block) noexcept nogil

cdef struct AlongDimLoops:
    along_forward_float forward_float
    along_forward_double forward_double
    along_backward_float backward_float
    along_backward_double backward_double


@cython.no_gc
cdef class AlongDim(Op):
    cdef const AlongDimLoops* loops
    cdef Py_ssize_t dim

    cdef Tensor apply(self, const AlongDimLoops* loops, object input, object dim)
    cdef int run_blocks(self, ndarray x, ndarray g, ndarray y) except -1


# -- a layer's input, weight and bias

@cython.no_gc
cdef class WithBias(Op):
    cdef ndarray bias, dbias    # the third input, and its gradient


cdef Tensor as_float(object input)
cdef tuple promote(Tensor a, Tensor b)
cdef int check_promoted(Op op) except -1
cdef ndarray empty_broadcast(Op op, tuple arrays)
cdef ndarray empty_of(tuple shape, int typenum)
cdef Py_ssize_t normal_dim(object dim, Py_ssize_t ndim) except -1
cdef Dims dims_of(object dim, Py_ssize_t ndim) except? 0
