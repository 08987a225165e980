"""Reductions: accuracy of long sums, dims in every form, empty inputs, ties, nan and inf."""

import numpy as np
import pytest

import microtensor as mt

REDUCTIONS = {
    "sum": np.sum, "mean": np.mean, "amax": np.max, "amin": np.min,
    "var": lambda x, axis=None, keepdims=False: np.var(x, axis=axis, ddof=1, keepdims=keepdims),
    "std": lambda x, axis=None, keepdims=False: np.std(x, axis=axis, ddof=1, keepdims=keepdims),
    "logsumexp": lambda x, axis=None, keepdims=False: np.log(np.exp(x).sum(axis=axis, keepdims=keepdims)),
}
DIMS = [None, 0, 1, 2, -1, -3, (0,), (1, 2), (0, 2), [0, 1], (-1, 0), (0, 1, 2), ()]


def reduced(name, x, dim, keepdim):
    return getattr(mt, name)(x, dim=dim, keepdim=keepdim)


def assert_equal(actual, expected):
    assert actual.shape == np.shape(expected)
    np.testing.assert_array_equal(actual.numpy(), expected)


# -- accuracy --------------------------------------------------------------------------------------------------


def test_sum_of_ten_million_is_right_to_its_last_digit(rng):
    """Numbers of one sign: sums in double err by at most 10^7 eps = 2e-9, and a digit of float32 is 6e-8."""
    x = rng.random(10_000_000, np.float32)
    exact = x.sum(dtype=np.longdouble)
    t = mt.from_numpy(x)
    n = len(x)
    for shape, dim in (((n,), 0), ((n,), None), ((2500, 4000), (0, 1)), ((n, 1), 0), ((1, n), 1)):
        total = t.reshape(shape).sum(dim)
        assert total.dtype == mt.float32
        assert abs(total.item() - exact) <= np.spacing(np.float32(exact)) * 0.51, (shape, dim)
    mean = t.mean().item()
    assert abs(mean - exact / 10_000_000) <= np.spacing(np.float32(0.5)) * 0.51


@pytest.mark.parametrize(
    ("shape", "dim"),
    [((2_000_000, 5), 0), ((5, 2_000_000), 1), ((2, 1_000_000, 5), 1), ((3, 1_000_000, 3), (0, 1))],
)
def test_long_sums_along_any_dim(shape, dim, rng):
    x = rng.random(shape, np.float32)
    exact = x.sum(axis=dim, dtype=np.longdouble)
    half_ulp = np.spacing(exact.astype(np.float32)) * 0.51
    assert (np.abs(mt.from_numpy(x).sum(dim).numpy() - exact) <= half_ulp).all()


def test_sum_of_tenths():
    """In float32, ten million additions of 0.1 would end near 1,087,937."""
    assert mt.full((10_000_000,), 0.1).sum().item() == np.float32(10_000_000 * float(np.float32(0.1)))


def test_variance_of_numbers_far_from_zero(rng):
    """Two passes: the mean is subtracted first, so nothing cancels. E[x^2] - E[x]^2 would lose all digits."""
    x = (1e4 + rng.standard_normal(100_000)).astype(np.float32)
    np.testing.assert_allclose(mt.from_numpy(x).var().item(), x.astype(np.float64).var(ddof=1), rtol=2e-7)
    y = 1e9 + rng.standard_normal((1000, 3))
    exact = y.astype(np.longdouble).var(axis=0, ddof=1).astype(np.float64)
    # the mean of n numbers of size 1e9 is right to n eps 1e9 at worst; its square is what var is off by
    np.testing.assert_allclose(mt.from_numpy(y).var(0).numpy(), exact, rtol=1e-9)


# -- dims ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("dim", DIMS, ids=str)
@pytest.mark.parametrize("name", REDUCTIONS)
def test_dims_in_every_form(name, dim, keepdim, rng):
    x = rng.standard_normal((4, 3, 5))
    axis = tuple(dim) or None if isinstance(dim, (tuple, list)) else dim      # no dims at all are all of them
    expected = REDUCTIONS[name](x, axis=axis, keepdims=keepdim)
    for tensor in (mt.tensor(x), mt.from_numpy(np.asfortranarray(x)), mt.from_numpy(np.repeat(x, 2, axis=2)[..., ::2])):
        y = reduced(name, tensor, dim, keepdim)
        assert y.shape == np.shape(expected) and y.dtype == mt.float64
        np.testing.assert_allclose(y.numpy(), expected, rtol=64 * 2**-52, atol=64 * 2**-52 * np.abs(x).sum())


