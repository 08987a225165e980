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


def probability(lo, x):
    """P(lo < z < x) of a standard normal z, without cancellation if lo > 0."""
    if lo > 0:
        return (math.erfc(lo / math.sqrt(2)) - math.erfc(x / math.sqrt(2))) / 2
    return (math.erf(x / math.sqrt(2)) - math.erf(lo / math.sqrt(2))) / 2


@pytest.mark.parametrize("dtype", [mt.float32, mt.float64])
@pytest.mark.parametrize("mean, std, a, b", [
    (0.0, 1.0, -2.0, 2.0), (3.0, 0.5, 2.5, 9.0), (0.0, 2.0, -1.0, 1.5), (0.0, 1.0, 0.0, 4.0), (0.0, 1.0, 0.5, 1.0),
    (1.0, 1.0, 2.0, math.inf), (0.0, 1.0, 6.0, 50.0), (0.0, 0.1, -math.inf, -0.8), (-2.0, 1.0, -math.inf, math.inf)])
def test_truncated_normal(mean, std, a, b, dtype):
    """Wide and narrow, on both sides of the mean and far from it: the shares below the numbers are uniform."""
    n = 20_000
    tensor = mt.empty(n // 4, 4, dtype=dtype)
    assert init.trunc_normal_(tensor, mean, std, a, b) is tensor
    values = np.sort(tensor.numpy().ravel().astype(np.float64))
    assert values[0] >= np.dtype(dtype).type(a) and values[-1] <= np.dtype(dtype).type(b)
    side = -1 if b <= mean else 1                           # a left tail as the right one that it mirrors
    z, (lo, hi) = np.sort(side * (values - mean) / std), sorted(side * (bound - mean) / std for bound in (a, b))
    shares = np.array([probability(lo, x) for x in z]) / probability(lo, hi)
    # Dvoretzky, Kiefer, Wolfowitz and Massart: the largest distance is above d with probability 2 e^(-2 n d^2), here
    # 1e-9; float32 moves a z by at most 5e-7, where the density is at most 9
    distance = np.abs(shares - (np.arange(n) + 0.5) / n).max()
    assert distance < math.sqrt(math.log(2e9) / (2 * n)) + 0.5 / n + 5e-6


@pytest.mark.parametrize("value", [3.0, 0.0, -0.5])
def test_truncated_normal_between_equal_bounds(value):
    assert (init.trunc_normal_(mt.empty(5), a=value, b=value) == value).all()


@pytest.mark.parametrize("shape", [(6, 6), (3, 7), (7, 3), (4, 2, 3), (1, 1), (1, 5)])
@pytest.mark.parametrize("dtype", [mt.float32, mt.float64])
def test_orthogonal(shape, dtype):
    tensor = mt.empty(shape, dtype=dtype)
    assert init.orthogonal_(tensor, gain=-1.5) is tensor
    q = tensor.numpy().reshape(shape[0], -1).astype(np.float64) / 1.5
    gram = q @ q.T if q.shape[0] <= q.shape[1] else q.T @ q
    # 7 products of numbers of at most 1, with two roundings each
    np.testing.assert_allclose(gram, np.eye(len(gram)), rtol=0, atol=28 * np.finfo(dtype).eps)


def test_orthogonal_matrices_are_equally_likely():
    """Haar's measure on 3 x 3: E q_ij = 0, E q_ij^2 = 1/3, E q_ij^4 = 3/15, and either sign of the determinant."""
    n, total = 2000, np.zeros((3, 3))
    squares, negative = np.zeros((3, 3)), 0
    for _ in range(n):
        q = init.orthogonal_(mt.empty(3, 3, dtype=mt.float64)).numpy()
        total += q
        squares += q**2
        negative += np.linalg.det(q) < 0
    assert np.abs(total / n).max() < 5 * math.sqrt(1 / 3 / n)
    assert np.abs(squares / n - 1 / 3).max() < 5 * math.sqrt((1 / 5 - 1 / 9) / n)
    assert abs(negative / n - 0.5) < 5 * 0.5 / math.sqrt(n)


def test_lecun_weights_keep_selu_normalised():
    """Mean 0 and variance 1 through 24 layers, to what a width of 1024 allows.

    Given x, the inputs of the next SELU are independent N(0, q), q = |x|^2 / n. So the next q has mean
    f(q) = E selu(sqrt(q) z)^2, f(1) = 1, and variance v / n, v = Var selu(z)^2; the layers before it come in with the
    factors f'(1), f'(1)^2, ...: its variance is v / n / (1 - f'(1)^2).
    """
    n, z, dz = 1024, *np.linspace(-12, 12, 200_001, retstep=True)
    weight = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * dz

    def moment(q, power):
        x = math.sqrt(q) * z
        return (weight * (1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x))) ** power).sum()

    slope = (moment(1.001, 2) - moment(0.999, 2)) / 0.002
    bound = 5 * math.sqrt((moment(1, 4) - 1) / n / (1 - slope**2))
    assert abs(moment(1, 2) - 1) < 1e-6 and 0 < slope < 1 and bound < 0.5

    x = init.normal_(mt.empty(32, n))
    for _ in range(24):
        x = mt.selu(x @ init.kaiming_normal_(mt.empty(n, n), nonlinearity="linear").T)
        assert abs(x.mean().item()) < 5 * math.sqrt((1 + bound) / n) and abs(x.var().item() - 1) < bound
    for _ in range(4):          # another gain does not
        x = mt.selu(x @ init.kaiming_normal_(mt.empty(n, n), nonlinearity="selu").T)
    assert x.var().item() < 1 - bound


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
                                  init.kaiming_uniform_, init.kaiming_normal_, init.trunc_normal_, init.orthogonal_])
