"""Samplers: iterables with a length that give the row numbers of one pass over a dataset."""

import numpy as np

from microtensor._arguments import checked_bool, checked_count
from microtensor.core import Tensor
from microtensor.random import Generator, default_generator


class Sampler:
    """Base class of samplers: a subclass gives ``__len__`` and ``draw``, or ``__iter__``, which is as good.

    A DataLoader takes anything that has a length and gives row numbers when it is iterated. A subclass with ``draw``
    gives those of a pass by one call instead, and its state is that of its generator.

    Attributes:
        generator: the mt.Generator that it draws from; None for the default one, whose state is not part of its own.

    >>> from microtensor.data import Sampler
    >>> class Backwards(Sampler):
    ...     def __init__(self, data_source):
    ...         self.data_source = data_source
    ...     def __len__(self):
    ...         return len(self.data_source)
    ...     def __iter__(self):
    ...         return iter(range(len(self) - 1, -1, -1))
    >>> list(Backwards("abc"))
    [2, 1, 0]
    """

    generator = None

    def draw(self):
        """The rows of a new pass: an int64 array (len(self),)."""
        raise NotImplementedError(f"{type(self).__name__} has neither draw nor __iter__")

    def __iter__(self):
        """The rows of a new pass, as Python's ints."""
        return iter(memoryview(self.draw()))

    def state_dict(self):
        """The state of its generator, if it was given one: what the next pass depends on."""
        return {} if self.generator is None else {"generator": self.generator.get_state()}

    def load_state_dict(self, state_dict):
        """Take over what ``state_dict()`` of such a sampler gave.

        Raises:
            ValueError: if it is not the state of such a sampler; nothing is changed.
        """
        if state_dict.keys() != self.state_dict().keys():
            raise ValueError(f"the state_dict of a {type(self).__name__} must have {list(self.state_dict())}, and has "
                             f"{list(state_dict)}: a sampler that was given a generator has its state, others none")
        if self.generator is not None:
            try:
                Generator(0).set_state(state_dict["generator"])
            except (KeyError, OverflowError, TypeError, ValueError) as error:
                raise ValueError(f"{type(self).__name__}: not the state of an mt.Generator: {error!r}") from None
            self.generator.set_state(state_dict["generator"])

    @property
    def _stream(self):
        """NumPy's generator behind the sampler's own, or the default one."""
        return (self.generator or default_generator()).numpy


class SequentialSampler(Sampler):
    """All rows in their order.

    Args:
        data_source: has a length, as a dataset does.

    >>> from microtensor.data import SequentialSampler
    >>> list(SequentialSampler("abc"))
    [0, 1, 2]
    """

    def __init__(self, data_source):
        self.data_source = data_source

    def __len__(self):
        """The number of rows."""
        return len(self.data_source)

    def draw(self):
        """0, 1, ..., n - 1."""
        return np.arange(len(self))


