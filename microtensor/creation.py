"""Make tensors: from data, filled, counted, random."""

import operator

import numpy as np

from microtensor.core import (
    Tensor,
    check_dtype,
    check_range,
    check_unmasked,
    copied_in,
    empty_array,
    float32,
    from_numpy,
)
from microtensor.random import default_generator


def tensor(data, *, dtype=None, requires_grad=False):
    """A new tensor holding a copy of data.

    Args:
        data: a number, nested lists of numbers, a NumPy array, or a tensor (its numbers, without its graph).
        dtype: by default float32 for Python floats, int64 for ints, bool for bools; an array's own.
        requires_grad: record operations on it.

    Raises:
        TypeError: if data is not numbers, or of a dtype that tensors do not hold.
        ValueError: if nested lists are ragged.
        OverflowError: if an int does not fit into the dtype.
        RuntimeError: if a gradient is wanted for integers or bools.

    >>> import microtensor as mt
    >>> mt.tensor([[1, 2], [3, 4]])
    tensor([[1, 2],
            [3, 4]])
    """
    if isinstance(data, Tensor):
        array = np.asarray(data.detach().numpy(), dtype)
    elif isinstance(data, (np.ndarray, np.generic)):
        check_unmasked(data)
        array = np.asarray(data, dtype)
    else:
        if isinstance(data, (list, tuple)):
            data = _without_tensors(data)
        try:
            array = np.array(data, dtype)
        except ValueError as error:
            raise ValueError(f"tensor: data is no regular nested list: {error}") from None
        if dtype is None and array.dtype.kind in "ufO" and array.size > 0 and _holds_ints_only(data):
            limits = np.iinfo(np.int64)
            raise OverflowError(f"tensor: ints are held in int64, {limits.min} to {limits.max}, and some do not fit: "
                                "pass a dtype that holds them, such as dtype=mt.float64")
        if dtype is None and array.dtype == np.float64 and not _holds_double(data):
            array = array.astype(np.float32)
    check_dtype(array.dtype)
    return copied_in(array).requires_grad_(requires_grad)


def _without_tensors(data):
    """Nested lists with the tensors in them as NumPy arrays."""
    return [
        x.detach().numpy() if isinstance(x, Tensor) else _without_tensors(x) if isinstance(x, (list, tuple)) else x
        for x in data
    ]


def _holds_ints_only(data):
    """Whether nested lists hold nothing but Python's ints, which NumPy makes unsigned, floats or objects if need be."""
    if isinstance(data, (list, tuple)):
        return all(_holds_ints_only(x) for x in data)
    return isinstance(data, int)


def _holds_double(data):
    """Whether nested lists hold NumPy's float64, which keeps its dtype, rather than Python floats, which have none."""
    if isinstance(data, (list, tuple)):
        return any(_holds_double(x) for x in data)
    return isinstance(data, (np.ndarray, np.generic)) and data.dtype == np.float64


def _shape(sizes):
    """The sizes of zeros(2, 3) or zeros((2, 3)) as one tuple of non-negative ints."""
    if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)):
        sizes = tuple(sizes[0])
    sizes = tuple(operator.index(size) for size in sizes)
    if any(size < 0 for size in sizes):
        raise ValueError(f"sizes must be at least 0, got {sizes}")
    return sizes


def _number(name, value):
    """Python's int, float or bool of a number that may be NumPy's, or an array or tensor of no dimension."""
    number = value.numpy() if isinstance(value, Tensor) else value      # raises where a gradient would be lost
    if isinstance(number, (np.generic, np.ndarray)) and number.ndim == 0:
        number = number.item()
    if not isinstance(number, (int, float)):
        shape = f" of shape {number.shape}" if isinstance(number, np.ndarray) else ""
        raise TypeError(f"{name} takes ints and floats, not a {type(value).__name__}{shape}: convert it first")
    return number


def _integer(name, value):
    """Python's int of whatever can be an index."""
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an int, not a {type(value).__name__}") from None


def _check_numbers(dtype, *numbers):
    """Raise OverflowError unless each number fits into the dtype, if that is one of integers."""
    array = np.empty(0, dtype)
    for number in numbers:
        check_range(number, array)


def _made(array, requires_grad):
    check_dtype(array.dtype)
    return from_numpy(array).requires_grad_(requires_grad)


def _filled(size, dtype, number, requires_grad):
    array = empty_array(_shape(size), dtype)
    array.fill(number)
    return _made(array, requires_grad)


def _drawn(draw, size, dtype, requires_grad):
    """A tensor of what a function of NumPy's generator draws; it raises TypeError for other dtypes than floats."""
    array = empty_array(_shape(size), dtype or float32)
    draw(dtype=array.dtype, out=array)
    return _made(array, requires_grad)


def empty(*size, dtype=None, requires_grad=False):
    """A tensor of a shape, its elements not set: ``empty(2, 3)`` or ``empty((2, 3))``."""
    return _made(empty_array(_shape(size), dtype or float32), requires_grad)


