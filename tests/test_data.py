"""Datasets, samplers and the DataLoader."""

import collections
import contextlib
import sys

import numpy as np
import pytest

import microtensor as mt
from microtensor.data import (
    DataLoader,
    RandomSampler,
    Sampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    random_split,
)

Point = collections.namedtuple("Point", "x y")


def equal(a, b):
    """Whether two batches are nested alike and have the same numbers and dtypes."""
    if isinstance(a, mt.Tensor):
        return isinstance(b, mt.Tensor) and a.dtype == b.dtype and np.array_equal(a.numpy(), b.numpy())
    if isinstance(a, dict):
        return type(a) is type(b) and a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(equal, a, b))
    return a == b


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
    [(1, False, [1] * 10), (4, False, [4, 4, 2]), (4, True, [4, 4]), (5, True, [5, 5]), (20, False, [10])],
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


# -- datasets ----------------------------------------------------------------------------------------------------------


class Squares:
    """A dataset of examples, of which none knows of batches."""

    def __len__(self):
        return 10

    def __getitem__(self, i):
        assert type(i) is int and 0 <= i < 10
        return np.array([i, i * i], np.float32), i


def test_loader_collates_examples():
    x, y = next(iter(DataLoader(Squares(), 4)))
    assert x.dtype == mt.float32 and x.tolist() == [[0, 0], [1, 1], [2, 4], [3, 9]]
    assert y.dtype == mt.int64 and y.tolist() == [0, 1, 2, 3]


def test_batch_by_one_index_is_the_batch_of_its_examples(dataset):
    for part in (dataset, Subset(dataset, [7, 1, 5, 3])):
        rows = np.array([3, 0, 1, 1])
        assert equal(part.get_batch(rows), default_collate([part[int(row)] for row in rows]))


def test_subclass_with_other_examples_is_not_passed_over(dataset):
    """get_batch and __getitems__ of its base do not know of its __getitem__, which takes one row."""
    def doubled(base):
        class Doubled(base):
            def __getitem__(self, i):
                x, y = super().__getitem__(i)
                assert x.shape == (2,)
                return x * 2, y
        return Doubled

    expected = [2 * x for x, _ in DataLoader(dataset, 10)]
    for changed in (doubled(TensorDataset)(*dataset.tensors), doubled(Subset)(dataset, range(10)),
                    Subset(doubled(TensorDataset)(*dataset.tensors), range(10))):
        assert equal([x for x, _ in DataLoader(changed, 10)], expected)
        assert equal([x for x, _ in DataLoader(changed, 10, collate_fn=default_collate)], expected)


def test_subclass_with_other_batches_is_asked_for_them(dataset):
    class Halved(TensorDataset):
        def get_batch(self, rows):
            assert rows.dtype == np.int64
            x, y = super().get_batch(rows)
            return x / 2, y

    halved = Halved(*dataset.tensors)
    for part in (halved, Subset(halved, range(10))):
        assert equal([x for x, _ in DataLoader(part, 10)], [dataset.tensors[0] / 2])


def test_loader_asks_for_a_list_of_examples_where_there_is_one():
    class Fetched(Squares):
        def __getitem__(self, i):
            raise AssertionError("one by one")

        def __getitems__(self, rows):
            assert type(rows) is list and all(type(row) is int for row in rows)
            return [(float(row), str(row)) for row in rows]

    assert equal(list(DataLoader(Fetched(), 6)),
                 [(mt.arange(6.0), list("012345")), (mt.arange(6.0, 10), list("6789"))])
    assert equal(list(DataLoader(Subset(Fetched(), [8, 2]), 2)), [(mt.tensor([8.0, 2.0]), ["8", "2"])])


@pytest.mark.parametrize("make", [lambda dataset: dataset, lambda dataset: Subset(dataset, range(10)),
                                  lambda dataset: Squares()])
def test_collate_fn_gets_a_list_of_examples(dataset, make):
    def collate(examples):
        assert type(examples) is list and all(len(example) == 2 for example in examples)
        return [int(label) for _, label in examples]

    assert list(DataLoader(make(dataset), 4, collate_fn=collate)) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