@pytest.mark.parametrize("dim", DIMS, ids=str)
@pytest.mark.parametrize("keepdim", [False, True])
def test_gradient_of_a_sum_over_any_dims(dim, keepdim, rng):
    x = mt.tensor(rng.standard_normal((4, 3, 5)), requires_grad=True)
    y = x.sum(dim, keepdim)
    g = rng.standard_normal(y.shape)
    y.backward(mt.tensor(g))
    axis = tuple(dim) or None if isinstance(dim, (tuple, list)) else dim
    kept = np.sum(x.detach().numpy(), axis=axis, keepdims=True).shape
    np.testing.assert_array_equal(x.grad.numpy(), np.broadcast_to(g.reshape(kept), x.shape))


@pytest.mark.parametrize("name", [*REDUCTIONS, "max", "min", "argmax", "argmin"])
def test_dims_out_of_range_are_refused(name):
    x = mt.ones(4, 3)
    for dim in (2, -3):
        with pytest.raises(IndexError, match=rf"{dim}"):
            getattr(mt, name)(x, dim)
    if name in REDUCTIONS:
        for twice in ((0, 0), (0, -2)):
            with pytest.raises((ValueError, RuntimeError), match="dim"):
                getattr(mt, name)(x, twice)
    for wrong in (1.5, "rows"):
        with pytest.raises(TypeError):
            getattr(mt, name)(x, wrong)


@pytest.mark.parametrize("name", ["sum", "mean", "amax", "amin", "max", "min", "argmax", "argmin", "logsumexp"])
def test_a_0d_tensor_has_dims_0_and_minus_1(name):
    x = mt.tensor(2.5)
    for dim in (0, -1):
        y = getattr(mt, name)(x, dim)
        for part in y if isinstance(y, tuple) else (y,):
            assert part.shape == ()
    with pytest.raises(IndexError):
        getattr(mt, name)(x, 1)


@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_max_and_min_along_a_dim_give_values_and_indices(dim, keepdim, rng):
    x = rng.standard_normal((4, 3, 5))
    t = mt.tensor(x)
    for function, arg, values_of, indices_of in (
        (mt.max, mt.argmax, np.max, np.argmax), (mt.min, mt.argmin, np.min, np.argmin)
    ):
        values, indices = function(t, dim, keepdim)
        assert_equal(values, values_of(x, axis=dim, keepdims=keepdim))
        assert_equal(indices, indices_of(x, axis=dim, keepdims=keepdim))
        assert_equal(arg(t, dim, keepdim), indices_of(x, axis=dim, keepdims=keepdim))
        assert_equal(function(t), values_of(x))
        assert_equal(arg(t), indices_of(x))
        assert indices.dtype == mt.int64 and not indices.requires_grad


@pytest.mark.parametrize("dtype", [mt.int64, mt.int8, mt.uint8, mt.bool])
def test_integers(dtype, rng):
    x = rng.integers(0, 100 if dtype != mt.bool else 2, (4, 5)).astype(dtype)
    t = mt.from_numpy(x)
    for dim in (None, 0, 1, (0, 1)):
        assert_equal(t.sum(dim), x.sum(axis=dim, dtype=np.int64))
        assert t.sum(dim).dtype == mt.int64
        assert_equal(mt.amax(t, dim), x.max(axis=dim))
        assert_equal(mt.amin(t, dim), x.min(axis=dim))
    for dim in (0, 1):
        for function, values_of, indices_of in ((mt.max, np.max, np.argmax), (mt.min, np.min, np.argmin)):
            values, indices = function(t, dim)
            assert_equal(values, values_of(x, axis=dim))
            assert_equal(indices, indices_of(x, axis=dim))
            assert values.dtype == dtype
    for name in ("mean", "var", "std"):
        with pytest.raises(TypeError, match=rf"{dtype}.*float\(\)"):
            getattr(mt, name)(t)


