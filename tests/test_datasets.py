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


def test_moons_depend_on_seed_alone():
    mt.manual_seed(1)
    first = datasets.moons(50, seed=4)
    mt.manual_seed(2)
    second = datasets.moons(50, seed=4)
    assert all(np.array_equal(a.numpy(), b.numpy()) for a, b in zip(first, second, strict=True))
    assert not np.array_equal(first[0].numpy(), datasets.moons(50, seed=5)[0].numpy())


@pytest.mark.parametrize("arguments", [{"n": 1}, {"noise": -0.1}])
def test_moons_refuses(arguments):
    with pytest.raises(ValueError, match="must"):
        datasets.moons(**arguments)