class RandomSampler(Sampler):
    """All rows in a new random order for every pass, or rows drawn one by one, with replacement.

    Args:
        data_source: has a length n, as a dataset does.
        replacement: draw each row from all n, so that some come several times, and others not at all.
        num_samples: how many rows a pass has; n by default. Without replacement, no row comes again before all
            have come.
        generator: the mt.Generator to draw from; by default the one that mt.manual_seed seeds.

    Raises:
        TypeError: if replacement is no bool or num_samples no int.
        ValueError: if there is nothing to draw from, or num_samples is below 1.

    >>> import microtensor as mt
    >>> from microtensor.data import RandomSampler
    >>> sampler = RandomSampler(range(5), generator=mt.Generator(0))
    >>> list(sampler), list(sampler)
    ([2, 4, 3, 0, 1], [4, 1, 2, 0, 3])
    """

    def __init__(self, data_source, replacement=False, num_samples=None, generator=None):
        self.replacement = checked_bool("RandomSampler: replacement", replacement)
        self.data_source = data_source
        self._num_samples = None if num_samples is None else checked_count("RandomSampler: num_samples", num_samples)
        self.generator = generator
        if len(data_source) == 0:
            raise ValueError("RandomSampler has nothing to draw from, as data_source is empty")

    @property
    def num_samples(self):
        """How many rows a pass has."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __len__(self):
        """The number of rows in a pass."""
        return self.num_samples

    def draw(self):
        """Random rows."""
        n, stream = len(self.data_source), self._stream
        if self.replacement:
            return stream.integers(n, size=self.num_samples)
        orders = [stream.permutation(n) for _ in range(0, self.num_samples, n)]
        return np.concatenate(orders)[: self.num_samples]


class WeightedRandomSampler(Sampler):
    """Rows drawn with given probabilities.

    Args:
        weights: a sequence, array or tensor (n,) of numbers of at least 0: row i is drawn with probability
            weights[i] / sum(weights).
        num_samples: how many rows a pass has.
        replacement: whether a row can be drawn again; otherwise each draw is by the weights of the rows not drawn yet.
        generator: the mt.Generator to draw from; by default the one that mt.manual_seed seeds.

    Raises:
        TypeError: if num_samples is no int or replacement no bool.
        ValueError: if weights are not one line of numbers of at least 0 with a sum above 0, num_samples is below 1,
            or without replacement more than the number of weights above 0.

    >>> import microtensor as mt
    >>> from microtensor.data import WeightedRandomSampler
    >>> list(WeightedRandomSampler([0, 3, 0, 1], 8, generator=mt.Generator(0)))
    [1, 1, 1, 1, 3, 3, 1, 1]
    """

    def __init__(self, weights, num_samples, replacement=True, generator=None):
        self.num_samples = checked_count("WeightedRandomSampler: num_samples", num_samples)
        self.replacement = checked_bool("WeightedRandomSampler: replacement", replacement)
        self.weights = np.array(weights.numpy() if isinstance(weights, Tensor) else weights, np.float64)
        if self.weights.ndim != 1 or not (self.weights >= 0).all() or not 0 < self.weights.sum() < np.inf:
            raise ValueError("WeightedRandomSampler: weights must be a line of numbers of at least 0 with a finite sum "
                             f"above 0, got shape {self.weights.shape} and sum {self.weights.sum()}")
        possible = np.count_nonzero(self.weights)
        if not self.replacement and self.num_samples > possible:
            raise ValueError(f"WeightedRandomSampler: {possible} weights are above 0, so that num_samples "
                             f"{self.num_samples} cannot be drawn without replacement")
        self.generator = generator

    def __len__(self):
        """The number of rows in a pass."""
        return self.num_samples

    def draw(self):
        """Random rows by weight."""
        p = self.weights / self.weights.sum()
        return self._stream.choice(len(p), self.num_samples, replace=self.replacement, p=p)


class SubsetRandomSampler(Sampler):
    """Some rows, in a new random order for every pass.

    Args:
        indices: a sequence, array or tensor of row numbers.
        generator: the mt.Generator to draw from; by default the one that mt.manual_seed seeds.

    Raises:
        TypeError: if indices are no integers.

    >>> import microtensor as mt
    >>> from microtensor.data import SubsetRandomSampler
    >>> list(SubsetRandomSampler([10, 20, 30], generator=mt.Generator(0)))
    [30, 10, 20]
    """

    def __init__(self, indices, generator=None):
        self.indices = row_numbers("SubsetRandomSampler: indices", indices)
        self.generator = generator

    def __len__(self):
        """The number of rows."""
        return len(self.indices)

    def draw(self):
        """The rows in random order."""
        return self._stream.permutation(self.indices)


# -- row numbers -------------------------------------------------------------------------------------------------------


def row_numbers(name, rows, n=None):
    """Row numbers as an int64 array of our own; of a dataset of n rows where that is given, from -n to n - 1."""
    if isinstance(rows, Tensor):
        rows = rows.numpy()
    rows = np.array(rows if isinstance(rows, np.ndarray) else list(rows))
    if rows.ndim != 1 or (rows.dtype.kind not in "iu" and rows.size):
        hint = ": np.flatnonzero makes row numbers of a mask" if rows.dtype == bool else ""
        raise TypeError(f"{name} must be a line of integers, got {rows.dtype} of shape {rows.shape}{hint}")
    if n is not None:
        outside = rows[(rows < -n) | (rows >= n)]
        if outside.size:
            raise IndexError(f"{name} must lie in a dataset of {n} rows, and {outside[0]} does not")
    return rows.astype(np.int64, copy=False)
