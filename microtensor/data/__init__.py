"""Batches of examples: TensorDataset and DataLoader."""

import numpy as np

from microtensor.core import Tensor
from microtensor.random import default_generator

__all__ = ["DataLoader", "TensorDataset"]


class TensorDataset:
    """Tensors whose rows belong together: example i is row i of each.

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
                raise TypeError(f"TensorDataset takes tensors, not {type(tensor).__name__}")
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


class DataLoader:
    """The batches of a data set: one pass over it each time it is iterated.

    A batch is taken from each tensor by one index with an array of row numbers; it has memory of its own.

    Args:
        dataset: has a length, and gives a batch for an array of int64 row numbers, as TensorDataset does.
        batch_size: the number of examples per batch; the last batch holds the rest.
        shuffle: a new order for every pass.
        drop_last: leave out a last batch of fewer than batch_size examples: batch normalisation cannot train
            on a batch of one.
        generator: the mt.Generator that shuffles; by default the one that mt.manual_seed seeds.

    Raises:
        ValueError: if batch_size is below 1.

    >>> import microtensor as mt
    >>> from microtensor.data import DataLoader, TensorDataset
    >>> loader = DataLoader(TensorDataset(mt.arange(5.0)), batch_size=2)
    >>> len(loader)
    3
    >>> [x for x, in loader]
    [tensor([0., 1.]), tensor([2., 3.]), tensor([4.])]
    """

    def __init__(self, dataset, batch_size=1, shuffle=False, *, drop_last=False, generator=None):
        """Remember how to make batches; nothing is drawn yet."""
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.dataset = dataset
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.generator = generator

    def __len__(self):
        """The number of batches in a pass."""
        whole, left = divmod(len(self.dataset), self.batch_size)
        return whole if self.drop_last or left == 0 else whole + 1

    def __iter__(self):
        """Draw the order of this pass, then give its batches."""
        n = len(self.dataset)
        if self.shuffle:
            generator = default_generator() if self.generator is None else self.generator
            order = generator.numpy.permutation(n)
        else:
            order = np.arange(n)
        for batch in range(len(self)):
            start = batch * self.batch_size
            yield self.dataset[order[start : start + self.batch_size]]