def test_generators_decide(fill):
    first = fill(mt.empty(3, 4), generator=mt.Generator(1)).tolist()
    assert fill(mt.empty(3, 4), generator=mt.Generator(1)).tolist() == first
    assert fill(mt.empty(3, 4), generator=mt.Generator(2)).tolist() != first
    mt.manual_seed(1)
    assert fill(mt.empty(3, 4)).tolist() == first
    assert fill(mt.empty(3, 4)).tolist() != first
    assert fill(mt.empty(0, 0)).shape == (0, 0)


@pytest.mark.parametrize("fill", [init.uniform_, init.normal_, init.xavier_normal_, init.kaiming_uniform_, init.ones_,
                                  init.zeros_, init.trunc_normal_, init.orthogonal_,
                                  lambda tensor: init.constant_(tensor, 2.7)])
@pytest.mark.parametrize("dtype", [mt.int64, mt.uint8, mt.bool])
def test_integers_are_refused(fill, dtype):
    tensor = mt.tensor([[1, 0], [0, 1]], dtype=dtype)
    state = default_generator().get_state()
    with pytest.raises(TypeError, match=rf"float tensors, got one of shape \(2, 2\) {dtype}"):
        fill(tensor)
    assert tensor.tolist() == [[1, 0], [0, 1]] and default_generator().get_state() == state


def test_bad_arguments_change_nothing():
    tensor = mt.ones(2, 3)
    for fill in (init.xavier_uniform_, init.kaiming_normal_, init.orthogonal_):
        with pytest.raises(ValueError, match=r"two dimensions, got shape \(3,\)"):
            fill(mt.ones(3))
    for options in ({"std": 0.0}, {"std": math.inf}, {"std": math.nan}, {"a": 2.0, "b": 1.0}, {"mean": math.nan},
                    {"mean": math.inf}, {"b": math.nan}, {"a": math.inf, "b": math.inf},
                    {"a": -math.inf, "b": -math.inf}, {"a": 1e308, "b": 1e308, "std": 1e-9}):
        with pytest.raises(ValueError, match=r"std must be finite and above 0|has no numbers from a="):
            init.trunc_normal_(tensor, **options)
    with pytest.raises(ValueError, match="'fan_avg'"):
        init.kaiming_uniform_(tensor, mode="fan_avg")
    with pytest.raises(ValueError, match="unknown nonlinearity 'swish'"):
        init.kaiming_uniform_(tensor, nonlinearity="swish")
    with pytest.raises(ValueError, match="only leaky_relu takes a param"):
        init.calculate_gain("relu", 0.2)
    assert tensor.tolist() == [[1.0] * 3] * 2
