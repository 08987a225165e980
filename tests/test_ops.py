"""Every registered op, found by the registry: forward, kernels, rule, dtypes, layouts, second order."""

import numpy as np
import pytest

import microtensor as mt
from microtensor.gradcheck.op import (
    LIMITS,
    gradients,
    kernel_error,
    leaves,
    rule_error,
    second_error,
    single_error,
)
from microtensor.ops.registry import registered_ops, samples_of
from microtensor.ops.sample import Sample

OPS = registered_ops()
CASES = [(name, number) for name, op in OPS.items() for number in range(len(samples_of(op)))]


@pytest.fixture(params=CASES, ids=[f"{name}-{number}" for name, number in CASES])
def sample(request, seed):
    name, number = request.param
    return samples_of(OPS[name], seed)[number]


def test_registry_finds_every_op_family():
    assert {"Add", "Sum", "Linear", "MatMul", "BatchNorm", "Dropout", "CrossEntropy", "Cat", "Tanh"} <= set(OPS)
    assert len(OPS) >= 43


def test_op_samples_include_a_0d_or_empty_input():
    for name, op in OPS.items():
        shapes = [x.shape for sample in samples_of(op) for x in sample.inputs]
        assert name == "BatchNorm" or any(shape == () or 0 in shape for shape in shapes), name


def test_op_forward_equals_numpy_twin(sample):
    y = sample.function(*leaves(sample)).detach().numpy()
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = np.asarray(sample.twin(*sample.inputs))
    assert y.shape == expected.shape
    np.testing.assert_allclose(y, expected, rtol=1e-13, atol=1e-13)


def test_op_kernel_equals_finite_difference(sample, seed):
    assert kernel_error(sample, seed) <= LIMITS["kernel"]


def test_op_rule_equals_kernel(sample, seed):
    assert rule_error(sample, seed) <= LIMITS["rule"]


class Sevens(mt.Tensor):
    """A tensor whose operators give what is no tensor."""

    def seven(self, other=None):
        return 7

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = seven
    __pow__ = __rpow__ = __matmul__ = __rmatmul__ = __neg__ = __getitem__ = seven


def test_op_rule_survives_operators_that_give_no_tensor(sample):
    """A rule is Python on the inputs: in a subclass their operators may give anything."""
    inputs = [Sevens(x, requires_grad=True) for x in sample.inputs]
    y = sample.function(*inputs)
    upstream = mt.tensor(np.random.default_rng(0).standard_normal(y.shape), dtype=y.dtype)
    try:
        found = gradients(sample, inputs, upstream, create_graph=True)
    except (TypeError, ValueError, AttributeError, RuntimeError):
        return
    assert all(d is None or isinstance(d, mt.Tensor) for d in found)


def test_gradient_of_a_rule_that_is_no_tensor_is_refused():
    x = Sevens([1.0, 2.0], requires_grad=True)
    with pytest.raises(TypeError, match="Mul with create_graph=True: its rule gave a gradient of type int"):
        mt.grad(x.square().sum(), x, create_graph=True)


def runs_that_change_bits(function):
    """The ops whose run, forward or backward, gives other bits when it is repeated, and how many runs were repeated."""
    changed, repeated = [], []

    def repeat(op, backward):
        before = [array.copy() for array in op.results(backward)]
        op.run_again(backward)
        repeated.append(op)
        after = op.results(backward)
        if len(before) != len(after) or any(a.tobytes() != b.tobytes() for a, b in zip(before, after, strict=True)):
            changed.append((op.name, "backward" if backward else "forward"))

    outer = mt.core.observe(repeat)
    try:
        function()
    finally:
        mt.core.observe(outer)
    return changed, len(repeated)


def test_op_run_can_be_repeated(sample, rng):
    """A run reads the op's fields and nothing else, so it gives the same bits again: forward, and backward."""
    for dtype in (np.float32, np.float64):
        inputs = leaves(sample, dtype)

        def step(inputs=inputs):
            y = sample.function(*inputs)
            y.backward(mt.from_numpy(np.asarray(rng.standard_normal(y.shape), y.dtype)))

        changed, repeated = runs_that_change_bits(step)
        assert changed == []
        assert repeated >= 2 or sample.linear           # the op To leaves what is float32 already as it is


