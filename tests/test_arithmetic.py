"""What the registry's samples do not reach: extreme numbers, bounds, conventions."""

import re

import numpy as np
import pytest

import microtensor as mt


def test_div_gradient_neither_overflows_nor_underflows():
    a = np.array([1e20, 1e-25, 1e30], np.float32)
    x, y = (mt.from_numpy(a.copy()).requires_grad_() for _ in range(2))
    g = mt.tensor([2.0, -3.0, 0.5])
    (x / y).backward(g)
    np.testing.assert_allclose(y.grad.numpy(), -g.numpy() / a, rtol=1e-6)


def test_clamp_with_crossed_bounds_is_the_upper_one():
    assert mt.tensor([0.0, 1.5, 3.0]).clamp(2, 1).tolist() == [1, 1, 1]


def test_clamp_of_integers_by_floats_is_float32():
    assert mt.tensor([0, 3]).clamp(max=1.5).dtype == mt.float32


@pytest.mark.parametrize(("bounds", "error"), [({}, ValueError), ({"min": float("nan")}, ValueError)])
def test_clamp_refuses_bounds_that_mean_nothing(bounds, error):
    with pytest.raises(error, match="clamp"):
        mt.ones(2).clamp(**bounds)


def test_square_is_the_product_with_itself(rng):
    x = mt.from_numpy(rng.standard_normal(5))
    np.testing.assert_array_equal(x.square().numpy(), x.numpy() ** 2)


SPECIAL = [0.0, -0.0, 1, -1, 2, -3, 0.5, -1.5, np.inf, -np.inf, np.nan, 1e38, -1e38, 1e-38, -1e-40, 2**24 - 1,
           1 - 2**24, 1e20, 5.5e-20, -2, 2**24 + 2, 2.0**104, 1.5 * 2.0**105, 2**23 - 0.5, 0.5 - 2**23]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pow_of_special_numbers_is_the_one_of_c(dtype):
    a, b = (x.ravel() for x in np.meshgrid(np.array(SPECIAL, dtype), np.array(SPECIAL, dtype)))
    with np.errstate(all="ignore"):
        expected = np.power(a.astype(np.float64), b.astype(np.float64)).astype(dtype)
    y = mt.pow(mt.from_numpy(a), mt.from_numpy(b)).numpy()
    # of numbers, doubles are within an ulp; floats are rounded from them, so at most to the other neighbour
    np.testing.assert_allclose(y, expected, rtol=2 * np.finfo(dtype).eps, atol=np.nextafter(dtype(0), dtype(1)))
    np.testing.assert_array_equal(np.signbit(y[~np.isnan(y)]), np.signbit(expected[~np.isnan(y)]))


@pytest.mark.parametrize("number", SPECIAL)
def test_pow_by_a_number_is_pow_by_as_many_numbers(number):
    """With their signs, to subnormals, and with their gradients; by two roundings more for -2."""
    a, g = np.array(SPECIAL, np.float32), np.linspace(0.5, 1.5, len(SPECIAL), dtype=np.float32)
    eps = np.finfo(np.float32).eps
    found = []
    for exponent in (mt.tensor(number, dtype=mt.float32), np.full_like(a, number)):
        x = mt.tensor(a, requires_grad=True)
        y = mt.pow(x, exponent)
        found.append((y.detach().numpy(), mt.grad(y, [x], mt.from_numpy(g))[0].numpy()))
    for by_number, by_array in zip(*found, strict=True):
        np.testing.assert_allclose(by_number, by_array, rtol=3 * eps, atol=4e-45)
        numbers = ~np.isnan(by_array)
        np.testing.assert_array_equal(np.signbit(by_number[numbers]), np.signbit(by_array[numbers]))


def test_pow_of_floats_is_rounded_once(rng):
    """Over all of the range: half an ulp, and what doubles add to it."""
    a = np.exp(rng.uniform(-80, 80, 100_000)).astype(np.float32)
    b = (rng.uniform(-80, 80, 100_000) / np.log(a.astype(np.float64))).astype(np.float32)
    true = a.astype(np.float64) ** b.astype(np.float64)
    inside = (true > np.finfo(np.float32).tiny) & (true < np.finfo(np.float32).max)
    ulp = np.spacing(true[inside].astype(np.float32)).astype(np.float64)
    assert (np.abs(mt.pow(mt.from_numpy(a), mt.from_numpy(b)).numpy()[inside] - true[inside]) / ulp).max() < 0.5001