@pytest.mark.parametrize("make", [list, np.array, mt.tensor])
def test_subset_takes_its_rows(dataset, make):
    subset = Subset(dataset, make([4, -1, 4]))
    assert len(subset) == 3 and subset[1][1].item() == 9 and [y.item() for _, y in subset] == [4, 9, 4]
    assert subset.get_batch(np.array([2, 1]))[1].tolist() == [4, 9]
    assert Subset(subset, [1])[0][1].item() == 9
    with pytest.raises(IndexError):
        subset[3]


def test_subset_has_indices_of_its_own(dataset):
    indices = np.array([1, 2])
    subset = Subset(dataset, indices)
    indices[:] = 7
    assert subset[0][1].item() == 1


@pytest.mark.parametrize(("indices", "error", "message"), [
    ([0, 10], IndexError, "dataset of 10 rows, and 10 does not"),
    ([-11], IndexError, "-11 does not"),
    (np.array([2**64 - 1], np.uint64), IndexError, f"{2**64 - 1} does not"),
    ([1.0], TypeError, "line of integers, got float64"),
    ([[1], [2]], TypeError, r"of shape \(2, 1\)"),
    (["a"], TypeError, "line of integers"),
    ([True, False], TypeError, r"np\.flatnonzero makes row numbers of a mask"),
    (mt.tensor([True]), TypeError, r"np\.flatnonzero"),
])
def test_subset_refuses_what_is_no_row(dataset, indices, error, message):
    with pytest.raises(error, match=message):
        Subset(dataset, indices)


def test_random_split_gives_each_row_once(dataset):
    parts = random_split(dataset, [3, 0, 7], mt.Generator(0))
    assert [len(part) for part in parts] == [3, 0, 7]
    assert sorted(y.item() for part in parts for _, y in part) == list(range(10))
    again = random_split(dataset, [3, 0, 7], mt.Generator(0))
    assert all(np.array_equal(a.indices, b.indices) for a, b in zip(parts, again, strict=True))
    assert list(parts[2].indices) != sorted(parts[2].indices)


# What torch.utils.data.random_split gives.
@pytest.mark.parametrize(("n", "fractions", "sizes"), [
    (10, [0.5, 0.5], [5, 5]), (11, [0.5, 0.25, 0.25], [6, 3, 2]), (10, [0.33, 0.33, 0.34], [4, 3, 3]),
    (7, [0.9, 0.1], [7, 0]), (5, [1], [5]), (10, [0.7, 0.2, 0.1], [7, 2, 1]), (3, [0.1] * 10, [1, 1, 1] + [0] * 7),
    (1000, [0.8, 0.1, 0.1], [800, 100, 100]), (100, [0.29, 0.71], [29, 71]),
])
def test_random_split_hands_out_what_fractions_leave(n, fractions, sizes):
    with pytest.warns(UserWarning, match="so that a part is empty") if 0 in sizes else contextlib.nullcontext():
        assert [len(part) for part in random_split(range(n), fractions)] == sizes


@pytest.mark.parametrize(("lengths", "message"), [
    ([3, 4], r"10 examples, and the lengths \[3, 4\] sum to 7"), ([-1, 11], "must not be negative"),
    ([0.5, 0.6], "fractions must sum to 1, and .* sum to 1.1"), ([5.0, 5.0], "fractions must sum to 1"),
    ([float("nan"), 0.5], "must not be negative"), ([], "sum to 0"),
])
def test_random_split_refuses(dataset, lengths, message):
    with pytest.raises(ValueError, match=message):
        random_split(dataset, lengths)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc/self/smaps tells what is in memory")
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
def test_a_batch_of_a_file_reads_its_rows_only(tmp_path, dtype):
    """Of each row that is read the kernel maps the pages around it, less than 2 MiB; the file has 256."""
    path, rows = tmp_path / "x.npy", np.array([8191, 3, 4096, 3])
    width = (1 << 15) // np.dtype(dtype).itemsize
    file = np.lib.format.open_memmap(path, "w+", dtype, (8192, width))
    file[rows] = np.arange(4 * width).reshape(4, width) % 251
    written = np.array(file[rows])
    file.flush()
    del file
    dataset = TensorDataset(mt.from_numpy(np.load(path, mmap_mode="r")), mt.arange(8192))
    x, y = dataset.get_batch(rows)
    in_memory = 1024 * sum(resident(str(path)))
    assert 0 < in_memory <= 3 * 2**21
    assert x.dtype == dtype and np.array_equal(x.numpy(), written) and y.tolist() == rows.tolist()
    assert x.float().dtype == mt.float32
    x.zero_()
    assert np.array_equal(dataset[4096][0].numpy(), written[2]), "a batch has memory of its own"