def test_integer_minimum_of_the_smallest():
    """-x does not exist for the smallest integer, so the smallest is not found by the largest of -x."""
    x = mt.tensor([[5, -128, 7]], dtype=mt.int8)
    values, indices = x.min(1)
    assert (values.tolist(), indices.tolist(), mt.amin(x).item()) == ([-128], [1], -128)
    values, indices = mt.tensor([[5, 0, 7]], dtype=mt.uint8).min(1)
    assert (values.tolist(), indices.tolist()) == ([0], [1])
    values, indices = mt.tensor([[True, False]]).min(1)
    assert (values.tolist(), indices.tolist()) == ([False], [1])


@pytest.fixture(params=[1, 3])
def threads(request):
    before = mt.get_num_threads()
    mt.set_num_threads(request.param)
    yield request.param
    mt.set_num_threads(before)


@pytest.mark.parametrize(
    ("shape", "dim"),
    [
        ((270_001,), None), ((523, 521), 0), ((523, 521), 1), ((60_011, 5), 0), ((60_011, 5), 1), ((5, 60_011), 0),
        ((23, 7, 19, 97), (0, 2)), ((23, 7, 19, 97), (1, 3)), ((2, 3, 50_411), (0, 2)), ((50_411, 3, 2), (0, 2)),
        ((513, 9, 65), 1), ((3, 5, 7, 11, 31), (0, 2, 4)), ((1, 300, 1, 1001), (0, 1, 2)), ((129, 2053), (0,)),
    ],
)
@pytest.mark.parametrize("name", REDUCTIONS)
def test_large_reductions_and_their_gradients(name, shape, dim, threads, rng):
    """Sizes around the edges of tiles, lanes and threads' shares; forward and backward."""
    if name == "amin":
        return
    x = rng.standard_normal(shape)
    t = mt.tensor(x, requires_grad=True)
    y = getattr(mt, name)(t, dim=dim, keepdim=True)
    axis = tuple(range(len(shape))) if dim is None else dim
    expected = REDUCTIONS[name](x, axis=axis, keepdims=True)
    eps, n = 2**-52, x.size // expected.size
    np.testing.assert_allclose(y.detach().numpy(), expected, rtol=64 * eps, atol=n * eps)
    g = rng.standard_normal(expected.shape)
    y.backward(mt.tensor(g))
    centred = x - x.mean(axis=axis, keepdims=True)
    slope = {
        "sum": np.ones_like(x), "mean": np.full_like(x, 1 / n), "amax": (x == expected).astype(float),
        "var": 2 * centred / (n - 1), "std": centred / (n - 1) / expected, "logsumexp": np.exp(x - expected),
    }[name]
    np.testing.assert_allclose(t.grad.numpy(), g * slope, rtol=1e-11, atol=n * eps)


