import numpy as np
import pytest

import microtensor as mt
from microtensor import datasets


def test_digits_shapes_and_values():
    train_x, train_y, test_x, test_y = datasets.digits()
    assert train_x.shape == (1438, 64) and train_y.shape == (1438,)
    assert test_x.shape == (359, 64) and test_y.shape == (359,)
    assert train_x.dtype == test_x.dtype == mt.float32
    assert train_y.dtype == test_y.dtype == mt.int64
    pixels = np.concatenate([train_x.numpy(), test_x.numpy()])
    assert pixels.min() == 0 and pixels.max() == 1


def test_digits_are_the_original_ones():
    train_x, train_y, test_x, test_y = datasets.digits()
    ink = 16 * (train_x.double().sum() + test_x.double().sum()).item()
    counts = np.bincount(train_y.numpy()) + np.bincount(test_y.numpy())
    assert ink == 561718        # this and the counts: of sklearn.datasets.load_digits()
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_digits_split_is_fixed():
    mt.manual_seed(1)
    first = datasets.digits()
    mt.manual_seed(2)
    second = datasets.digits()
    for a, b in zip(first, second, strict=True):
        assert np.array_equal(a.numpy(), b.numpy())
    assert first[1].tolist()[:10] == [6, 6, 6, 6, 6, 9, 7, 6, 9, 9]
    assert not np.array_equal(first[1].numpy(), datasets.digits(seed=1)[1].numpy())


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.5])
def test_digits_split_is_stratified(fraction):
    _, train_y, _, test_y = datasets.digits(test_fraction=fraction)
    of_train, of_test = np.bincount(train_y.numpy()), np.bincount(test_y.numpy())
    assert np.all(np.abs(of_test - fraction * (of_train + of_test)) <= 0.5)


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan"), 1e-6])
def test_digits_refuses_fraction(fraction):
    with pytest.raises(ValueError, match="test_fraction"):
        datasets.digits(test_fraction=fraction)


def test_moons_without_noise_lie_on_half_circles():
    x, y = datasets.moons(101, noise=0)
    assert x.shape == (101, 2) and x.dtype == mt.float32
    assert y.dtype == mt.int64 and np.bincount(y.numpy()).tolist() == [50, 51]
    upper, lower = x.numpy()[y.numpy() == 0], x.numpy()[y.numpy() == 1]
    assert np.allclose(np.hypot(*upper.T), 1, atol=1e-6) and upper[:, 1].min() >= -1e-6
    assert np.allclose(np.hypot(*(lower - [1, 0.5]).T), 1, atol=1e-6) and lower[:, 1].max() <= 0.5 + 1e-6


def test_moons_noise_has_its_size():
    x, y = datasets.moons(20000, noise=0.1, seed=3)
    centre = np.where(y.numpy()[:, None] == 0, [0, 0], [1, 0.5])
    distance = np.hypot(*(x.numpy() - centre).T) - 1
    # sigma is 0.1; its estimate from n points has a standard error of 0.1 / sqrt(2 n) = 0.0005.
    assert abs(distance.std() - 0.1) < 0.003


# -- toy data sets: what all have, and the shape of each ---------------------------------------------------------------

TOYS = [datasets.moons, datasets.circles, datasets.spirals, datasets.blobs, datasets.xor]
CLASSES = {datasets.spirals: 3, datasets.blobs: 3}


def test_toys_are_all_but_digits():
    assert {toy.__name__ for toy in TOYS} == set(datasets.__all__) - {"digits"}


@pytest.mark.parametrize("n", [5, 60, 101])
@pytest.mark.parametrize("toy", TOYS)
def test_toys_have_their_shapes_and_equal_shares(toy, n):
    x, y = toy(n)
    assert x.shape == (n, 2) and x.dtype == mt.float32
    assert y.shape == (n,) and y.dtype == mt.int64
    counts = np.bincount(y.numpy())
    assert len(counts) == CLASSES.get(toy, 2) and counts.max() - counts.min() <= 1
    assert not np.array_equal(y.numpy(), np.sort(y.numpy())), "they are shuffled"