def resident(path):
    """The KiB of each mapping of a file that are in the process's memory."""
    with open("/proc/self/smaps") as lines:
        mapped = False
        for line in lines:
            name, *values = line.split()
            if not name.endswith(":"):
                mapped = line.rstrip().endswith(path)
            elif name == "Rss:" and mapped:
                yield int(values[0])


# -- collate -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("batch", "expected"), [
    ([mt.ones(2), mt.zeros(2)], mt.tensor([[1.0, 1], [0, 0]])),
    ([mt.tensor(1), mt.tensor(2)], mt.tensor([1, 2])),
    ([np.ones((2, 1)), np.zeros((2, 1))], mt.tensor(np.array([[[1.0], [1]], [[0], [0]]]))),
    ([np.array(3, np.uint8)] * 2, mt.tensor([3, 3], dtype=mt.uint8)),
    ([mt.ones(1), np.zeros(1, np.float32)], mt.tensor([[1.0], [0]])),
    ([1, 2], mt.tensor([1, 2])),
    ([True, False], mt.tensor([True, False])),
    ([1.5, 2], mt.tensor([1.5, 2.0])),
    ([np.float64(1), np.float64(2)], mt.tensor(np.array([1.0, 2]))),
    ([np.int32(1)] * 2, mt.tensor([1, 1], dtype=mt.int32)),
    ([np.True_, np.False_], mt.tensor([True, False])),
    (["a", "bc"], ["a", "bc"]),
    ([b"a", b"bc"], [b"a", b"bc"]),
    ([(1, "a"), (2, "b")], (mt.tensor([1, 2]), ["a", "b"])),
    ([[1, 2], [3, 4], [5, 6]], [mt.tensor([1, 3, 5]), mt.tensor([2, 4, 6])]),
    ([Point(1, 0.5), Point(2, 1.5)], Point(mt.tensor([1, 2]), mt.tensor([0.5, 1.5]))),
    ([{"x": mt.ones(1), "y": (1, {"z": "a"})}] * 2,
     {"x": mt.ones(2, 1), "y": (mt.tensor([1, 1]), {"z": ["a", "a"]})}),
    ([{"a": 1, "b": 2}, {"b": 4, "a": 3}], {"a": mt.tensor([1, 3]), "b": mt.tensor([2, 4])}),
    ([(), ()], ()),
])
def test_collate_keeps_the_nesting(batch, expected):
    assert equal(default_collate(batch), expected)


def test_collate_keeps_the_graph(rng):
    x = mt.tensor(rng.standard_normal((3, 4)), requires_grad=True)
    g = mt.tensor(rng.standard_normal((3, 4)))
    default_collate([x[2], x[0], x[1]]).backward(g)
    assert np.array_equal(x.grad.numpy()[[2, 0, 1]], g.numpy())


@pytest.mark.parametrize(("batch", "error", "message"), [
    ([mt.ones(2), mt.ones(3)], ValueError, r"shape \(2,\) and example 1 \(3,\): make them equal, or"),
    ([np.ones(2), np.ones(2), np.ones((2, 1))], ValueError, r"shape \(2,\) and example 2 \(2, 1\)"),
    ([(1, 2), (1,)], ValueError, "length 2 and example 1 1"),
    ([{"a": 1}, {"a": 1, "b": 2}], ValueError, "the keys {'a'} and example 1 {"),
    ([], ValueError, "at least one example"),
    ([None, None], TypeError, "no batch of NoneType: it takes tensors .* collate_fn"),
    ([1, "a"], TypeError, "no batch of int and str"),
    ([mt.ones(1), 1], TypeError, "no batch of Tensor and int"),
    ([mt.ones(1), mt.ones(1).double()], TypeError, "float32 and tensor 1 float64"),
    ([np.ones(1, np.float16)], TypeError, "not float16"),
    ([np.ma.ones(1)], TypeError, "mask"),
    ([2**63], OverflowError, "int64"),
    ([(1, {"a": [object()]})], TypeError, "no batch of object"),
])
def test_collate_refuses_what_makes_no_batch(batch, error, message):
    with pytest.raises(error, match=message):
        default_collate(batch)