def test_repeated_run_that_reads_elsewhere_is_noticed(rng):
    """The check above can fail: a run whose input is written in between gives other bits."""
    x = mt.from_numpy(rng.standard_normal(5)).requires_grad_()
    array = x.detach().numpy()

    def write(op, backward):
        before = op.results(backward)[0].copy()
        array[:] += 1
        op.run_again(backward)
        assert (op.results(backward)[0] != before).all()

    outer = mt.core.observe(write)
    try:
        x.exp()
    finally:
        mt.core.observe(outer)


def test_op_single_equals_double(sample, seed):
    assert single_error(sample, seed) <= LIMITS["single"]


def test_op_second_order_equals_finite_difference(sample, seed):
    assert second_error(sample, seed) <= LIMITS["second"]


def transposed(x):
    return np.asfortranarray(x)


def sliced(x):
    padded = np.full(tuple(2 * n + 1 for n in x.shape), np.nan)
    view = padded[tuple(slice(1, None, 2) for _ in x.shape)]
    view[...] = x
    return view


def reversed_(x):
    return x[(slice(None, None, -1),) * x.ndim].copy()[(slice(None, None, -1),) * x.ndim]


@pytest.mark.parametrize("layout", [transposed, sliced, reversed_])
def test_op_layout_does_not_matter(sample, layout, rng):
    """Fortran order, gaps of nan between the elements, negative strides: the same numbers as for contiguous inputs.

    To rounding, not to the bit: where strides differ, the compiler may fuse a multiplication and an addition or not.
    """
    plain = leaves(sample)
    moved = [mt.from_numpy(layout(x) if x.ndim else np.array(x)).requires_grad_() for x in sample.inputs]
    y, y_moved = sample.function(*plain), sample.function(*moved)
    np.testing.assert_allclose(y.detach().numpy(), y_moved.detach().numpy(), rtol=1e-13, atol=1e-14)
    c = mt.from_numpy(np.asarray(rng.standard_normal(y.shape))).to(y.dtype)
    for create_graph in (False, True):
        for d, d_moved in zip(
            gradients(sample, plain, c, create_graph), gradients(sample, moved, c, create_graph), strict=True
        ):
            np.testing.assert_allclose(d.detach().numpy(), d_moved.detach().numpy(), rtol=1e-13, atol=1e-14)


def test_op_leaves_inputs_and_upstream_unchanged(sample, rng):
    inputs = leaves(sample)
    before = [x.detach().numpy().copy() for x in inputs]
    y = sample.function(*inputs)
    kept = y.detach().numpy().copy()
    c = mt.from_numpy(np.asarray(rng.standard_normal(y.shape))).to(y.dtype)
    c_before = c.numpy().copy()
    y.backward(c)
    for x, expected in zip(inputs, before, strict=True):
        np.testing.assert_array_equal(x.detach().numpy(), expected)
    np.testing.assert_array_equal(y.detach().numpy(), kept)
    np.testing.assert_array_equal(c.numpy(), c_before)


def test_op_gradients_share_no_memory(sample, rng):
    inputs = leaves(sample)
    y = sample.function(*inputs)
    c = mt.from_numpy(np.asarray(rng.standard_normal(y.shape))).to(y.dtype)
    y.backward(c)
    arrays = [x.grad.numpy() for x in inputs] + [c.numpy()] + [x.detach().numpy() for x in inputs]
    for i, a in enumerate(arrays[: len(inputs)]):
        for b in arrays[i + 1 :]:
            assert not np.shares_memory(a, b)


def test_op_gradient_has_input_shape_and_dtype(sample, rng):
    for dtype in (np.float32, np.float64):
        inputs = leaves(sample, dtype)
        y = sample.function(*inputs)
        y.backward(mt.from_numpy(np.asarray(rng.standard_normal(y.shape))).to(y.dtype))
        for x in inputs:
            assert (x.grad.shape, x.grad.dtype) == (x.shape, x.dtype)


def test_op_second_backward_gives_the_same_bits_and_accumulates(sample, rng):
    inputs = leaves(sample)
    y = sample.function(*inputs)
    c = mt.from_numpy(np.asarray(rng.standard_normal(y.shape))).to(y.dtype)
    y.backward(c, retain_graph=True)
    once = [x.grad.numpy().copy() for x in inputs]
    y.backward(c)
    for x, first in zip(inputs, once, strict=True):
        np.testing.assert_array_equal(x.grad.numpy(), first + first)