@pytest.mark.parametrize(("shape", "dim"), [((700_001,), None), ((2, 270_001), 1), ((270_001, 2), 0)])
@pytest.mark.parametrize("name", REDUCTIONS)
def test_large_gradients_in_float32_are_those_in_float64(name, shape, dim, threads, rng):
    """Of few lines, so long that threads share the elements of each."""
    x = rng.standard_normal(shape).astype(np.float32)
    g = np.float32(rng.standard_normal(() if dim is None else 2))
    single, double = (mt.tensor(x.astype(dtype), requires_grad=True) for dtype in (np.float32, np.float64))
    for t in (single, double):
        getattr(mt, name)(t, dim=dim).backward(mt.tensor(np.asarray(g, t.dtype)))
    expected = double.grad.numpy()
    # dx is a product of at most four factors, and of the error of x - mean or e^(x - y) of a line.
    np.testing.assert_allclose(single.grad.numpy(), expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("dim", [(0, 2), (1, 2), 2])
def test_sums_of_lines_without_elements(dim):
    """Also of lines in several pieces, all of which are empty."""
    x = mt.zeros(2, 3, 0, requires_grad=True)
    for name, expected in (("sum", 0), ("logsumexp", -np.inf)):
        y = getattr(mt, name)(x, dim=dim)
        np.testing.assert_array_equal(y.detach().numpy(), np.full(y.shape, expected))
        y.backward(mt.ones(*y.shape))
        assert x.grad.shape == (2, 3, 0)


@pytest.mark.parametrize("shape", [(263, 521), (5, 30_011), (30_011, 5), (3, 301, 257), (100_003, 1)])
def test_large_max_along_a_dim(shape, threads, rng):
    x = rng.integers(0, 1000, shape).astype(np.float32)         # with ties
    for dim in range(len(shape)):
        t = mt.tensor(x, requires_grad=True)
        values, indices = t.max(dim, keepdim=True)
        first = np.argmax(x, axis=dim, keepdims=True)
        np.testing.assert_array_equal(indices.numpy(), first)
        np.testing.assert_array_equal(mt.argmin(t, dim, True).numpy(), np.argmin(x, axis=dim, keepdims=True))
        g = rng.standard_normal(values.shape).astype(np.float32)
        values.backward(mt.tensor(g))
        expected = np.zeros_like(x)
        np.put_along_axis(expected, first, g, dim)
        np.testing.assert_array_equal(t.grad.numpy(), expected)


@pytest.mark.parametrize("size", [1, 2, 7, 8, 9, 31, 32, 33, 63, 64, 65, 127, 129, 1023, 1025])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_runs_of_every_length(size, dtype, rng):
    """Around the number of lanes: sums of integers are exact, and a nan in any place is found."""
    x = rng.integers(-1000, 1000, (3, size)).astype(dtype)
    t = mt.tensor(x)
    assert_equal(t.sum(1), x.sum(1))
    assert_equal(t.amax(1), x.max(1))
    assert_equal(t.argmax(1), x.argmax(1))
    for place in range(size):
        row = x[0].copy()
        row[place] = np.nan
        t = mt.tensor(row)
        assert np.isnan(t.amax().item()) and t.argmax().item() == place


def test_gradients_of_broadcast_operands(threads, rng):
    """What was repeated is summed: over leading, trailing and middle dimensions."""
    g = rng.standard_normal((40, 50, 60))
    for shape in ((60,), (50, 1), (40, 1, 1), (40, 1, 60), (1, 50, 1), (), (1, 1, 1), (40, 50, 60)):
        b = mt.tensor(rng.standard_normal(shape), requires_grad=True)
        (mt.ones(40, 50, 60, dtype=mt.float64) + b).backward(mt.tensor(g))
        padded = (1,) * (3 - len(shape)) + shape
        axes = tuple(d for d in range(3) if padded[d] == 1)
        expected = g.sum(axis=axes).reshape(shape)
        np.testing.assert_allclose(b.grad.numpy(), expected, rtol=0, atol=120_000 * 2**-53 * 5)


# -- nothing to reduce -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sum", "mean", "logsumexp"])
@pytest.mark.parametrize(
    ("shape", "dim", "result"), [((0,), None, ()), ((0, 3), 0, (3,)), ((0, 3), 1, (0,)), ((2, 0, 3), (0, 1), (3,))]
)
def test_reductions_of_nothing(name, shape, dim, result):
    x = mt.zeros(shape, requires_grad=True)
    y = getattr(mt, name)(x, dim)
    expected = {"sum": 0, "mean": np.nan, "logsumexp": -np.inf}[name]
    assert_equal(y.detach(), np.full(result, expected))
    y.backward(mt.ones(result))
    assert x.grad.shape == shape


@pytest.mark.parametrize("name", ["amax", "amin", "max", "min", "argmax", "argmin"])
def test_there_is_no_largest_of_nothing(name):
    function = getattr(mt, name)
    for dtype in (mt.float32, mt.int64):
        for shape, dim in (((0,), None), ((0, 3), 0)):
            with pytest.raises(ValueError, match=r"\(0,"):
                function(mt.zeros(shape, dtype=dtype), dim)
        y = function(mt.zeros(0, 3, dtype=dtype), 1)        # no rows, so nothing is asked
        for part in y if isinstance(y, tuple) else (y,):
            assert part.shape == (0,)


# -- var and std -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("correction", [0, 1, 2, 0.5])
@pytest.mark.parametrize("dim", [None, 0, (0, 1)])
def test_var_correction(correction, dim, rng):
    x = rng.standard_normal((4, 5))
    for function, twin in ((mt.var, np.var), (mt.std, np.std)):
        actual = function(mt.tensor(x), dim, correction=correction).numpy()
        np.testing.assert_allclose(actual, twin(x, axis=dim, ddof=correction), rtol=64 * 2**-52)


def test_var_without_degrees_of_freedom_warns():
    with pytest.warns(UserWarning, match="correction"):
        assert np.isnan(mt.ones(1).var().item())
    with pytest.warns(UserWarning, match="correction"):
        assert np.isnan(mt.ones(3, 1).var(1).numpy()).all()
    with pytest.warns(UserWarning, match="correction"):
        assert np.isnan(mt.zeros(0).var(correction=0).item())
    assert mt.ones(1).var(correction=0).item() == 0


# -- ties and nan ----------------------------------------------------------------------------------------------

TIED = np.array([[1.0, 3.0, 3.0, 2.0], [5.0, 5.0, 5.0, 5.0], [0.0, -1.0, -2.0, -0.0]])


def test_ties_share_the_gradient_of_amax(rng):
    g = rng.standard_normal(3)
    for function, extreme in ((mt.amax, np.max), (mt.amin, np.min)):
        x = mt.tensor(TIED, requires_grad=True)
        function(x, 1).backward(mt.tensor(g))
        largest = extreme(TIED, axis=1, keepdims=True) == TIED
        np.testing.assert_array_equal(x.grad.numpy(), g[:, None] / largest.sum(1, keepdims=True) * largest)
    x = mt.tensor(TIED, requires_grad=True)
    x.max().backward()
    assert x.grad[1].tolist() == [0.25] * 4 and x.grad.sum().item() == 1


@pytest.mark.parametrize("dim", [0, 1])
def test_ties_in_other_lines_take_no_gradient_of_amax(dim, rng):
    """Lines whose largest elements are equal have one each."""
    values = np.array([rng.permutation(5.0 + np.arange(5)) for _ in range(4)])
    values, g = values if dim else values.T.copy(), rng.standard_normal(4)
    x = mt.tensor(values, requires_grad=True)
    x.amax(dim).backward(mt.tensor(g))
    expected = np.expand_dims(g, dim) * (values == values.max(dim, keepdims=True))
    np.testing.assert_array_equal(x.grad.numpy(), expected)


def test_first_of_ties_takes_the_gradient_of_max_along_a_dim(rng):
    g = rng.standard_normal(3)
    for function, where in ((mt.max, np.argmax), (mt.min, np.argmin)):
        x = mt.tensor(TIED, requires_grad=True)
        values, indices = function(x, 1)
        values.backward(mt.tensor(g))
        first = where(TIED, axis=1)
        assert indices.tolist() == first.tolist()
        np.testing.assert_array_equal(x.grad.numpy(), g[:, None] * (np.arange(4) == first[:, None]))


@pytest.mark.parametrize("place", [0, 1, 3])
def test_nan_wins(place):
    x = np.array([2.0, 7.0, -1.0, 4.0])
    x[place] = np.nan
    for t in (mt.tensor(x), mt.tensor(x[:, None]), mt.tensor(np.append(x, [np.nan, 9]))):
        for name in ("amax", "amin", "max", "min"):
            assert np.isnan(getattr(mt, name)(t).item())
        for function in (mt.max, mt.min):
            values, indices = function(t, 0)
            assert np.isnan(values.numpy()).all() and (indices.numpy() == place).all()
        for function in (mt.argmax, mt.argmin):
            assert function(t).item() == place


@pytest.mark.parametrize("create_graph", [False, True])
def test_gradient_of_amax_where_nan_won_is_nan(create_graph):
    """Not 0, which would hide it; PyTorch's amax gives nan too. Other rows are as ever."""
    x = mt.tensor([[1.0, np.nan], [3.0, 4.0]], requires_grad=True)
    for function, row in ((mt.amax, [0, 1]), (mt.amin, [1, 0])):
        dx, = mt.grad(function(x, 1).sum(), x, create_graph=create_graph)
        assert np.isnan(dx.detach().numpy()[0]).any() and dx[1].tolist() == row


def test_infinities_are_numbers_to_max():
    x = mt.tensor([-np.inf, 1.0, np.inf], requires_grad=True)
    assert (x.max().item(), x.min().item(), x.argmax().item(), x.argmin().item()) == (np.inf, -np.inf, 2, 0)
    y = mt.tensor([[-np.inf, -np.inf]], requires_grad=True)
    y.amax(1).sum().backward()
    assert y.grad.tolist() == [[0.5, 0.5]]


# -- logsumexp -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_logsumexp_does_not_overflow(dtype):
    x = np.array([[1e4, 1e4], [-1e4, -1e4], [1e4, -1e4], [0, 0]], dtype)
    expected = np.array([1e4 + np.log(2), -1e4 + np.log(2), 1e4, np.log(2)])
    t = mt.tensor(x, requires_grad=True)
    y = t.logsumexp(1)
    np.testing.assert_allclose(y.detach().numpy(), expected, rtol=2 * np.finfo(dtype).eps)
    y.backward(mt.tensor(np.array([2, 3, 5, 7], dtype)))
    # e^(x - y) with y rounded to eps |y|: right to 2 eps |y|
    np.testing.assert_allclose(t.grad.numpy(), [[1, 1], [1.5, 1.5], [5, 0], [3.5, 3.5]], rtol=2e4 * np.finfo(dtype).eps)


@pytest.mark.parametrize(
    ("row", "value", "gradient"),
    [
        ([-np.inf, -np.inf], -np.inf, None),
        ([-np.inf, 3.0], 3.0, [0, 1]),
        ([np.inf, 3.0], np.inf, None),
        ([np.inf, np.inf], np.inf, None),
        ([np.inf, -np.inf], np.inf, None),
        ([np.nan, 3.0], np.nan, [np.nan, np.nan]),
        ([np.nan, np.inf], np.nan, [np.nan, np.nan]),
        ([np.inf, np.nan], np.nan, [np.nan, np.nan]),
        ([-np.inf, np.nan], np.nan, [np.nan, np.nan]),
    ],
)
@pytest.mark.parametrize("along", [0, 1])
def test_logsumexp_of_infinite_and_nan_rows(row, value, gradient, along):
    """Where all is -inf or one is inf, the softmax is not defined and only the value is looked at."""
    x = np.array([row, [0.0, 0.0]])
    t = mt.tensor(x if along else x.T.copy(), requires_grad=True)
    y = t.logsumexp(along)
    np.testing.assert_allclose(y.detach().numpy(), [value, np.log(2)], rtol=4 * 2**-52)
    y.sum().backward()
    actual = t.grad.numpy() if along else t.grad.numpy().T
    np.testing.assert_allclose(actual[1], [0.5, 0.5], rtol=4 * 2**-52)
    if gradient is not None:
        np.testing.assert_array_equal(actual[0], gradient)


def test_logsumexp_gradient_of_nothing_but_minus_infinity_is_zero_by_kernel_and_rule():
    x = mt.full((2, 3), -np.inf, dtype=mt.float64, requires_grad=True)
    g = mt.tensor([1.5, -2.0], dtype=mt.float64)
    for create_graph in (False, True):
        dx, = mt.grad(mt.logsumexp(x, 1), x, g, create_graph=create_graph)
        assert dx.detach().tolist() == [[0.0] * 3] * 2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("length", [1, 2, 3, 7, 10, 31, 32, 33])
def test_largest_of_short_rows(length, dtype, rng):
    """32 short rows are taken at a time: with ties, nan and -inf among them, and rows that are left over."""
    for rows in (1, 31, 32, 33, 64, 100):
        x = rng.integers(-3, 4, (rows, length)).astype(dtype)
        x[rng.random(x.shape) < 0.05] = np.nan
        x[rng.random(x.shape) < 0.2] = -np.inf
        for array in (x, np.repeat(x, 2, axis=1)[:, ::2], x[::-1]):
            values, indices = mt.max(mt.from_numpy(array), 1)
            np.testing.assert_array_equal(values.numpy(), array.max(1))
            np.testing.assert_array_equal(indices.numpy(), array.argmax(1))
            np.testing.assert_array_equal(mt.amax(mt.from_numpy(array), 1).numpy(), array.max(1))
            np.testing.assert_array_equal(mt.argmax(mt.from_numpy(array), 1).numpy(), array.argmax(1))
            np.testing.assert_array_equal(mt.argmin(mt.from_numpy(array), 1).numpy(), array.argmin(1))
