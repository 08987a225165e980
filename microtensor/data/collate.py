"""Examples put together to a batch."""

from collections.abc import Mapping

import numpy as np

from microtensor.core import Tensor, from_numpy
from microtensor.creation import tensor
from microtensor.ops import stack


def default_collate(batch):
    """One batch of a list of examples, nested as these are.

    =====================================  =================================================================
    examples                               their batch
    =====================================  =================================================================
    tensors or NumPy arrays of one shape   a tensor with one more dimension, the first
    Python ints, bools                     a tensor (N,), int64, bool
    Python floats                          a tensor (N,), float32, as ``mt.tensor`` makes of floats
    NumPy scalars                          a tensor (N,) of their dtype
    strings, bytes                         a list of them
    tuples, namedtuples, lists             the same of the batches of their first items, second items, ...
    dicts                                  a dict of the batches of each key's values
    =====================================  =================================================================

    Args:
        batch: a list of N examples, at least one.

    Raises:
        ValueError: if there is no example, or tensors differ in shape, sequences in length or dicts in their keys.
        TypeError: if examples are of different kinds, or of none of these.

    Source: the convention of torch.utils.data.default_collate, which makes float64 of Python floats and lists of
    tuples.

    >>> from microtensor.data import default_collate
    >>> default_collate([(0.5, {"label": 1, "name": "a"}), (1.5, {"label": 0, "name": "b"})])
    (tensor([0.5, 1.5]), {'label': tensor([1, 0]), 'name': ['a', 'b']})
    """
    if len(batch) == 0:
        raise ValueError("default_collate needs at least one example to make a batch of")
    for kinds, collate in _COLLATE.items():
        if all(isinstance(example, kinds) for example in batch):
            return collate(batch)
    found = " and ".join(sorted({type(example).__name__ for example in batch}))
    raise TypeError(f"default_collate makes no batch of {found}: it takes tensors and arrays, numbers, strings, dicts, "
                    "or tuples and lists, one kind in one place; give the DataLoader a collate_fn for others")


def _check_same(what, values):
    for i, value in enumerate(values):
        if value != values[0]:
            raise ValueError(f"default_collate: example 0 of the batch has {what} {values[0]} and example {i} {value}: "
                             "make them equal, or give the DataLoader a collate_fn that does")


def _collate_arrays(batch):
    _check_same("shape", [x.shape for x in batch])
    return stack([from_numpy(x) if isinstance(x, np.ndarray) else x for x in batch])


def _collate_dicts(batch):
    _check_same("the keys", [set(example) for example in batch])
    return {key: default_collate([example[key] for example in batch]) for key in batch[0]}


def _collate_sequences(batch):
    _check_same("length", [len(example) for example in batch])
    kind = type(batch[0])
    items = [default_collate(column) for column in zip(*batch, strict=True)]
    return kind(*items) if hasattr(kind, "_fields") else kind(items)        # _fields: a namedtuple


_COLLATE = {
    (Tensor, np.ndarray): _collate_arrays,
    (bool, int, float, np.bool_, np.number): lambda batch: tensor(list(batch)),
    (str, bytes): list,
    Mapping: _collate_dicts,
    (tuple, list): _collate_sequences,
}
