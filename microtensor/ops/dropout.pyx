"""dropout: elements set to 0 at random, the others scaled up so that the mean stays.

The mask is never stored. Whether element i is dropped is a function of i and of a key drawn from the generator, so
backward computes it again, and any number of threads gets the same mask.
"""

cimport cython
cimport numpy as cnp
from cython.parallel cimport prange
from numpy cimport ndarray

from microtensor.core cimport Engine, Op, Tensor, contiguous, empty_like, is_single, record, wrap
from microtensor.ops.elementwise cimport as_float
from microtensor.kernels.simd cimport real
from microtensor.kernels.threads cimport PARALLEL_ELEMENTS, RELEASE_ELEMENTS, share, threads_for

import numpy as np

from microtensor.ops.sample import Sample
from microtensor.random import default_generator

cnp.import_array()

cdef extern from "<stdint.h>":
    ctypedef unsigned int uint32_t
    ctypedef unsigned long long uint64_t

cdef enum:
    UNIT = 16                   # elements: threads split arrays at whole cache lines


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


cdef void dropout_forward(const real* x, real* y, Py_ssize_t first, Py_ssize_t last, uint64_t key, uint32_t threshold,
                          real scale) noexcept nogil:
    """Elements first to last; those whose bits are below the threshold are dropped."""
    cdef Py_ssize_t i
    cdef uint32_t key0 = <uint32_t>key, key1 = <uint32_t>(key >> 32)
    for i in range(first, last):
        y[i] = x[i] * scale if random_bits(<uint32_t>i, key0, key1 + <uint32_t>(i >> 32)) >= threshold else 0


@cython.final
@cython.no_gc
cdef class Dropout(Op):
    """x with elements dropped at random."""

    cdef double p
    cdef uint64_t key
    cdef bint single

    cdef ndarray apply_mask(self, ndarray x):
        """x m: forward on x, backward on g."""
        cdef ndarray y = empty_like(x)
        cdef Py_ssize_t n = cnp.PyArray_SIZE(x)
        cdef const void* x_data = cnp.PyArray_DATA(x)
        cdef void* y_data = cnp.PyArray_DATA(y)
        self.single = is_single(x)
        if n < RELEASE_ELEMENTS:
            self.loop(x_data, y_data, 0, n)
        else:
            with nogil:
                self.run(x_data, y_data, n)
        return y

    cdef void run(self, const void* x, void* y, Py_ssize_t n) noexcept nogil:
        cdef Py_ssize_t part, parts = threads_for(n, PARALLEL_ELEMENTS)
        if parts == 1:
            self.loop(x, y, 0, n)
            return
        for part in prange(parts, num_threads=<int>parts, schedule="static"):
            self.loop(x, y, share(part, parts, n, UNIT), share(part + 1, parts, n, UNIT))

    cdef void loop(self, const void* x, void* y, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
        cdef uint32_t threshold = <uint32_t>(self.p * 4294967296.0) if self.p < 1 else 0
        cdef double scale = 1 / (1 - self.p) if self.p < 1 else 0
        if self.single:
            dropout_forward(<const float*>x, <float*>y, first, last, self.key, threshold, <float>scale)
        else:
            dropout_forward(<const double*>x, <double*>y, first, last, self.key, threshold, scale)

    cdef int backward(self, ndarray g, Engine engine) except -1:
        return engine.give(self, 0, self.apply_mask(g))

    def rule(self, Tensor g):
        return (g * wrap(self.apply_mask(np.ones_like(g.array))),)

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


def dropout(Tensor input not None, double p=0.5, bint training=True, generator=None):
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
    if not 0 <= p <= 1:
        raise ValueError(f"dropout: p is a probability from 0 to 1, got {p}")
    if not training or p == 0:
        return input
    cdef Tensor x = as_float(input)
    cdef Dropout op = Dropout.__new__(Dropout)
    op.p = p
    op.key = (generator or default_generator()).bits()
    return record(op, op.apply_mask(contiguous(x.array)), x)