def test_std_gradient_is_zero_where_all_are_equal():
    x = mt.tensor([1.0, 1.0], requires_grad=True)
    x.std().backward(mt.tensor(0.7))
    assert x.grad.tolist() == [0, 0]


def test_broadcast_error_names_the_op_and_both_shapes():
    with pytest.raises(ValueError, match=r"add: shapes \(2, 3\) and \(4,\) do not broadcast"):
        mt.ones(2, 3) + mt.ones(4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("length", [1, 2, 3, 10, 85, 86, 127, 128, 129, 255, 256, 257, 600])
def test_broadcast_over_rows_of_every_length(length, dtype, rng):
    """Short rows are gathered together, around 256 elements at a time, and what is repeated once."""
    for _ in range(20):
        outer, rows = rng.integers(1, 4), rng.integers(1, 2 + 600 // length)
        whole = rng.standard_normal((outer, rows, length + 1)).astype(dtype)
        a = [whole[..., :length], whole[:, ::-1, 1:], whole[:, :, :length].copy().T.copy().T][rng.integers(3)]
        b = whole[:, :, :length].copy()[tuple(rng.choice([slice(None), slice(1)], 3))]
        y = mt.from_numpy(a) - mt.from_numpy(b)
        np.testing.assert_array_equal(y.numpy(), a - b)
        condition = b[..., ::-1] > 0
        np.testing.assert_array_equal(mt.where(mt.from_numpy(condition), mt.from_numpy(a), mt.from_numpy(b)).numpy(),
                                      np.where(condition, a, b))


def test_where_takes_arrays_beside_numbers():
    mask, doubles = mt.tensor([True, False]), np.array([0.1, 0.2])
    for y in (mt.where(mask, doubles, 1.0), mt.where(mask, doubles, 1), mt.where(~mask, 1.0, doubles)):
        assert y.dtype == mt.float64 and y.tolist() == [0.1, 1.0]
    assert mt.where(mask, 1, 2.5).dtype == mt.float32 and mt.where(mask, 1, 2).dtype == mt.int64
    for bad in (np.ones(2, complex), np.ones(2, object), np.ones(2, np.float16), np.array(["a", "b"])):
        with pytest.raises(TypeError, match=f"not {re.escape(str(bad.dtype))}: convert it first"):
            mt.where(mask, bad, 1)
    for bad in (1j, "a", None, np.ma.array(doubles, mask=[True, False])):
        with pytest.raises(TypeError):
            mt.where(mask, bad, 1)


def test_where_refuses_a_condition_that_is_not_bool():
    with pytest.raises(TypeError, match="bool condition"):
        mt.where(mt.tensor([1, 0]), mt.ones(2), 0.0)


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_dropout_refuses_p_outside_0_to_1(p):
    with pytest.raises(ValueError, match="from 0 to 1"):
        mt.dropout(mt.ones(3), p)


def test_dropout_drops_a_share_of_p():
    n, p = 100_000, 0.3
    y = mt.dropout(mt.ones(n), p, generator=mt.Generator(1)).numpy()
    dropped = (y == 0).mean()
    assert abs(dropped - p) < 5 * np.sqrt(p * (1 - p) / n)          # five standard deviations
    np.testing.assert_allclose(y[y != 0], 1 / (1 - p), rtol=1e-6)


def test_dropout_mask_does_not_depend_on_the_number_of_threads():
    before = mt.get_num_threads()
    masks = []
    try:
        for threads in (1, 2, 3):
            mt.set_num_threads(threads)
            masks.append(mt.dropout(mt.ones(200_001), 0.5, generator=mt.Generator(5)).numpy())
    finally:
        mt.set_num_threads(before)
    for mask in masks[1:]:
        np.testing.assert_array_equal(mask, masks[0])


def test_minimum_of_unsigned_integers_and_floats():
    assert mt.minimum(mt.tensor([1, 5], dtype=mt.uint8), mt.tensor([2.5, 2.5])).tolist() == [1, 2.5]
