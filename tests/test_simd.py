"""exp, log, tanh, sigmoid, expm1 (in elu, selu), log1p (in softplus), normal_cdf: accuracy and special values.

Errors are in ulp: distances between neighbouring numbers of the dtype at the true value. The true value comes from the
next wider type: float64 for float32, long double for float64 where that is wider.
"""

import numpy as np
import pytest

import microtensor as mt
from microtensor.ops.registry import registered_ops, samples_of

WIDER = {np.float32: np.float64, np.float64: np.longdouble}
LONG_DOUBLE_IS_WIDER = np.finfo(np.longdouble).eps < np.finfo(np.float64).eps

# The paper's constants (Klambauer et al., Self-Normalizing Neural Networks, 2017) to long double's precision.
SELU_SCALE = np.longdouble("1.0507009873554804934193349852946")
SELU_ALPHA = np.longdouble("1.6732632423543772848170429916717")

precision = pytest.mark.parametrize(
    "dtype",
    [
        np.float32,
        pytest.param(
            np.float64, marks=pytest.mark.skipif(not LONG_DOUBLE_IS_WIDER, reason="long double is float64 here")
        ),
    ],
    ids=lambda dtype: dtype.__name__,
)


def sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


def elu(x):
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


def selu(x):
    scale = x.dtype.type(SELU_SCALE)
    return np.where(x > 0, scale * x, x.dtype.type(SELU_SCALE * SELU_ALPHA) * np.expm1(np.minimum(x, 0)))


def loss_of_logits(x):
    """For target 0: ln(1 + e^x)."""
    return mt.binary_cross_entropy_with_logits(x, mt.zeros_like(x), reduction="none")


def softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def normal_cdf(x):
    """Of x >= -38, from the series x + x^3/3 + x^5/(3 5) + ... near 0, from a continued fraction elsewhere."""
    t = np.abs(x)
    near = t < 3
    density = np.exp(-t * t / 2) / np.sqrt(8 * np.arctan(x.dtype.type(1)))
    term, series = np.where(near, t, 0), np.zeros_like(t)
    for k in range(3, 200, 2):
        series += term
        term *= np.where(near, t * t, 0) / k
    fraction = np.where(near, 3, t)
    for k in range(150, 0, -1):
        fraction = np.where(near, 3, t) + k / fraction
    tail = np.where(near, x.dtype.type(0.5) - density * series, density / fraction)
    return np.where(x < 0, tail, 1 - tail)


# One rounding to nearest is 0.5 ulp, and each step can double the error of the one before it, where its result lies in
# the binade below. exp and log are promised to 1 ulp, normal_cdf to 5, the rest to 2 (simd.pxd has what was measured);
# subnormals apart, of which expm1 costs a bit: 1 ulp in elu, and times 1.76 in selu. In gelu a product is rounded too.
BOUNDS = {
    "exp": (mt.exp, np.exp, 1),
    "log": (mt.log, np.log, 1),
    "elu": (mt.elu, elu, 1.01),
    "tanh": (mt.tanh, np.tanh, 2),
    "sigmoid": (mt.sigmoid, sigmoid, 2),
    "selu": (mt.selu, selu, 2.5),
    "softplus": (lambda x: mt.softplus(x, threshold=1000.0), softplus, 2),
    "loss of logits": (loss_of_logits, softplus, 2),
    "normal_cdf": (samples_of(registered_ops()["NormalCDF"])[0].function, normal_cdf, 5),
    "gelu": (mt.gelu, lambda x: x * normal_cdf(x), 5.5),
}


def limits(dtype):
    """Where e^x leaves the dtype: ln of the smallest subnormal, of the smallest normal, of the largest number."""
    info = np.finfo(dtype)
    return (float(np.log(info.smallest_subnormal)), float(np.log(info.smallest_normal)), float(np.log(info.max)))