# -- samplers ----------------------------------------------------------------------------------------------------------

DRAWN = {       # all that draw from a generator
    "random": lambda generator: RandomSampler(range(10), generator=generator),
    "replacement": lambda generator: RandomSampler(range(10), replacement=True, num_samples=25, generator=generator),
    "several orders": lambda generator: RandomSampler(range(10), num_samples=25, generator=generator),
    "weighted": lambda generator: WeightedRandomSampler(np.arange(10.0), 25, generator=generator),
    "without replacement": lambda generator: WeightedRandomSampler(mt.arange(10.0), 9, False, generator=generator),
    "subset": lambda generator: SubsetRandomSampler([3, 1, 7, 5], generator=generator),
}


@pytest.mark.parametrize("make", DRAWN.values(), ids=DRAWN)
def test_sampler_follows_its_generator(make):
    sampler = make(mt.Generator(5))
    first, second = list(sampler), list(sampler)
    assert len(first) == len(sampler) and first != second and all(type(row) is int for row in first)
    by_default = make(None)
    mt.manual_seed(5)
    assert [list(by_default), list(by_default)] == [first, second]


@pytest.mark.parametrize("make", DRAWN.values(), ids=DRAWN)
def test_sampler_state_is_that_of_its_generator(make, tmp_path):
    sampler, another = make(mt.Generator(5)), make(mt.Generator(6))
    list(sampler)
    mt.save(sampler.state_dict(), tmp_path / "state.npz")
    another.load_state_dict(mt.load(tmp_path / "state.npz"))
    assert list(another) == list(sampler)
    assert make(None).state_dict() == {}
    with pytest.raises(ValueError, match=r"must have \[\], and has \['generator'\]"):
        make(None).load_state_dict(sampler.state_dict())
    before = sampler.state_dict()
    for wrong in ({"generator": {}}, {"generator": 3}, {"generator": {**before["generator"], "state": {}}}):
        with pytest.raises(ValueError, match="not the state of an mt"):
            sampler.load_state_dict(wrong)
    assert sampler.state_dict() == before


def test_sequential_sampler_keeps_order():
    sampler = SequentialSampler("abcd")
    assert len(sampler) == 4 and list(sampler) == list(sampler) == [0, 1, 2, 3]


def test_random_sampler_gives_all_rows_before_one_comes_again():
    rows = list(RandomSampler(range(10), num_samples=25))
    assert sorted(rows[:10]) == sorted(rows[10:20]) == list(range(10)) and len(set(rows[20:])) == 5


def test_subset_sampler_gives_its_rows():
    rows = list(SubsetRandomSampler(range(100, 150)))
    assert sorted(rows) == list(range(100, 150)) != rows


@pytest.mark.parametrize("make", [
    lambda n: WeightedRandomSampler([2, 0, 1, 5], n), lambda n: WeightedRandomSampler(mt.tensor([0.2, 0, 0.1, 0.5]), n),
])
def test_weighted_sampler_draws_by_weight(make):
    n, p = 40_000, np.array([2, 0, 1, 5]) / 8
    counts = np.bincount(list(make(n)), minlength=4)
    assert counts[1] == 0
    assert (np.abs(counts - n * p) <= 5 * np.sqrt(n * p * (1 - p))).all()       # a binomial's deviations


def test_weighted_sampler_without_replacement_draws_from_what_is_left():
    """First i, then j among the others: p_i p_j / (1 - p_i)."""
    n, p = 20_000, np.array([2, 1, 5]) / 8
    sampler = WeightedRandomSampler(p, 2, replacement=False)
    counts = collections.Counter(tuple(sampler) for _ in range(n))
    for i in range(3):
        for j in range(3):
            q = p[i] * p[j] / (1 - p[i]) if i != j else 0
            assert abs(counts[i, j] - n * q) <= 5 * np.sqrt(n * q * (1 - q))


