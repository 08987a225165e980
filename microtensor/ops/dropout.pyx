"""dropout: elements set to 0 at random, the others scaled up so that the mean stays; and alpha_dropout, made of it.

The mask is never stored. Whether element i is dropped is a function of i and of a key drawn from the generator, so
backward computes it again, and any number of threads gets the same mask.
"""

cimport cython
cimport numpy as cnp
from numpy cimport ndarray

from microtensor.core cimport (
    Op, Tensor, as_tensor, call_again, contiguous, empty_like, is_taping, is_single, lent, record, wrap,
)
from microtensor.kernels.simd cimport real, sqrt
from microtensor.kernels.threads cimport ELEMENTS_PER_THREAD, UNIT, parallel_for
from microtensor.ops.base cimport as_float

import numpy as np

from microtensor.ops.sample import Sample
from microtensor.random import default_generator

cnp.import_array()

cdef extern from "<stdint.h>":
    ctypedef unsigned int uint32_t
    ctypedef unsigned long long uint64_t

# -- dropout ----------------------------------------------------------------------------------------------------
# m_i = 1 / (1 - p) with probability 1 - p, else 0, independently;  y = x m,  E[y] = x
# dy/dx = m:   dx = g m                                                  the same loop, on g

cdef inline uint32_t random_bits(uint32_t i, uint32_t key0, uint32_t key1) noexcept nogil:
    """32 bits that depend on i and the keys like random ones: two rounds of Wellons' "lowbias32" integer hash.

    Source: C. Wellons, "Prospecting for Hash Functions" (2018), bias 0.17 of a possible 1000 a round.
    """
    i ^= key0
    i = (i ^ (i >> 16)) * <uint32_t>0x7FEB352D
    i = (i ^ (i >> 15)) * <uint32_t>0x846CA68B
    i = (i ^ (i >> 16)) + key1
    i = (i ^ (i >> 16)) * <uint32_t>0x7FEB352D
    i = (i ^ (i >> 15)) * <uint32_t>0x846CA68B
    return i ^ (i >> 16)


cdef struct DropoutJob:
    bint single
    const void* x
    void* y
    uint64_t key
    uint32_t threshold          # elements whose bits are below it are dropped,
    double scale                # and the others multiplied


cdef void dropout_forward(const real* x, real* y, const DropoutJob* job, Py_ssize_t first,
                          Py_ssize_t last) noexcept nogil:
    cdef Py_ssize_t i
    cdef uint32_t key0 = <uint32_t>job.key, key1 = <uint32_t>(job.key >> 32), threshold = job.threshold
    cdef real scale = <real>job.scale
    for i in range(first, last):
        y[i] = x[i] * scale if random_bits(<uint32_t>i, key0, key1 + <uint32_t>(i >> 32)) >= threshold else 0


