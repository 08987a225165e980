import os
import zipfile

import numpy as np
import pytest
from numpy.lib import format as npy

import microtensor as mt
from microtensor import nn, optim


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.npz"


def same(a, b):
    """Equal in structure, types, dtypes and every bit."""
    if isinstance(a, mt.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and a.numpy().tobytes() == b.numpy().tobytes()
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


EVERYTHING = {
    "weight": mt.tensor([[1.5, -0.0], [float("inf"), 1e-45]]),
    "double": mt.tensor([1 / 3], dtype=mt.float64),
    "count": mt.tensor(7),
    "mask": mt.tensor([True, False]),
    "empty": mt.zeros(0, 3),
    "file": mt.ones(1),
    "a": mt.ones(1),
    "a.npy": mt.zeros(1),
    "x": {"y": mt.ones(2)},
    "x/y": mt.zeros(2),
    "../odd name\n": mt.ones(1),
    "optimizer": {"state": {0: {"momentum_buffer": mt.ones(2)}}, "betas": (0.9, 0.999), "nesterov": False},
    "epoch": 3,
    "loss": float("inf"),
    "note": "grüße",
    "nothing": None,
    "list": [mt.zeros(1), [], (), {}],
}


@pytest.mark.parametrize("obj", [EVERYTHING, mt.ones(3), {}, [], None, 2.5])
def test_load_gives_what_was_saved(path, obj):
    mt.save(obj, path)
    assert same(mt.load(path), obj)
    assert same(mt.load(str(path)), obj)


def test_save_takes_any_memory_layout(path):
    x = mt.tensor(np.arange(12.0).reshape(3, 4))
    views = {"transposed": x.T, "sliced": x[::2, 1:]}
    mt.save(views, path)
    assert all(np.array_equal(mt.load(path)[name].numpy(), view.numpy()) for name, view in views.items())


def test_loaded_tensors_are_leaves_to_write_into(path):
    x = mt.ones(2, requires_grad=True)
    mt.save({"leaf": x, "computed": x * 2}, path)
    for tensor in mt.load(path).values():
        assert tensor.is_leaf and not tensor.requires_grad
        tensor.zero_()


def test_file_opens_with_numpy_alone(path):
    mt.save({"0.weight": mt.ones(2, 3), "inner": {"bias": mt.zeros(2)}}, path)
    with np.load(path, allow_pickle=False) as file:
        assert np.array_equal(file["0.weight"], np.ones((2, 3), np.float32))
        assert np.array_equal(file["inner/bias"], np.zeros(2, np.float32))


def test_equal_contents_give_equal_files(tmp_path, monkeypatch):
    mt.save(EVERYTHING, tmp_path / "a")
    monkeypatch.setattr("time.time", lambda: 2e9)
    mt.save(EVERYTHING, tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_model_and_optimizer_continue_from_file(path):
    def make():
        mt.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2))
        return model, optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    def train(model, optimizer, steps):
        for _ in range(steps):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()

    x, y = mt.randn(8, 3, generator=mt.Generator(1)), mt.tensor([0, 1] * 4)
    model, optimizer = make()
    train(model, optimizer, 3)
    mt.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, path)
    train(model, optimizer, 3)

    again, its_optimizer = make()
    saved = mt.load(path)
    again.load_state_dict(saved["model"])
    its_optimizer.load_state_dict(saved["optimizer"])
    train(again, its_optimizer, 3)
    assert same(again.state_dict(), model.state_dict())


@pytest.mark.parametrize(
    ("obj", "message"),
    [
        ({"a": np.ones(2)}, "'a', a ndarray"),
        ({"a": [1, {"b": object()}]}, "'a/1/b', a object"),
        ({(1, 2): 3}, "a key of the dict 'obj' is a tuple"),
    ],
)
def test_save_refuses_and_writes_nothing(tmp_path, path, obj, message):
    with pytest.raises(TypeError, match=message):
        mt.save(obj, path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_interrupted_save_keeps_old_file(tmp_path, path, monkeypatch, error):
    mt.save({"weight": mt.ones(2)}, path)
    write_array, calls = npy.write_array, []

    def fail_at_the_second(*arguments, **options):
        calls.append(arguments)
        if len(calls) == 2:
            raise error
        write_array(*arguments, **options)

    monkeypatch.setattr("numpy.lib.format.write_array", fail_at_the_second)
    with pytest.raises(type(error)):
        mt.save({"weight": mt.zeros(2), "bias": mt.zeros(2)}, path)
    assert same(mt.load(path), {"weight": mt.ones(2)})
    assert os.listdir(tmp_path) == [path.name]


def test_load_missing_file(path):
    with pytest.raises(FileNotFoundError, match=r"file\.npz"):
        mt.load(path)


def write_foreign_npz(path):
    np.savez(path, weight=np.ones(3))


def write_npy(path):
    with open(path, "wb") as file:
        np.save(file, np.ones(3))


def write_pickle(path):
    with open(path, "wb") as file:
        np.savez(file, weight=np.array([{}], dtype=object))


def write_text(path):
    path.write_text("weights: none")


def write_nothing(path):
    path.write_bytes(b"")


def write_newer(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("microtensor.json", '{"version": 1000, "content": null}')


def write_without_an_array(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("microtensor.json", '{"version": 1, "content": {"tensor": "weight"}}')


@pytest.mark.parametrize(
    "write",
    [
        write_foreign_npz, write_npy, write_pickle, write_text, write_nothing, write_newer,
        write_without_an_array,
    ],
)
def test_load_refuses_foreign_file(path, write):
    write(path)
    with pytest.raises(ValueError, match=r"file\.npz: expected a file written by mt\.save"):
        mt.load(path)


def test_load_never_unpickles(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("microtensor.json", '{"version": 1, "content": {"tensor": "weight"}}')
        with archive.open("weight.npy", "w") as entry:
            np.lib.format.write_array(entry, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        mt.load(path)


def test_load_refuses_truncated_file_at_every_length(path):
    mt.save({"weight": mt.randn(4, 3, generator=mt.Generator(0)), "bias": mt.zeros(3)}, path)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="whole and undamaged"):
            mt.load(path)


def test_load_never_gives_damaged_numbers(path):
    state = {"weight": mt.randn(4, 3, generator=mt.Generator(0)), "epoch": 3}
    mt.save(state, path)
    whole = path.read_bytes()
    stream = np.random.default_rng(0)
    for _ in range(1000):
        damaged = bytearray(whole)
        damaged[stream.integers(len(whole))] ^= 1 << stream.integers(8)
        path.write_bytes(damaged)
        try:
            loaded = mt.load(path)
        except ValueError:
            continue
        assert same(loaded, state)      # the flipped bit was in a field that nobody reads, such as a date


@pytest.mark.parametrize("key", ["a\0b", "x" * 70_000, "\ud800", ""], ids=["nul", "long", "surrogate", "empty"])
def test_strange_names_come_back(path, key):
    mt.save({key: mt.ones(2), "plain": mt.zeros(1)}, path)
    assert same(mt.load(path), {key: mt.ones(2), "plain": mt.zeros(1)})