def test_random_sampler_with_replacement_is_uniform():
    n = 40_000
    counts = np.bincount(list(RandomSampler(range(4), True, n)), minlength=4)
    assert (np.abs(counts - n / 4) <= 5 * np.sqrt(n * 3 / 16)).all()


@pytest.mark.parametrize(("make", "error", "message"), [
    (lambda: RandomSampler([]), ValueError, "nothing to draw from"),
    (lambda: RandomSampler("ab", num_samples=0), ValueError, "num_samples must be at least 1, got 0"),
    (lambda: RandomSampler("ab", num_samples=1.5), TypeError, "num_samples must be an int of at least 1, got 1.5"),
    (lambda: RandomSampler("ab", 5), TypeError, "replacement must be True or False, got 5"),
    (lambda: WeightedRandomSampler([1, 2], True), TypeError, "num_samples must be an int"),
    (lambda: WeightedRandomSampler([1, -1, 2], 1), ValueError, "weights must"),
    (lambda: WeightedRandomSampler([1, np.nan], 1), ValueError, "weights must"),
    (lambda: WeightedRandomSampler([1, np.inf], 1), ValueError, "weights must"),
    (lambda: WeightedRandomSampler([0, 0], 1), ValueError, r"shape \(2,\) and sum 0"),
    (lambda: WeightedRandomSampler([], 1), ValueError, "weights must"),
    (lambda: WeightedRandomSampler([[1, 2]], 1), ValueError, r"shape \(1, 2\)"),
    (lambda: WeightedRandomSampler([1, 0, 2], 3, False), ValueError, "2 weights are above 0, so that num_samples 3"),
    (lambda: SubsetRandomSampler([0.5]), TypeError, "indices must be a line of integers"),
])
def test_sampler_refuses(make, error, message):
    with pytest.raises(error, match=message):
        make()


def rows_of(loader):
    return [row for batch in loader for row in batch.tolist()]


@pytest.mark.parametrize("sampler", [[3, 1, 3, 0], np.array([3, 1, 3, 0]), mt.tensor([3, 1, 3, 0]), (3, 1, -7, 0)])
def test_loader_takes_rows_from_what_has_a_length(sampler):
    loader = DataLoader(range(10), 3, sampler=sampler)
    assert len(loader) == 2 and rows_of(loader) == rows_of(loader) == [3, 1, 3, 0]


def test_loader_follows_a_subclass_of_a_sampler():
    class Even(RandomSampler):
        def __iter__(self):
            return iter(row for row in super().__iter__() if row % 2 == 0)

    class Backwards(Sampler):
        def __init__(self, n):
            self.n = n

        def __len__(self):
            return self.n

        def draw(self):
            return np.arange(self.n)[::-1]

    assert sorted(rows_of(DataLoader(range(10), 2, sampler=Even(range(10))))) == [0, 2, 4, 6, 8]
    assert rows_of(DataLoader(range(10), 2, sampler=Backwards(5))) == list(Backwards(5)) == [4, 3, 2, 1, 0]


def test_loader_shuffles_as_a_random_sampler():
    shuffled = DataLoader(range(20), 3, shuffle=True, generator=mt.Generator(1))
    sampled = DataLoader(range(20), 3, sampler=RandomSampler(range(20), generator=mt.Generator(1)))
    order = mt.Generator(1).numpy
    for _ in range(2):
        assert rows_of(shuffled) == rows_of(sampled) == order.permutation(20).tolist()


def test_loader_refuses_rows_that_are_not_there():
    for sampler, error in (([0, 10], IndexError), ([0, -11], IndexError), ([0.5], TypeError)):
        with pytest.raises(error, match="the sampler's rows must"):
            next(iter(DataLoader(range(10), sampler=sampler)))