@pytest.mark.parametrize("toy", TOYS)
def test_toys_depend_on_seed_alone(toy):
    mt.manual_seed(1)
    first = toy(50, seed=4)
    mt.manual_seed(2)
    second = toy(50, seed=4)
    assert all(np.array_equal(a.numpy(), b.numpy()) for a, b in zip(first, second, strict=True))
    assert not np.array_equal(first[0].numpy(), toy(50, seed=5)[0].numpy())


@pytest.mark.parametrize("toy", TOYS)
def test_toys_have_noise_of_its_size(toy):
    """With one seed only the noise differs; the estimate of sigma from n numbers has an error of sigma / sqrt(2 n)."""
    n, sigma = 20000, 0.25
    (clean, y), (noisy, again) = toy(n, noise=0, seed=3), toy(n, noise=sigma, seed=3)
    assert np.array_equal(y.numpy(), again.numpy())
    noise = noisy.double().numpy() - clean.double().numpy()
    assert abs(noise.std() - sigma) < 5 * sigma / np.sqrt(2 * noise.size)
    assert abs(noise.mean()) < 5 * sigma / np.sqrt(noise.size)


@pytest.mark.parametrize("toy", TOYS)
@pytest.mark.parametrize("arguments", [{"n": 1}, {"noise": -0.1}, {"noise": float("nan")}])
def test_toys_refuse(toy, arguments):
    with pytest.raises(ValueError, match=rf"{next(iter(arguments))} must"):
        toy(**arguments)


@pytest.mark.parametrize(("toy", "arguments", "message"), [
    (datasets.circles, {"factor": 1}, "factor must be at least 0 and below 1, got 1"),
    (datasets.circles, {"factor": -0.5}, "factor must"),
    (datasets.spirals, {"classes": 0}, "classes must be at least 1, got 0"),
    (datasets.spirals, {"n": 3, "classes": 4}, "n must be at least 4"),
    (datasets.blobs, {"classes": 0}, "classes must"),
    (datasets.blobs, {"features": 0}, "features must be at least 1, got 0"),
])
def test_toys_refuse_their_own_arguments(toy, arguments, message):
    with pytest.raises(ValueError, match=message):
        toy(**arguments)


# Coordinates are rounded to float32, by at most 2^-24 of their size, which is at most 1 in the next three.


def test_circles_without_noise_lie_on_circles():
    x, y = datasets.circles(101, noise=0, factor=0.3)
    radius = np.hypot(*x.double().numpy().T)
    assert np.allclose(radius, np.where(y.numpy() == 0, 1, 0.3), rtol=0, atol=1e-7)
    angles = np.sort(np.arctan2(*x.double().numpy()[y.numpy() == 0].T[::-1]))
    assert np.allclose(np.diff(angles), 2 * np.pi / 50, rtol=0, atol=1e-6), "evenly spaced, none twice"


def test_spirals_without_noise_lie_on_their_arms():
    x, y = datasets.spirals(90, classes=3, noise=0, turns=0.5)
    x, y = x.double().numpy(), y.numpy()
    radius = np.hypot(*x.T)
    angle = 2 * np.pi * (y / 3 + 0.5 * radius)
    assert np.allclose(x, radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1), rtol=0, atol=1e-6)
    for arm in range(3):
        assert np.allclose(np.sort(radius[y == arm]), np.arange(1, 31) / 30, rtol=0, atol=1e-6)


def test_xor_without_noise_has_its_corners():
    x, y = datasets.xor(10, noise=0)
    corners = {(*point, label) for point, label in zip(x.tolist(), y.tolist(), strict=True)}
    assert corners == {(1, 1, 0), (-1, -1, 0), (1, -1, 1), (-1, 1, 1)}


def test_blobs_lie_around_their_centres():
    x, y = datasets.blobs(60, classes=4, features=3, noise=0, seed=2)
    assert x.shape == (60, 3)
    centres = np.unique(np.column_stack([y.numpy(), x.numpy()]), axis=0)
    assert len(centres) == 4 and np.abs(centres[:, 1:]).max() <= 10
