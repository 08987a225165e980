import numpy as np
import pytest

import microtensor as mt
from microtensor.data import DataLoader, TensorDataset


@pytest.fixture
def dataset():
    return TensorDataset(mt.tensor(np.arange(20.0).reshape(10, 2)), mt.tensor(np.arange(10)))


def test_dataset_keeps_rows_together(dataset):
    assert len(dataset) == 10
    x, y = dataset[3]
    assert x.tolist() == [6, 7] and y.item() == 3
    x, y = dataset[np.array([4, 1, 4])]
    assert x.tolist() == [[8, 9], [2, 3], [8, 9]] and y.tolist() == [4, 1, 4]


def test_dataset_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="at least one"):
        TensorDataset()
    with pytest.raises(TypeError, match="ndarray"):
        TensorDataset(np.ones(3))
    with pytest.raises(ValueError, match=r"\(3, 2\), \(4,\)"):
        TensorDataset(mt.ones(3, 2), mt.ones(4))
    with pytest.raises(ValueError, match="number of rows"):
        TensorDataset(mt.tensor(1.0))


@pytest.mark.parametrize(
    ("batch_size", "drop_last", "sizes"),
    [(1, False, [1] * 10), (4, False, [4, 4, 2]), (4, True, [4, 4]), (5, True, [5, 5]), (20, False, [10]),
     (20, True, [])],
)
def test_loader_batch_sizes(dataset, batch_size, drop_last, sizes):
    loader = DataLoader(dataset, batch_size, drop_last=drop_last)
    assert [len(y) for _, y in loader] == sizes
    assert len(loader) == len(sizes)


def test_loader_without_shuffle_keeps_order(dataset):
    loader = DataLoader(dataset, 3)
    for _ in range(2):
        assert [i for _, y in loader for i in y.tolist()] == list(range(10))


def test_loader_shuffle_gives_each_row_once_per_pass(dataset):
    loader = DataLoader(dataset, 3, shuffle=True, generator=mt.Generator(0))
    passes = [[(x.tolist(), y.tolist()) for x, y in loader] for _ in range(3)]
    orders = [[i for _, y in batches for i in y] for batches in passes]
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert orders[0] != orders[1] != orders[2]
    assert all(row == [2 * i, 2 * i + 1] for x, y in passes[0] for row, i in zip(x, y, strict=True))


def test_loader_shuffle_follows_its_generator(dataset):
    def order(loader):
        return [i for _, y in loader for i in y.tolist()]

    generator = mt.Generator(7)
    loader = DataLoader(dataset, 3, shuffle=True, generator=generator)
    first = order(loader)
    mt.manual_seed(99)
    generator.manual_seed(7)
    assert order(loader) == first

    by_default = DataLoader(dataset, 3, shuffle=True)
    mt.manual_seed(5)
    first = order(by_default)
    mt.manual_seed(5)
    assert order(by_default) == first


@pytest.mark.parametrize("shuffle", [False, True])
def test_loader_batches_have_memory_of_their_own(dataset, shuffle):
    x, _ = next(iter(DataLoader(dataset, 10, shuffle=shuffle)))
    x.zero_()
    assert dataset.tensors[0].sum().item() == sum(range(20))


@pytest.mark.parametrize("batch_size", [0, -1])
def test_loader_refuses_batch_size(dataset, batch_size):
    with pytest.raises(ValueError, match=f"batch_size must be at least 1, got {batch_size}"):
        DataLoader(dataset, batch_size)