def test_op_vjp_is_linear_in_the_upstream(sample, rng):
    inputs = leaves(sample)
    y = sample.function(*inputs)
    a, b = (mt.from_numpy(np.asarray(rng.standard_normal(y.shape))).to(y.dtype) for _ in range(2))
    da, db, dsum = (mt.grad(y, inputs, c, retain_graph=True) for c in (a, b, a + 2 * b))
    eps = np.finfo(y.dtype).eps
    for x, u, v, w in zip(inputs, da, db, dsum, strict=True):
        size = np.abs(u.numpy()).sum() + 2 * np.abs(v.numpy()).sum()
        np.testing.assert_allclose(w.numpy(), u.numpy() + 2 * v.numpy(), rtol=0, atol=64 * eps * (size + 1), err_msg=x)


def test_op_gradient_of_one_input_alone(sample, rng):
    """Where the others need no gradient: the same numbers, from kernels and from rules."""
    inputs = leaves(sample)
    y = sample.function(*inputs)
    c = mt.from_numpy(np.asarray(rng.standard_normal(y.shape))).to(y.dtype)
    together = gradients(sample, inputs, c)
    for i, expected in enumerate(together):
        for create_graph in (False, True):
            alone = [x if i == j else x.detach() for j, x in enumerate(leaves(sample))]
            y = sample.function(*alone)
            (found,) = mt.grad(y, [alone[i]], c, create_graph=create_graph)
            np.testing.assert_allclose(found.detach().numpy(), expected.numpy(), rtol=1e-11, atol=1e-11)


LN2, SELU = np.log(2), 1.7580993408473768
KINKS = {
    "relu": (mt.relu, [0.0], [0]),
    "leaky_relu": (lambda x: mt.leaky_relu(x, 0.1), [0.0], [0.1]),
    "elu": (lambda x: mt.nn.functional.elu(x, 1.3), [0.0], [1.3]),
    "selu": (mt.selu, [0.0], [SELU]),
    "softplus at the threshold": (lambda x: mt.softplus(x, 2.0, 3.0), [1.5], [1 / (1 + np.exp(-3.0))]),
    "softplus above the threshold": (lambda x: mt.softplus(x, 2.0, 3.0), [2.0], [1]),
    "abs": (mt.abs, [0.0], [0]),
    "maximum": (mt.maximum, [0.3, 0.3], [0.5, 0.5]),
    "minimum": (mt.minimum, [0.3, 0.3], [0.5, 0.5]),
    "clamp at min": (lambda x: mt.clamp(x, -0.5, 0.75), [-0.5], [1]),
    "clamp at max": (lambda x: mt.clamp(x, -0.5, 0.75), [0.75], [1]),
    "amax": (lambda a, b: mt.stack([a, b]).amax(), [0.3, 0.3], [0.5, 0.5]),
    "max along a dim": (lambda a, b: mt.stack([a, b]).max(0)[0], [0.3, 0.3], [1, 0]),
    "pow of 0 by 0": (mt.pow, [0.0, 0.0], [0, 0]),
    "pow of 0 by 1/2": (lambda b: mt.pow(0.0, b), [0.5], [0]),
    "pow of 0 by 2": (mt.pow, [0.0, 2.0], [0, 0]),
    "pow of 0 by -1": (mt.pow, [0.0, -1.0], [-np.inf, -np.inf]),
    "pow of 2 by 0": (mt.pow, [2.0, 0.0], [0, LN2]),
    "l1_loss": (lambda a, b: mt.nn.functional.l1_loss(a, b, "sum"), [0.3, 0.3], [0, 0]),
    "binary_cross_entropy, right": (lambda a, b: mt.nn.functional.binary_cross_entropy(a, b), [0.0, 0.0], [0, 100]),
    "binary_cross_entropy, wrong": (lambda a, b: mt.nn.functional.binary_cross_entropy(a, b), [0.0, 1.0], [-1e12, 100]),
    "logsumexp of nothing but -inf": (lambda a, b, c: mt.stack([a, b, c]).reshape((1, 3)).logsumexp(0).sum(),
                                      [-np.inf, 1.0, -np.inf], [0, 1, 0]),
}  # fmt: skip


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", KINKS)
def test_op_gradient_at_kinks(name, dtype, create_graph):
    """Where the registry's samples may not go: the conventions, the same in kernels and rules."""
    function, values, expected = KINKS[name]
    inputs = [mt.tensor(value, dtype=dtype, requires_grad=True) for value in values]
    found = mt.grad(function(*inputs), inputs, mt.tensor(0.7, dtype=dtype), create_graph=create_graph)
    np.testing.assert_allclose([d.item() for d in found], [0.7 * d for d in expected], rtol=8 * np.finfo(dtype).eps)


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize(("logarithm", "expected"), [(-99.5, 99.5), (-100.5, 100)])
def test_binary_cross_entropy_cuts_logarithms_at_minus_100(logarithm, expected, create_graph):
    a, b = mt.tensor(np.exp(logarithm), dtype=mt.float64), mt.tensor(0.5, dtype=mt.float64, requires_grad=True)
    (db,) = mt.grad(mt.nn.functional.binary_cross_entropy(a, b), [b], create_graph=create_graph)
    np.testing.assert_allclose(db.item(), expected, rtol=1e-14)