def zeros(*size, dtype=None, requires_grad=False):
    """A tensor of zeros: ``zeros(2, 3)`` or ``zeros((2, 3))``."""
    return _filled(size, dtype or float32, 0, requires_grad)


def ones(*size, dtype=None, requires_grad=False):
    """A tensor of ones: ``ones(2, 3)`` or ``ones((2, 3))``."""
    return _filled(size, dtype or float32, 1, requires_grad)


def full(size, fill_value, *, dtype=None, requires_grad=False):
    """A tensor of one number; by default of the number's dtype, as ``tensor`` would have it."""
    if dtype is None:
        dtype = tensor(fill_value).dtype
    number = _number("full", fill_value)
    _check_numbers(dtype, number)
    return _filled((size,), dtype, number, requires_grad)


def arange(start, end=None, step=1, *, dtype=None, requires_grad=False):
    """The numbers from start (0 if only one is given) up to but without end, a step apart.

    By default int64 for ints and float32 with a float among the arguments.

    >>> import microtensor as mt
    >>> mt.arange(0, 1, 0.25)
    tensor([0.  , 0.25, 0.5 , 0.75])
    """
    if end is None:
        start, end = 0, start
    start, end, step = (_number("arange", x) for x in (start, end, step))
    if step == 0:
        raise ValueError("arange needs a step other than 0")
    ints = all(isinstance(x, int) for x in (start, end, step))
    dtype = np.dtype(dtype or (np.int64 if ints else float32))
    if ints and dtype.kind in "iu":             # without a dtype, NumPy's become floats where int64 ends
        numbers = range(start, end, step)
        _check_numbers(dtype, *numbers[:1], *numbers[-1:])
        return _made(np.arange(start, end, step, dtype), requires_grad)
    numbers = np.arange(start, end, step)
    _check_numbers(dtype, *numbers[:1], *numbers[-1:])
    return _made(numbers.astype(dtype), requires_grad)


def eye(n, m=None, *, dtype=None, requires_grad=False):
    """The identity matrix (n, n), or its first m columns."""
    return _made(np.eye(n, m, dtype=dtype or float32), requires_grad)


def rand(*size, generator=None, dtype=None, requires_grad=False):
    """Uniform random numbers from [0, 1), drawn from the generator or the default one."""
    stream = (generator or default_generator()).numpy
    return _drawn(stream.random, size, dtype, requires_grad)


def randn(*size, generator=None, dtype=None, requires_grad=False):
    """Standard normal random numbers, drawn from the generator or the default one."""
    stream = (generator or default_generator()).numpy
    return _drawn(stream.standard_normal, size, dtype, requires_grad)


def randint(low, high=None, size=(), *, generator=None, dtype=np.int64):
    """Uniform random integers from low (0 if only one bound is given) up to but without high."""
    if high is None:
        low, high = 0, low
    low, high = _integer("randint: low", low), _integer("randint: high", high)
    if low >= high:
        raise ValueError(f"randint needs a low below high, got {low} and {high}")
    _check_numbers(dtype, low, high - 1)
    stream = (generator or default_generator()).numpy
    return _made(np.asarray(stream.integers(low, high, _shape((size,)))).astype(dtype), False)


def randperm(n, *, generator=None):
    """The integers 0 to n - 1 in random order."""
    n = _integer("randperm: n", n)
    if n < 0:
        raise ValueError(f"randperm: n must be at least 0, got {n}")
    return _made((generator or default_generator()).numpy.permutation(n), False)


def empty_like(input, *, dtype=None, requires_grad=False):
    """A tensor of input's shape and dtype, its elements not set."""
    return empty(input.shape, dtype=dtype or input.dtype, requires_grad=requires_grad)


def zeros_like(input, *, dtype=None, requires_grad=False):
    """Zeros of input's shape and dtype."""
    return zeros(input.shape, dtype=dtype or input.dtype, requires_grad=requires_grad)


def ones_like(input, *, dtype=None, requires_grad=False):
    """Ones of input's shape and dtype."""
    return ones(input.shape, dtype=dtype or input.dtype, requires_grad=requires_grad)


def full_like(input, fill_value, *, dtype=None, requires_grad=False):
    """One number in input's shape and dtype."""
    return full(input.shape, fill_value, dtype=dtype or input.dtype, requires_grad=requires_grad)


def rand_like(input, *, generator=None, dtype=None, requires_grad=False):
    """Uniform random numbers from [0, 1) in input's shape and dtype."""
    return rand(input.shape, generator=generator, dtype=dtype or input.dtype, requires_grad=requires_grad)


def randn_like(input, *, generator=None, dtype=None, requires_grad=False):
    """Standard normal random numbers in input's shape and dtype."""
    return randn(input.shape, generator=generator, dtype=dtype or input.dtype, requires_grad=requires_grad)