cdef void dropout_part(void* job_pointer, Py_ssize_t _number, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef DropoutJob* job = <DropoutJob*>job_pointer
    if job.single:
        dropout_forward(<const float*>job.x, <float*>job.y, job, first, last)
    else:
        dropout_forward(<const double*>job.x, <double*>job.y, job, first, last)


@cython.final
@cython.no_gc
cdef class Dropout(Op):
    """x with elements dropped at random."""

    cdef double p
    cdef uint64_t key

    def draw(self, generator):
        """Take other elements from now on."""
        self.key = (generator or default_generator()).bits()

    cdef void mask(self, ndarray x, ndarray y):
        """y = x m: forward on x, backward on g."""
        cdef DropoutJob job
        job.single, job.x, job.y, job.key = is_single(x), cnp.PyArray_DATA(x), cnp.PyArray_DATA(y), self.key
        job.threshold = <uint32_t>(self.p * 4294967296.0) if self.p < 1 else 0
        job.scale = 1 / (1 - self.p) if self.p < 1 else 0
        parallel_for(dropout_part, &job, cnp.PyArray_SIZE(x), UNIT, ELEMENTS_PER_THREAD)

    cdef Tensor apply(self, Tensor x):
        self.a = x.array
        self.y = empty_like(x.array)
        self.run_forward()
        return record(self, x)

    cdef int run_forward(self) except -1:
        self.mask(contiguous(self.a), self.y)
        return 0

    cdef int allocate_gradients(self) except -1:
        self.da = empty_like(<ndarray>self.g)
        return 0

    cdef int run_backward(self) except -1:
        self.mask(<ndarray>self.g, self.da)
        return 0

    def rule(self, Tensor g not None):
        cdef ndarray ones = np.ones_like(lent(as_float(g).array), order="C"), factors = empty_like(ones)
        self.mask(ones, factors)
        return (g * wrap(factors),)

    @staticmethod
    def samples(draw):
        from microtensor.random import Generator

        def replayed(x):
            return dropout(x, 0.3, generator=Generator(7))

        def twin(x):
            return x * replayed(wrap(np.ones_like(x))).numpy()

        yield Sample(replayed, [draw(30, 5)], twin)
        yield Sample(lambda x: replayed(x.expand((8,))).sum(), [draw()], lambda x: twin(np.full(8, x)).sum())
        yield Sample(replayed, [draw(0, 3)], twin)


def dropout(input, double p=0.5, bint training=True, generator=None):
    """Each element set to 0 with probability p, the others multiplied by 1 / (1 - p); x itself if not training.

    Args:
        input: x, any shape.
        p: the probability, from 0 to 1.
        training: whether to do anything.
        generator: a ``mt.Generator``; by default the one that ``mt.manual_seed`` seeds.

    Returns:
        y, of x's shape.

    Raises:
        ValueError: if p is not from 0 to 1.

    Formula: y = x m, m = 1 / (1 - p) or 0 (Srivastava et al. 2014, "inverted")

    >>> import microtensor as mt
    >>> mt.dropout(mt.ones(8), 0.5, generator=mt.Generator(0)).max()
    tensor(2.)
    """
    cdef Tensor x = as_tensor(input, "input")
    if not 0 <= p <= 1:
        raise ValueError(f"dropout: p is a probability from 0 to 1, got {p}")
    if not training or p == 0:
        return x
    cdef Dropout op = Dropout.__new__(Dropout)
    op.p = p
    op.draw(generator)
    if is_taping():
        call_again(op.draw, (generator,))
    return op.apply(as_float(x))


# -- alpha_dropout: a composite -----------------------------------------------------------------------------------
# Dropped elements become -c, where selu tends to on the left, and all are brought back to the mean 0 and the variance 1
# that they had (docs/derivations/dropout.md):
#     y = a (x or -c) + b,  a = ((1 - p) (1 + p c^2))^(-1/2),  b = a p c
# With D for dropout, which multiplies what it keeps by 1 / (1 - p):
#     y = a (1 - p) (D(x + c) - c),  a (1 - p) = ((1 - p) / (1 + p c^2))^(1/2)

cdef double SELU_LIMIT = 1.7580993408473768         # c = -selu(-inf)


def alpha_dropout(input, double p=0.5, bint training=False, generator=None):
    """Dropout for nets of selu: each element set to selu's lowest value with probability p; mean and variance stay.

    Args:
        input: x, any shape.
        p: the probability, from 0 to 1.
        training: whether to do anything; if not, the result is x itself.
        generator: a ``mt.Generator``; by default the one that ``mt.manual_seed`` seeds.

    Returns:
        y, of x's shape.

    Raises:
        ValueError: if p is not from 0 to 1.

    Formula: y = a (x m - c (1 - m) + p c), m = 0 with probability p, else 1; c = 1.7580...,
    a = ((1 - p) (1 + p c^2))^(-1/2) (Klambauer et al. 2017, Self-Normalizing Neural Networks)

    >>> import microtensor as mt
    >>> mt.alpha_dropout(mt.zeros(8), 0.5, training=True, generator=mt.Generator(0)).max()
    tensor(0.7792)
    """
    cdef Tensor x = as_tensor(input, "input")
    if not 0 <= p <= 1:
        raise ValueError(f"alpha_dropout: p is a probability from 0 to 1, got {p}")
    if not training or p == 0:
        return x
    cdef double scale = sqrt((1 - p) / (1 + p * SELU_LIMIT * SELU_LIMIT))
    return scale * (dropout(x + SELU_LIMIT, p, True, generator) - SELU_LIMIT)