# -- arguments of the loader -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("arguments", "error", "message"), [
    ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
    ({"batch_size": -1}, ValueError, "batch_size must be at least 1, got -1"),
    ({"generator": mt.Generator(0)}, ValueError, "generator is for shuffle=True, and would be ignored"),
    ({"shuffle": "no"}, TypeError, "shuffle must be True or False, got 'no'"),
    ({"batch_size": True}, TypeError, "batch_size must be an int of at least 1, got True"),
    ({"batch_size": 2.0}, TypeError, "batch_size must be an int of at least 1, got 2.0"),
    ({"batch_size": None}, TypeError, "batch_size must be an int of at least 1, got None"),
    ({"batch_size": 20, "drop_last": True}, ValueError, "no batch of batch_size 20: of the 10 rows drop_last leaves"),
    ({"drop_last": 1}, TypeError, "drop_last must be True or False"),
    ({"num_workers": 2}, ValueError, r"num_workers must be 0, got 2: .* get_batch\(rows\) .* thread"),
    ({"collate_fn": [1]}, TypeError, "collate_fn must be a function of a list of examples, not list"),
    ({"sampler": [1], "shuffle": True}, ValueError, "sampler is mutually exclusive with shuffle"),
    ({"sampler": [1], "generator": mt.Generator(0)}, ValueError, "mutually exclusive with shuffle and generator"),
    ({"sampler": iter([1])}, TypeError, "needs a sampler with a length, not a list_iterator: make a list"),
    ({"dataset": iter([1]), "sampler": [0]}, TypeError, "needs a dataset with a length"),
    ({"sampler": []}, ValueError, "no batch .* there are no rows"),
])
def test_loader_refuses(arguments, error, message):
    with pytest.raises(error, match=message):
        DataLoader(**{"dataset": range(10), **arguments})


@pytest.mark.parametrize("shuffle", [False, True])
def test_loader_refuses_data_that_it_cannot_batch(shuffle):
    with pytest.raises(ValueError, match="no batch of batch_size 4: there are no rows"):
        DataLoader([], 4, shuffle)
    with pytest.raises(TypeError, match="needs a dataset with a length, not a generator: make a list"):
        DataLoader((i for i in range(3)), 4, shuffle)


def test_loader_takes_an_int_of_numpy_and_no_workers():
    assert len(DataLoader(range(10), np.int32(4), num_workers=0)) == 3


# -- state of the loader -----------------------------------------------------------------------------------------------

SHUFFLED = {
    "shuffle": lambda seed: DataLoader(range(10), 3, shuffle=True, generator=mt.Generator(seed)),
    "sampler": lambda seed: DataLoader(range(10), 3, sampler=WeightedRandomSampler([1] * 10, 10,
                                                                                   generator=mt.Generator(seed))),
    "drop_last": lambda seed: DataLoader(range(10), 3, shuffle=True, drop_last=True, generator=mt.Generator(seed)),
    "in order": lambda seed: DataLoader(range(10), 3),
}


@pytest.mark.parametrize("given", range(5))
@pytest.mark.parametrize("make", SHUFFLED.values(), ids=SHUFFLED)
def test_loader_goes_on_where_its_state_was_taken(make, given, tmp_path):
    """Also with no batch given yet, and while the last one is worked on."""
    loader, resumed = make(1), make(2)
    rows_of(loader)
    batches = iter(loader)
    for _ in range(min(given, len(loader))):
        next(batches)
    mt.save(loader.state_dict(), tmp_path / "state.npz")
    resumed.load_state_dict(mt.load(tmp_path / "state.npz"))
    assert equal(resumed.state_dict(), loader.state_dict())
    assert len(resumed) == len(loader)
    assert equal(list(resumed), list(batches))
    for _ in range(2):
        assert equal(list(resumed), list(loader)), "whole passes follow"


def test_loader_state_counts_the_batch_that_is_worked_on():
    loader = DataLoader(range(10), 3)
    assert [loader.state_dict()["batch"] for _ in loader] == [1, 2, 3, 4]


def test_loader_state_between_passes_is_that_of_a_new_one():
    loader = SHUFFLED["shuffle"](1)
    for _ in range(2):
        state = loader.state_dict()
        assert state["order"] is None and state["batch"] == 0
        resumed = SHUFFLED["shuffle"](2)
        resumed.load_state_dict(state)
        assert rows_of(resumed) == rows_of(loader)