@pytest.mark.parametrize("create_graph", [False, True])
def test_nan_that_comes_to_a_kink_of_abs_stays_nan(create_graph):
    x = mt.tensor([0.0, 1.0], dtype=mt.float64, requires_grad=True)
    (dx,) = mt.grad(x.abs(), [x], mt.tensor([np.nan, 0.7], dtype=mt.float64), create_graph=create_graph)
    np.testing.assert_array_equal(dx.detach().numpy(), [np.nan, 0.7])


def test_pow_takes_the_exponent_of_each_element(rng):
    """One that is another, first, last or in the middle, among others and before memory that holds them."""
    g, a = rng.standard_normal(5), rng.uniform(1, 2, 5)
    for place in range(5):
        b = np.where(np.arange(6) == place, 3.0, 2.0)[:5]
        x = mt.from_numpy(a).requires_grad_()
        y = mt.pow(x, mt.from_numpy(b))
        np.testing.assert_allclose(y.detach().numpy(), a**b, rtol=1e-14)
        (dx,) = mt.grad(y, [x], mt.from_numpy(g))
        np.testing.assert_allclose(dx.numpy(), g * b * a ** (b - 1), rtol=1e-14)


# Of each op, what backward does not read: inputs 0 or 1, given which of them need a gradient.
UNREAD = [
    (mt.mul, (0,), 0), (mt.mul, (1,), 1), (mt.div, (0,), 0), (mt.matmul, (0,), 0), (mt.matmul, (1,), 1),
    (mt.add, (0, 1), 0), (mt.add, (0, 1), 1), (mt.sub, (0, 1), 0), (mt.sub, (0, 1), 1), (mt.linear, (0,), 0),
    (mt.linear, (1,), 1), (lambda x, _: mt.neg(x), (0,), 0), (lambda x, _: mt.exp(x), (0,), 0),
    (lambda x, _: mt.sum(x), (0,), 0), (lambda x, _: mt.max(x, 0)[0], (0,), 0), (lambda x, _: mt.clone(x), (0,), 0),
    (lambda x, _: mt.softmax(x, 0), (0,), 0), (lambda x, _: mt.dropout(x), (0,), 0),
]  # fmt: skip


@pytest.mark.parametrize(("function", "needing", "unread"), UNREAD)
def test_op_lets_what_backward_does_not_read_be_written(function, needing, unread, rng):
    inputs = [mt.from_numpy(rng.uniform(1, 2, (3, 3))) for _ in range(2)]
    marked = [x.requires_grad_() if i in needing else x for i, x in enumerate(inputs)]
    working = [x * 1 for x in marked]               # not leaves, which may be written
    y = function(*working)
    with mt.no_grad():
        working[unread].fill_(7.0)
    mt.grad(y, [marked[i] for i in needing], mt.from_numpy(rng.standard_normal(y.shape)))


@pytest.mark.parametrize("function", [lambda x: x**2, lambda x: x * x, mt.log, mt.abs, mt.var, mt.sum])
def test_op_lets_its_output_be_written_where_backward_does_not_read_it(function, rng):
    x = mt.from_numpy(rng.uniform(1, 2, (3, 3))).requires_grad_()
    y = function(x)
    with mt.no_grad():
        y.fill_(7.0)
    mt.grad(y, [x], mt.from_numpy(np.asarray(rng.standard_normal(y.shape))))


def test_nan_in_a_gradient_passes_no_check():
    """sqrt'(0) is inf, and times the 0 that where sends there it is nan."""
    sample = Sample(lambda x: mt.where(x > 0, mt.sqrt(x), 0 * x), [np.array([0.0, 1.0])], None)
    assert kernel_error(sample) == rule_error(sample) == single_error(sample) == np.inf


def test_op_without_samples_is_refused():
    class Nothing:
        samples = staticmethod(lambda draw: [])

    with pytest.raises(NotImplementedError, match="Nothing"):
        samples_of(Nothing)
