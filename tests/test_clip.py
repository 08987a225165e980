"""Gradient clipping, by norm and by value, against NumPy."""

import numpy as np
import pytest

import microtensor as mt
from microtensor.nn.utils import clip_grad_norm_, clip_grad_value_

SHAPES = [(3, 4), (), (7,), (0,), (5, 2)]


@pytest.fixture(params=[mt.float32, mt.float64], ids=str)
def parameters(request, rng):
    """Parameters with random gradients, and one without any."""
    made = []
    for shape in SHAPES:
        parameter = mt.zeros(shape, dtype=request.param, requires_grad=True)
        parameter.grad = mt.from_numpy(np.asarray(rng.standard_normal(shape), request.param))
        made.append(parameter)
    return [*made, mt.zeros(3, requires_grad=True)]


def grads(parameters):
    return [parameter.grad.numpy().copy() for parameter in parameters if parameter.grad is not None]


def norm_of(arrays, p):
    return np.linalg.norm(np.concatenate([array.ravel() for array in arrays]).astype(np.float64), p)


def tolerance(arrays):
    """A few roundings of the dtype: one for the norm or factor, one for the product."""
    return 4 * np.finfo(arrays[0].dtype).eps


@pytest.mark.parametrize("p", [1.0, 2.0, 3.5, float("inf"), "inf"])
def test_clip_norm_scales_all_alike(parameters, p):
    before = grads(parameters)
    norm = norm_of(before, float(p))
    held = [parameter.grad for parameter in parameters]
    total = clip_grad_norm_(parameters, 0.5, p)
    assert total.shape == () and total.dtype == before[0].dtype and not total.requires_grad
    np.testing.assert_allclose(total.item(), norm, rtol=tolerance(before))
    for after, array in zip(grads(parameters), before, strict=True):
        np.testing.assert_allclose(after, array * (0.5 / (norm + 1e-6)), rtol=tolerance(before))
    assert all(parameter.grad is grad for parameter, grad in zip(parameters, held, strict=True))
    assert parameters[-1].grad is None


@pytest.mark.parametrize("dtype", [mt.float32, mt.float64], ids=str)
def test_largest_norm_is_found_wherever_it_is(dtype, rng):
    """First, last and in between, of either sign, and below 1."""
    for place in range(5):
        values = rng.uniform(-0.4, 0.4, 5)
        values[place] = rng.choice([-0.7, 0.7])
        parameter = mt.zeros(5, dtype=dtype, requires_grad=True)
        parameter.grad = mt.from_numpy(values.astype(dtype))
        assert clip_grad_norm_([parameter], 1.0, "inf").item() == np.abs(values.astype(dtype)).max()


def test_clip_norm_leaves_small_gradients_alone(parameters):
    before = grads(parameters)
    norm = norm_of(before, 2)
    total = clip_grad_norm_(parameters, 2 * norm)
    np.testing.assert_allclose(total.item(), norm, rtol=tolerance(before))
    for after, array in zip(grads(parameters), before, strict=True):
        np.testing.assert_array_equal(after, array)


def test_clip_norm_to_zero(parameters):
    clip_grad_norm_(parameters, 0.0)
    assert all((array == 0).all() for array in grads(parameters))


def test_clip_norm_takes_tensors_and_generators(parameters):
    first = parameters[0]
    norm = norm_of(grads([first]), 2)
    np.testing.assert_allclose(clip_grad_norm_(first, 1e9).item(), norm, rtol=1e-6)
    np.testing.assert_allclose(clip_grad_norm_((p for p in [first]), 1e9).item(), norm, rtol=1e-6)
    assert clip_grad_norm_(parameters[-1], 1.0).item() == 0.0


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("p", [1.0, 2.0, float("inf")])
def test_clip_norm_of_nonfinite_gradients(parameters, bad, p):
    parameters[2].grad[3] = bad
    before = grads(parameters)
    with pytest.raises(RuntimeError, match=str(bad)):
        clip_grad_norm_(parameters, 1.0, p, error_if_nonfinite=True)
    for after, array in zip(grads(parameters), before, strict=True):
        np.testing.assert_array_equal(after, array)
    total = clip_grad_norm_(parameters, 1.0, p).item()
    assert np.isnan(total) if np.isnan(bad) else total == bad
    with np.errstate(invalid="ignore"):
        for after, array in zip(grads(parameters), before, strict=True):
            np.testing.assert_array_equal(after, array * np.array(1 / total, array.dtype))


def test_clip_norm_counts_as_a_write(rng):
    x = mt.from_numpy(rng.standard_normal(3)).requires_grad_()
    x.grad = mt.from_numpy(rng.standard_normal(3))
    y = mt.ones(3, dtype=mt.float64).requires_grad_()
    product = (x.grad * y).sum()
    clip_grad_norm_(x, 1e-3)
    with pytest.raises(RuntimeError, match="written in place"):
        product.backward()


def test_clip_value_limits_each_element(parameters):
    before = grads(parameters)
    assert clip_grad_value_(parameters, 0.4) is None
    for after, array in zip(grads(parameters), before, strict=True):
        np.testing.assert_array_equal(after, np.clip(array, array.dtype.type(-0.4), array.dtype.type(0.4)))
    clip_grad_value_(parameters[0], 0)
    assert (parameters[0].grad == 0).all()


def test_clip_value_keeps_nan(parameters):
    parameters[0].grad[0, 0] = float("nan")
    parameters[0].grad[0, 1] = float("-inf")
    clip_grad_value_(parameters, 1.0)
    first = parameters[0].grad.numpy()[0]
    assert np.isnan(first[0]) and first[1] == -1.0


@pytest.mark.parametrize("clip", [clip_grad_norm_, clip_grad_value_])
def test_bad_limits_change_nothing(parameters, clip):
    before = grads(parameters)
    for bad in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="at least 0"):
            clip(parameters, bad)
    for after, array in zip(grads(parameters), before, strict=True):
        np.testing.assert_array_equal(after, array)


@pytest.mark.parametrize("clip", [clip_grad_norm_, clip_grad_value_])
def test_used_up_generators_warn(clip):
    generator = mt.nn.Linear(2, 2).parameters()
    list(generator)
    with pytest.warns(UserWarning, match="no parameters"):
        clip(generator, 1.0)
