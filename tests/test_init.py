"""Initial values: bounds, means and deviations, against the formulas of the papers."""

import math

import numpy as np
import pytest

import microtensor as mt
from microtensor.nn import init
from microtensor.random import default_generator

SHAPE = (200, 300)          # fan_in 300, fan_out 200


def assert_uniform(tensor, bound):
    values = tensor.detach().numpy().astype(np.float64)
    n = values.size
    assert np.abs(values).max() <= bound * (1 + 1e-7)       # float32 rounds the bound itself
    assert np.abs(values).max() > bound * (1 - 20 / n)      # missed with probability e^-20
    # U(-b, b): mean 0 with deviation b / sqrt(3 n), mean square b^2/3 with deviation b^2 sqrt(4/45) / sqrt(n)
    assert abs(values.mean()) < 5 * bound / math.sqrt(3 * n)
    assert abs((values**2).mean() - bound**2 / 3) < 5 * bound**2 * math.sqrt(4 / 45 / n)


def assert_normal(tensor, mean, std):
    z = (tensor.detach().numpy().astype(np.float64) - mean) / std
    n = z.size
    # moments of a standard normal: E z = 0, E z^2 = 1, E z^4 = 3, with variances 1, 2, 96 over n
    assert abs(z.mean()) < 5 / math.sqrt(n)
    assert abs((z**2).mean() - 1) < 5 * math.sqrt(2 / n)
    assert abs((z**4).mean() - 3) < 5 * math.sqrt(96 / n)


@pytest.mark.parametrize("dtype", [mt.float32, mt.float64])
def test_uniform_and_normal(dtype):
    tensor = mt.empty(SHAPE, dtype=dtype)
    assert init.uniform_(tensor, -2.0, 2.0) is tensor
    assert_uniform(tensor, 2.0)
    assert init.normal_(tensor, 3.0, 0.5) is tensor
    assert_normal(tensor, 3.0, 0.5)
    init.uniform_(tensor)
    assert tensor.min().item() >= 0 and tensor.max().item() <= 1


def test_constants():
    tensor = mt.nn.Parameter(mt.empty(2, 2))
    assert init.ones_(tensor) is tensor
    assert tensor.tolist() == [[1.0] * 2] * 2
    assert init.constant_(tensor, -2.5).tolist() == [[-2.5] * 2] * 2
    assert init.zeros_(tensor).tolist() == [[0.0] * 2] * 2
    assert tensor.requires_grad and tensor.is_leaf


def test_xavier():
    assert_uniform(init.xavier_uniform_(mt.empty(SHAPE), gain=2.0), 2 * math.sqrt(6 / 500))
    assert_normal(init.xavier_normal_(mt.empty(SHAPE), gain=2.0), 0.0, 2 * math.sqrt(2 / 500))


@pytest.mark.parametrize("mode, fan", [("fan_in", 300), ("fan_out", 200)])
@pytest.mark.parametrize("nonlinearity, a, gain", [
    ("leaky_relu", 0, math.sqrt(2)), ("leaky_relu", math.sqrt(5), math.sqrt(1 / 3)),
    ("relu", 0, math.sqrt(2)), ("tanh", 0, 5 / 3), ("linear", 0, 1.0)])
def test_kaiming(mode, fan, nonlinearity, a, gain):
    uniform = init.kaiming_uniform_(mt.empty(SHAPE), a, mode, nonlinearity)
    assert_uniform(uniform, gain * math.sqrt(3 / fan))
    assert_normal(init.kaiming_normal_(mt.empty(SHAPE), a, mode, nonlinearity), 0.0, gain / math.sqrt(fan))


def test_further_dimensions_multiply_both_fans():
    kernel = mt.empty(20, 30, 5, 5)         # fan_in 750, fan_out 500
    assert_uniform(init.xavier_uniform_(kernel), math.sqrt(6 / 1250))
    assert_uniform(init.kaiming_uniform_(kernel, mode="fan_out"), math.sqrt(6 / 500))


@pytest.mark.parametrize("nonlinearity, param, gain", [
    ("linear", None, 1.0), ("sigmoid", None, 1.0), ("tanh", None, 5 / 3), ("relu", None, math.sqrt(2)),
    ("leaky_relu", None, math.sqrt(2 / 1.0001)), ("leaky_relu", 0.5, math.sqrt(1.6)), ("selu", None, 0.75)])
def test_gains(nonlinearity, param, gain):
    assert init.calculate_gain(nonlinearity, param) == pytest.approx(gain, rel=4e-16)


@pytest.mark.parametrize("fill", [init.uniform_, init.normal_, init.xavier_uniform_, init.xavier_normal_,
                                  init.kaiming_uniform_, init.kaiming_normal_])
def test_generators_decide(fill):
    first = fill(mt.empty(3, 4), generator=mt.Generator(1)).tolist()
    assert fill(mt.empty(3, 4), generator=mt.Generator(1)).tolist() == first
    assert fill(mt.empty(3, 4), generator=mt.Generator(2)).tolist() != first
    mt.manual_seed(1)
    assert fill(mt.empty(3, 4)).tolist() == first
    assert fill(mt.empty(3, 4)).tolist() != first
    assert fill(mt.empty(0, 0)).shape == (0, 0)


@pytest.mark.parametrize("fill", [init.uniform_, init.normal_, init.xavier_normal_, init.kaiming_uniform_, init.ones_,
                                  init.zeros_, lambda tensor: init.constant_(tensor, 2.7)])
@pytest.mark.parametrize("dtype", [mt.int64, mt.uint8, mt.bool])
def test_integers_are_refused(fill, dtype):
    tensor = mt.tensor([[1, 0], [0, 1]], dtype=dtype)
    state = default_generator().get_state()
    with pytest.raises(TypeError, match=rf"float tensors, got one of shape \(2, 2\) {dtype}"):
        fill(tensor)
    assert tensor.tolist() == [[1, 0], [0, 1]] and default_generator().get_state() == state


def test_bad_arguments_change_nothing():
    tensor = mt.ones(2, 3)
    for fill, arguments in ((init.xavier_uniform_, {}), (init.kaiming_normal_, {})):
        with pytest.raises(ValueError, match=r"two dimensions, got shape \(3,\)"):
            fill(mt.ones(3), **arguments)
    with pytest.raises(ValueError, match="'fan_avg'"):
        init.kaiming_uniform_(tensor, mode="fan_avg")
    with pytest.raises(ValueError, match="unknown nonlinearity 'swish'"):
        init.kaiming_uniform_(tensor, nonlinearity="swish")
    with pytest.raises(ValueError, match="only leaky_relu takes a param"):
        init.calculate_gain("relu", 0.2)
    assert tensor.tolist() == [[1.0] * 3] * 2