def arguments(name, dtype, rng, n=40_000):
    """Even over the domain, and dense where it is hard: near 0 and 1, among subnormals, below overflow."""
    subnormal, smallest, largest = limits(dtype)
    sign = rng.choice([-1, 1], n)
    if name in ("normal_cdf", "gelu"):          # to the left where F(x) = e^(-x^2/2) / 15, about, is no subnormal yet
        left, n = -np.sqrt(2 * (-smallest - np.log(100))), n // 8
        parts = [
            rng.uniform(left, -left, n),
            rng.uniform(-3, 3, n),
            sign[:n] * np.exp(rng.uniform(smallest * 0.999, 0, n)),
            rng.uniform(left, left / 1.1, n),
        ]
        return np.concatenate(parts).astype(dtype)
    if name == "log":
        parts = [
            np.exp(rng.uniform(subnormal * 0.999, largest, n)),
            np.exp(rng.uniform(subnormal * 0.999, smallest, n)),
            rng.uniform(0.5, 2, n),
            1 + sign * np.exp(rng.uniform(np.log(np.finfo(dtype).eps), -1, n)),
        ]
    else:
        parts = [
            rng.uniform(subnormal, largest, n),
            rng.uniform(-25, 25, n),
            rng.uniform(-3, 3, n),
            sign * np.exp(rng.uniform(smallest * 0.999, 0, n)),
            rng.uniform(subnormal, smallest + 1, n),
            rng.uniform(largest - 1, largest, n),
        ]
    return np.concatenate(parts).astype(dtype)


def errors_in_ulp(actual, true):
    unit = np.spacing(np.abs(true).astype(actual.dtype)).astype(true.dtype)
    return np.abs(actual.astype(true.dtype) - true) / unit


@precision
@pytest.mark.parametrize("name", BOUNDS)
def test_function_is_accurate(name, dtype, rng):
    function, reference, bound = BOUNDS[name]
    x = arguments(name, dtype, rng)
    true = reference(x.astype(WIDER[dtype]))
    inside = true <= np.finfo(dtype).max            # the largest arguments of exp round to just above the limit
    errors = errors_in_ulp(function(mt.from_numpy(x)).numpy()[inside], true[inside])
    worst = int(np.argmax(errors))
    assert errors[worst] < bound, f"{errors[worst]:.2f} ulp at {x[inside][worst]!r}"


@precision
@pytest.mark.parametrize("function", [mt.elu, mt.tanh])
def test_function_is_accurate_at_subnormals(function, dtype, rng):
    """f(x) = x there. expm1 halves and doubles, which loses a bit."""
    x = np.ldexp(rng.uniform(-1, 1, 1000), np.finfo(dtype).minexp).astype(dtype)
    y = function(mt.from_numpy(x)).numpy()
    assert (np.abs(y - x) <= 2 * np.finfo(dtype).smallest_subnormal).all()


@precision
@pytest.mark.parametrize("name", ["exp", "log", "tanh", "sigmoid", "elu", "normal_cdf"])
def test_function_rises(name, dtype):
    """No step back at the seams of range reduction beyond the error of the two neighbours."""
    function, _, bound = BOUNDS[name]
    x = np.linspace(0.01 if name == "log" else -20, 20, 50_001).astype(dtype)
    y = function(mt.from_numpy(x)).numpy()
    assert (np.diff(y) >= -2 * bound * np.spacing(np.abs(y[1:]))).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("length", [1, 40, 100_003])