def test_loader_state_survives_a_broken_pass():
    """As Ctrl-C leaves it, outside of the loop; the loader itself begins anew."""
    loader, resumed = SHUFFLED["shuffle"](1), SHUFFLED["shuffle"](2)
    for batch in loader:
        first = batch.tolist()
        break
    resumed.load_state_dict(loader.state_dict())
    assert sorted(first + rows_of(resumed)) == list(range(10)) == sorted(rows_of(loader))


def test_loader_state_is_of_the_newest_iterator():
    loader = SHUFFLED["shuffle"](1)
    older = iter(loader)
    next(older)
    newer = iter(loader)
    next(newer), next(newer)
    list(older)
    state = loader.state_dict()
    assert state["batch"] == 2
    resumed = SHUFFLED["shuffle"](2)
    resumed.load_state_dict(state)
    assert equal(list(resumed), list(newer))


def test_loader_state_is_a_copy():
    loader, resumed = SHUFFLED["shuffle"](1), SHUFFLED["shuffle"](1)
    batches = iter(loader)
    state = loader.state_dict()
    resumed.load_state_dict(state)
    state["order"].zero_()
    assert sorted(rows_of(batches)) == sorted(rows_of(resumed)) == list(range(10))


def test_loader_goes_on_once_and_a_failed_batch_was_not_given():
    class Failing(Squares):
        broken = True

        def __getitem__(self, i):
            if i == 5 and self.broken:
                raise OSError("planted")
            return i

    loader = DataLoader(Failing(), 2)
    with pytest.raises(OSError, match="planted"):
        list(loader)
    Failing.broken = False
    loader.load_state_dict(loader.state_dict())
    assert rows_of(loader) == [4, 5, 6, 7, 8, 9] and rows_of(loader) == list(range(10))


def test_loader_takes_samplers_without_a_state():
    loader = DataLoader(range(5), 2, sampler=[4, 3, 2, 1])
    next(iter(loader))
    state = loader.state_dict()
    assert set(state) == {"order", "batch", "batch_size"}
    loader.load_state_dict(state)
    assert rows_of(loader) == [2, 1]


def wrong(**values):
    return lambda state: {**state, **values}


@pytest.mark.parametrize(("change", "error", "message"), [
    (wrong(batch_size=4), ValueError, "for batch_size 4, this DataLoader has 3"),
    (wrong(order=mt.arange(9)), ValueError, "of a pass over 9 rows, a pass of this DataLoader has 10"),
    (wrong(order=mt.arange(1, 11)), IndexError, "order must lie in a dataset of 10 rows, and 10 does not"),
    (wrong(order=mt.arange(10.0)), TypeError, "order must be a line of integers, got float32"),
    (wrong(batch=5), ValueError, "says that 5 batches were given, of 4"),
    (wrong(batch=-1), ValueError, "says that -1 batches"),
    (wrong(batch="1"), ValueError, "says that '1' batches"),
    (wrong(order=None), ValueError, "2 batches were given, of 0"),
    (wrong(sampler={}), ValueError, "a sampler that was given a generator has its state"),
    (wrong(sampler={"generator": {}}), ValueError, "not the state of an mt.Generator"),
    (wrong(other=1), ValueError, "must have"),
    (lambda state: {"order": None}, ValueError, r"must have \['order', 'batch', 'batch_size', 'sampler'\], and has"),
])
def test_loader_refuses_another_state_and_changes_nothing(change, error, message):
    loader = SHUFFLED["shuffle"](1)
    batches = iter(loader)
    next(batches), next(batches)
    before = loader.state_dict()
    with pytest.raises(error, match=message):
        loader.load_state_dict(change(SHUFFLED["shuffle"](2).state_dict() | {"order": mt.arange(10), "batch": 2}))
    assert equal(loader.state_dict(), before)
    assert len(list(batches)) == 2


def test_batch_size_that_is_changed_holds_from_the_next_pass():
    loader = DataLoader(range(10), 3)
    batches = iter(loader)
    first = next(batches).tolist()
    loader.batch_size = 5
    assert [first, *(batch.tolist() for batch in batches)] == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]
    assert [len(batch) for batch in loader] == [5, 5]
