"""Datasets: TensorDataset, parts of a dataset, and how examples are fetched."""

import itertools
import math
import operator
import warnings

from microtensor.core import Tensor
from microtensor.data.collate import default_collate
from microtensor.data.sampler import row_numbers
from microtensor.random import default_generator


class TensorDataset:
    """Tensors whose rows belong together: example i is row i of each.

    An array larger than memory stays in its file: ``mt.from_numpy(np.load(path, mmap_mode="r"))`` makes a tensor of
    it without reading it, and a batch reads the pages that its rows lie on. If the file holds bytes or float64, convert
    each batch, ``x.float() / 255``, in place of the whole.

    Args:
        *tensors: at least one; all with the same number of rows (first dimension).

    Raises:
        TypeError: if one of them is not a tensor.
        ValueError: if there is none, one is 0-d, or the numbers of rows differ.

    >>> import microtensor as mt
    >>> from microtensor.data import TensorDataset
    >>> dataset = TensorDataset(mt.arange(6.0).reshape(3, 2), mt.tensor([0, 1, 0]))
    >>> len(dataset)
    3
    >>> dataset[1]
    (tensor([2., 3.]), tensor(1))
    """

    def __init__(self, *tensors):
        """Check that the tensors fit together."""
        if not tensors:
            raise ValueError("TensorDataset needs at least one tensor")
        for tensor in tensors:
            if not isinstance(tensor, Tensor):
                raise TypeError(f"TensorDataset takes tensors, not {type(tensor).__name__}: mt.from_numpy makes one of "
                                "an array and shares its memory, mt.tensor copies")
        shapes = [tensor.shape for tensor in tensors]
        if () in shapes or len({shape[0] for shape in shapes}) != 1:
            raise ValueError(f"TensorDataset needs tensors with the same number of rows, got shapes {shapes}")
        self.tensors = tensors

    def __len__(self):
        """The number of examples."""
        return len(self.tensors[0])

    def __getitem__(self, index):
        """One example for an integer, a batch of them for an array of integers, as a tuple of tensors."""
        return tuple(tensor[index] for tensor in self.tensors)

    def get_batch(self, rows):
        """The batch of an int64 array of row numbers (N,): a tuple of tensors (N, ...) with memory of their own."""
        return self[rows]


class Subset:
    """Some rows of a dataset.

    Args:
        dataset: has a length, and gives an example for a row number or a batch for an array of them.
        indices: a sequence, array or tensor of row numbers of the dataset.

    Raises:
        TypeError: if indices are no integers.
        IndexError: if one of them is no row of the dataset.

    >>> from microtensor.data import Subset
    >>> subset = Subset(["a", "b", "c", "d"], [3, 1])
    >>> len(subset), subset[0]
    (2, 'd')
    """

    def __init__(self, dataset, indices):
        self.dataset = dataset
        self.indices = row_numbers("Subset: indices", indices, len(dataset))

    def __len__(self):
        """The number of rows."""
        return len(self.indices)

    def __getitem__(self, index):
        """One example."""
        return self.dataset[operator.index(self.indices[index])]

    def __getitems__(self, rows):
        """A list of examples."""
        return get_examples(self.dataset, self.indices[rows])

    def get_batch(self, rows):
        """The batch of an int64 array of row numbers (N,)."""
        return get_batch(self.dataset, self.indices[rows])


def random_split(dataset, lengths, generator=None):
    """Split a dataset at random into Subsets without a common row.

    Args:
        dataset: has a length n.
        lengths: numbers of examples that sum to n; or fractions that sum to 1, of which each gets floor(fraction n),
            and the first ones an example more until none remains.
        generator: the mt.Generator that chooses the rows; by default the one that mt.manual_seed seeds.

    Returns:
        A list of Subsets, one per length.

    Raises:
        ValueError: if the lengths do not sum to n, or fractions to 1, or one is negative.

    Warns:
        UserWarning: if a fraction is so small that its part is empty.

    Source: the convention of torch.utils.data.random_split.

    >>> import microtensor as mt
    >>> from microtensor.data import random_split
    >>> [len(part) for part in random_split(range(11), [0.5, 0.25, 0.25], generator=mt.Generator(0))]
    [6, 3, 2]
    """
    n, lengths = len(dataset), list(lengths)
    if any(not length >= 0 for length in lengths):
        raise ValueError(f"random_split: lengths must not be negative, got {lengths}")
    if math.isclose(sum(lengths), 1):
        sizes = [math.floor(n * fraction) for fraction in lengths]
        for i in range(n - sum(sizes)):
            sizes[i % len(sizes)] += 1
        if 0 in sizes:
            warnings.warn(f"random_split: the fractions {lengths} of {n} examples are {sizes}, so that a part is empty",
                          stacklevel=2)
    elif all(hasattr(length, "__index__") for length in lengths):
        sizes = [operator.index(length) for length in lengths]
    else:
        raise ValueError(f"random_split: fractions must sum to 1, and {lengths} sum to {sum(lengths)}")
    if sum(sizes) != n:
        raise ValueError(f"random_split: the dataset has {n} examples, and the lengths {lengths} sum to {sum(lengths)}")
    order = (generator or default_generator()).numpy.permutation(n)
    return [Subset(dataset, order[end - size : end])
            for size, end in zip(sizes, itertools.accumulate(sizes), strict=True)]


# -- fetching ----------------------------------------------------------------------------------------------------------


def get_batch(dataset, rows):
    """The batch of an int64 array of row numbers: by the dataset's own get_batch, or of its examples."""
    if speaks_for("get_batch", "__getitem__", dataset):
        return dataset.get_batch(rows)
    return default_collate(get_examples(dataset, rows))


def get_examples(dataset, rows):
    """The list of the examples in an int64 array of rows: by the dataset's __getitems__, or one by one."""
    if speaks_for("__getitems__", "__getitem__", dataset):
        return dataset.__getitems__(rows.tolist())
    return [dataset[row] for row in rows.tolist()]


def speaks_for(many, one, thing):
    """Whether a method that gives many at once is there, and no subclass overrides only the one that gives one.

    Otherwise a subclass of TensorDataset whose __getitem__ adds noise would be passed over by get_batch.
    """
    for kind in type(thing).__mro__:
        if many in vars(kind):
            return True
        if one in vars(kind):
            return False
    return False