def test_place_in_the_array_does_not_matter(dtype, length, rng):
    """Vector loops, their remainders and threads give the same bits."""
    x = rng.uniform(-5, 5, length).astype(dtype)
    before = mt.get_num_threads()
    for name, (function, _, _) in BOUNDS.items():
        argument = np.abs(x) if name == "log" else x
        together = function(mt.from_numpy(argument)).numpy()
        try:
            mt.set_num_threads(1 if before > 1 else 2)
            np.testing.assert_array_equal(function(mt.from_numpy(argument)).numpy(), together)
        finally:
            mt.set_num_threads(before)
        for i in (0, length // 2, length - 1):
            assert function(mt.from_numpy(argument[i : i + 1])).item() == together[i]


INF, NAN = float("inf"), float("nan")

SPECIAL = {
    "exp": [(INF, INF), (-INF, 0), (0.0, 1), (-0.0, 1)],
    "log": [(INF, INF), (0.0, -INF), (-0.0, -INF), (-1.0, NAN), (-INF, NAN), (1.0, 0.0)],
    "tanh": [(INF, 1), (-INF, -1), (0.0, 0.0), (-0.0, -0.0), (30.0, 1), (-30.0, -1)],
    "sigmoid": [(INF, 1), (-INF, 0), (0.0, 0.5), (-0.0, 0.5), (50.0, 1)],
    "elu": [(INF, INF), (-INF, -1), (0.0, 0.0), (-0.0, -0.0), (-50.0, -1)],
    "selu": [(INF, INF), (0.0, 0.0), (-0.0, -0.0)],
    "softplus": [(INF, INF), (-INF, 0.0), (0.0, float(np.log(2))), (100.0, 100.0)],
    "loss of logits": [(0.0, float(np.log(2)))],
    "normal_cdf": [(INF, 1), (-INF, 0), (0.0, 0.5), (-0.0, 0.5), (40.0, 1), (-40.0, 0)],
    "gelu": [(INF, INF), (-INF, NAN), (0.0, 0.0), (-0.0, -0.0), (40.0, 40.0), (-40.0, -0.0)],
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", SPECIAL)
def test_special_values(name, dtype):
    function = BOUNDS[name][0]
    x, expected = np.array(SPECIAL[name] + [(NAN, NAN)], dtype).T.copy()
    y = function(mt.from_numpy(x)).numpy()
    np.testing.assert_array_equal(y, expected)
    assert (np.signbit(y) == np.signbit(expected))[~np.isnan(expected)].all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_exp_overflows_and_underflows_where_it_should(dtype):
    subnormal, smallest, largest = limits(dtype)

    def exp(x):
        return mt.exp(mt.from_numpy(np.array([x], dtype))).item()

    below, above = np.nextafter(dtype(largest), dtype(0)), np.nextafter(dtype(largest), dtype(np.inf))
    assert np.isfinite(exp(below)) and exp(np.nextafter(above, dtype(np.inf))) == INF
    assert 0 < exp(smallest - 1) < np.finfo(dtype).smallest_normal
    assert exp(subnormal + 0.01) == np.finfo(dtype).smallest_subnormal
    assert exp(subnormal - 1) == 0
    assert exp(np.finfo(dtype).max) == INF and exp(np.finfo(dtype).min) == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_log_of_subnormals(dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    for x in (tiny, 3 * tiny, np.finfo(dtype).smallest_normal - tiny):
        true = float(np.log(x.astype(np.longdouble)))
        assert mt.log(mt.from_numpy(np.array([x]))).item() == pytest.approx(true, rel=2 * float(np.finfo(dtype).eps))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_log1p_and_expm1_do_not_cancel_near_zero(dtype):
    """elu(-h) = -h + h^2/2 and ln(1 + e^-k) = e^-k - e^-2k/2: adding 1 first would lose all digits."""
    h = np.array([1e-3, 1e-6, 1e-12, 1e-30], dtype)
    y = mt.elu(mt.from_numpy(-h)).numpy()
    np.testing.assert_allclose(y, np.expm1(-h.astype(np.float64)), rtol=2 * np.finfo(dtype).eps)
    k = np.array([10, 20, 40, 80], dtype)
    y = loss_of_logits(mt.from_numpy(-k)).numpy()
    np.testing.assert_allclose(y, np.log1p(np.exp(-k.astype(np.float64))), rtol=4 * np.finfo(dtype).eps)
