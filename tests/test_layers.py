"""Layers, losses and penalties as modules, against NumPy formulas; the ops inside have tests of their own."""

import math
from collections import OrderedDict

import numpy as np
import pytest

import microtensor as mt
from microtensor import nn

EPS = np.finfo(np.float64).eps


def normal(rng, *shape):
    return mt.from_numpy(rng.standard_normal(shape))


def close(tensor, expected, operations=64):
    """Equal but for rounding: a bound on the operations behind each element, in units of float64's."""
    expected = np.asarray(expected)
    scale = np.abs(expected).max(initial=1.0)
    np.testing.assert_allclose(tensor.detach().numpy(), expected, rtol=0, atol=operations * EPS * scale)


# -- containers


def test_sequential_is_a_sequence():
    net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    assert len(net) == 3 and list(net) == [net[0], net[1], net[2]]
    assert net[-1] is net[2]
    assert isinstance(net[1:], nn.Sequential)
    assert [name for name, _ in net[1:].named_children()] == ["1", "2"]
    for index in (3, -4):
        with pytest.raises(IndexError, match="out of range for 3 modules"):
            net[index]
    net[1] = nn.ReLU()
    assert [type(module).__name__ for module in net] == ["Linear", "ReLU", "Linear"]
    assert net.append(nn.Sigmoid()) is net
    assert [name for name, _ in net.named_children()] == ["0", "1", "2", "3"]


def test_sequential_takes_names():
    net = nn.Sequential(OrderedDict(hidden=nn.Linear(2, 3), out=nn.Linear(3, 1)))
    assert list(net.state_dict()) == ["hidden.weight", "hidden.bias", "out.weight", "out.bias"]
    assert net.hidden is net[0]


def test_sequential_runs_in_order_and_repeats_shared_modules(rng):
    x, layer = normal(rng, 4, 3), nn.Linear(3, 3, dtype=mt.float64)
    net = nn.Sequential(layer, nn.Tanh(), layer)
    np.testing.assert_array_equal(net(x).detach().numpy(), layer(layer(x).tanh()).detach().numpy())
    assert nn.Sequential()(x) is x
    net.eval()                          # an attribute among the modules changes nothing
    np.testing.assert_array_equal(net(x).detach().numpy(), layer(layer(x).tanh()).detach().numpy())


def test_containers_refuse_what_is_not_a_module():
    for bad in (mt.tanh, None):
        with pytest.raises(TypeError, match=r"'1'.* must be a Module"):
            nn.Sequential(nn.Tanh(), bad)
        with pytest.raises(TypeError, match=r"'0'.* must be a Module"):
            nn.ModuleList([bad])
    net = nn.Sequential(nn.Tanh(), nn.ReLU(), nn.Tanh())[1:]
    with pytest.raises(KeyError, match="'2'"):      # the name is taken by the last module
        net.append(nn.ReLU())
    assert len(net) == 2


def test_module_list_is_part_of_its_owner():
    net = nn.Module()
    net.blocks = nn.ModuleList([nn.Linear(2, 2)])
    net.blocks.append(nn.Linear(2, 3)).extend([nn.Tanh()])
    assert [name for name, _ in net.named_parameters()] == [
        "blocks.0.weight", "blocks.0.bias", "blocks.1.weight", "blocks.1.bias"]
    assert [name for name, _ in net.blocks[1:].named_children()] == ["0", "1"]
    assert len(nn.ModuleList()) == 0


# -- linear and shapes


@pytest.mark.parametrize("leading", [(), (5,), (2, 3)])
@pytest.mark.parametrize("bias", [True, False])
def test_linear_formula(rng, leading, bias):
    layer = nn.Linear(4, 3, bias, dtype=mt.float64)
    x = normal(rng, *leading, 4)
    expected = x.numpy() @ layer.weight.detach().numpy().T + (layer.bias.detach().numpy() if bias else 0)
    close(layer(x), expected)
    assert (layer.bias is not None) == bias


def test_linear_starts_within_its_bound():
    layer = nn.Linear(16, 2000)
    for parameter in (layer.weight, layer.bias):
        values = parameter.detach().numpy()
        assert np.abs(values).max() <= np.float32(0.25)
        # The mean of n uniform numbers on [-b, b] has the standard deviation b / sqrt(3 n).
        assert abs(values.mean()) < 5 * 0.25 / math.sqrt(3 * values.size)
        assert values.max() > 0.24 and values.min() < -0.24
    assert nn.Linear(0, 3)(mt.zeros(2, 0)).tolist() == [[0.0] * 3] * 2


def test_linear_starts_alike_in_both_dtypes():
    mt.manual_seed(3)
    single = nn.Linear(5, 4)
    mt.manual_seed(3)
    double = nn.Linear(5, 4, dtype=mt.float64)
    np.testing.assert_array_equal(single.weight.tolist(), double.float().weight.tolist())


def test_linear_refuses_another_width():
    with pytest.raises(ValueError, match=r"^Linear: .*\b4\b.*\(2, 5\)"):
        nn.Linear(4, 3)(mt.zeros(2, 5))


def test_flatten_keeps_the_batch(rng):
    x = normal(rng, 2, 3, 4, 5)
    assert nn.Flatten()(x).shape == (2, 60)
    assert nn.Flatten(0, 1)(x).shape == (6, 4, 5)
    assert nn.Identity()(x) is x


# -- activations


@pytest.mark.parametrize("layer, formula", [
    (nn.ReLU(), lambda x: np.maximum(x, 0)),
    (nn.LeakyReLU(), lambda x: np.where(x > 0, x, 0.01 * x)),
    (nn.LeakyReLU(0.3), lambda x: np.where(x > 0, x, 0.3 * x)),
    (nn.Sigmoid(), lambda x: 1 / (1 + np.exp(-x))),
    (nn.SiLU(), lambda x: x / (1 + np.exp(-x))),
    (nn.Tanh(), np.tanh),
    (nn.GELU(), lambda x: x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2),
    (nn.GELU("tanh"), lambda x: x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2),
    (nn.ELU(), lambda x: np.where(x > 0, x, np.expm1(x))),
    (nn.ELU(alpha=2.0), lambda x: np.where(x > 0, x, 2 * np.expm1(x))),
    (nn.SELU(), lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x))),
    (nn.Softmax(dim=0), lambda x: np.exp(x) / np.exp(x).sum(0)),
    (nn.LogSoftmax(dim=1), lambda x: x - np.log(np.exp(x).sum(1, keepdims=True))),
], ids=lambda value: repr(value) if isinstance(value, nn.Module) else "NumPy")
def test_activation_formula(rng, layer, formula):
    x = normal(rng, 4, 7)
    close(layer(x), formula(x.numpy()))
    assert list(layer.parameters()) == []


def test_activations_take_no_ignored_arguments():
    for layer in (nn.ReLU, nn.ELU, nn.LeakyReLU, nn.SELU):
        with pytest.raises(TypeError, match="argument"):
            layer(inplace=True)


def test_gelu_refuses_another_approximation():
    with pytest.raises(ValueError, match=r"^GELU: approximate is 'none' or 'tanh', not 'sigmoid'$"):
        nn.GELU("sigmoid")(mt.ones(2))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gelu_and_its_gradient_keep_their_digits_far_to_the_left(dtype, rng):
    """Where 1 + erf(x / sqrt(2)) is 0: there F(x) = d(x) (1/t - 1/t^3 + 3/t^5 - ...), t = -x, d the density."""
    x = np.array([-9.0, -12.0] if dtype == np.float32 else [-9.0, -12.0, -20.0, -30.0, -37.0], dtype)
    g = rng.standard_normal(x.shape).astype(dtype)
    below = np.array([math.erfc(-value / math.sqrt(2)) / 2 for value in x.tolist()])
    density = np.exp(-x.astype(float) ** 2 / 2) / math.sqrt(2 * math.pi)
    leaf = mt.tensor(x, requires_grad=True)
    y = mt.gelu(leaf)
    y.backward(mt.tensor(g))
    # 5 ulp of F, and in double what rounding x^2 / 2 does to the expected numbers, x^2 / 2 times over
    limit = 8 * np.finfo(dtype).eps + x.astype(float) ** 2 * EPS
    for found, expected in ((y.detach(), x * below), (leaf.grad, g * (below + x * density))):
        assert (np.abs(found.numpy() / expected - 1) <= limit).all()


# -- batch norm


def normalised(x, mean, variance, eps):
    shape = (1, -1) + (1,) * (x.ndim - 2)
    return (x - mean.reshape(shape)) / np.sqrt(variance.reshape(shape) + eps)


@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 5)])
@pytest.mark.parametrize("momentum", [0.1, 0.7, None])
def test_batchnorm_statistics(rng, shape, momentum):
    layer = nn.BatchNorm1d(3, eps=1e-3, momentum=momentum, dtype=mt.float64)
    axes = (0,) if len(shape) == 2 else (0, 2)
    mean, variance = np.zeros(3), np.ones(3)
    for batch in range(1, 4):
        x = normal(rng, *shape)
        close(layer(x), normalised(x.numpy(), x.numpy().mean(axes), x.numpy().var(axes), 1e-3))
        share = 1 / batch if momentum is None else momentum
        mean = (1 - share) * mean + share * x.numpy().mean(axes)
        variance = (1 - share) * variance + share * x.numpy().var(axes, ddof=1)
        close(layer.running_mean, mean)
        close(layer.running_var, variance)
        assert layer.num_batches_tracked.item() == batch
    layer.eval()
    close(layer(x), normalised(x.numpy(), mean, variance, 1e-3))
    assert layer.num_batches_tracked.item() == 3


def test_batchnorm_scales_and_shifts(rng):
    layer = nn.BatchNorm1d(3, dtype=mt.float64)
    nn.init.uniform_(layer.weight)
    nn.init.normal_(layer.bias)
    x = normal(rng, 6, 3)
    expected = normalised(x.numpy(), x.numpy().mean(0), x.numpy().var(0), 1e-5)
    close(layer(x), expected * layer.weight.detach().numpy() + layer.bias.detach().numpy())
    layer.reset_parameters()
    assert layer.weight.tolist() == layer.running_var.tolist() == [1.0] * 3
    assert layer.bias.tolist() == layer.running_mean.tolist() == [0.0] * 3
    assert layer.num_batches_tracked.item() == 0


def test_batchnorm_without_parameters_or_statistics(rng):
    layer = nn.BatchNorm1d(3, affine=False, track_running_stats=False, dtype=mt.float64)
    assert list(layer.state_dict()) == []
    x = normal(rng, 6, 3)
    expected = normalised(x.numpy(), x.numpy().mean(0), x.numpy().var(0), 1e-5)
    close(layer(x), expected)
    close(layer.eval()(x), expected)


def test_batchnorm_state():
    assert list(nn.BatchNorm1d(3).state_dict()) == [
        "weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    layer = nn.BatchNorm1d(3).double()
    assert layer.running_var.dtype == mt.float64 and layer.num_batches_tracked.dtype == mt.int64


@pytest.mark.parametrize("shape, message", [
    ((1, 3), r"^BatchNorm1d '0': .*more than one value per channel.*\(1, 3\)"),
    ((1, 3, 1), r"more than one value per channel.*\(1, 3, 1\)"),
    ((4, 5), r"expected shape \(N, 3\) or \(N, 3, L\), got \(4, 5\)"),
    ((4,), r"got \(4,\)"),
    ((4, 3, 2, 2), r"got \(4, 3, 2, 2\)"),
])
def test_batchnorm_bad_input_changes_nothing(shape, message):
    net = nn.Sequential(nn.BatchNorm1d(3))
    with pytest.raises(ValueError, match=message):
        net(mt.ones(*shape))
    assert net[0].running_mean.tolist() == [0.0] * 3 and net[0].running_var.tolist() == [1.0] * 3
    assert net[0].num_batches_tracked.item() == 0


def test_batchnorm_of_one_row_is_fine_in_eval():
    assert nn.BatchNorm1d(3).eval()(mt.ones(1, 3)).shape == (1, 3)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("shape", [(6, 3), (67, 1100), (2050, 33), (5, 3, 2100), (3, 40, 1024), (30_000, 3), (7, 5, 1)])
def test_batchnorm_of_large_batches(shape, threads, rng):
    """Sizes around the edges of strips and threads' shares; forward and backward, far from zero."""
    axes = (0,) if len(shape) == 2 else (0, 2)
    channels, wide = shape[1], (1, -1) + (1,) * (len(shape) - 2)
    x, g = 1e3 + rng.standard_normal(shape), rng.standard_normal(shape)
    w, b = rng.standard_normal(channels), rng.standard_normal(channels)
    before = mt.get_num_threads()
    mt.set_num_threads(threads)
    try:
        tensors = [mt.tensor(array, requires_grad=True) for array in (x, w, b)]
        y = mt.batch_norm(tensors[0], None, None, *tensors[1:], training=True)
        y.backward(mt.tensor(g))
    finally:
        mt.set_num_threads(before)
    x = x.astype(np.longdouble)
    r = 1 / np.sqrt(x.var(axes, keepdims=True) + 1e-5)
    h = (x - x.mean(axes, keepdims=True)) * r
    gh = (g * h).mean(axes, keepdims=True)
    dx = w.reshape(wide) * r * (g - g.mean(axes, keepdims=True) - h * gh)
    n = x.size // channels
    # x - mean is right to eps 1e3, and with it h to a few thousand eps; gradients are sums of n products below 25
    for actual, expected, size in (
        (y.detach(), h * w.reshape(wide) + b.reshape(wide), 8e3), (tensors[0].grad, dx, 32e3),
        (tensors[1].grad, (g * h).sum(axes), 8e3 * n), (tensors[2].grad, g.sum(axes), 8 * n),
    ):
        np.testing.assert_allclose(actual.numpy(), expected.astype(float), rtol=0, atol=size * EPS * max(1, r.max()))


@pytest.mark.parametrize("shape", [(64, 3), (16, 3, 4)])
def test_batchnorm_gradient_in_float32_far_from_zero(shape, rng):
    """Where the mean, rounded to float32, is further from the mean than the gradient is from 0."""
    x = (1e3 + rng.standard_normal(shape)).astype(np.float32)
    w, b, g = np.ones(3, np.float32), np.zeros(3, np.float32), rng.standard_normal(shape).astype(np.float32) / 1e4
    found = []
    for dtype in (np.float32, np.float64):
        leaf = mt.tensor(x.astype(dtype), requires_grad=True)
        y = mt.batch_norm(leaf, None, None, mt.tensor(w.astype(dtype)), mt.tensor(b.astype(dtype)), training=True)
        y.backward(mt.tensor(g.astype(dtype)))
        found.append(leaf.grad.numpy())
    # The sums are taken in double, and x - mean is exact to a rounding of the difference.
    np.testing.assert_allclose(*found, rtol=0, atol=16 * np.finfo(np.float32).eps * np.abs(g).max() * 5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(3, 600), (2, 600, 3)])
def test_batchnorm_of_many_channels_whose_input_needs_no_gradient(shape, dtype, rng):
    x, g = rng.standard_normal(shape).astype(dtype), rng.standard_normal(shape).astype(dtype)
    found = []
    for needed in (True, False):
        leaves = [mt.tensor(array.astype(dtype), requires_grad=True) for array in (np.ones(600), np.zeros(600))]
        mt.batch_norm(mt.tensor(x, requires_grad=needed), None, None, *leaves, training=True).backward(mt.tensor(g))
        found.append([leaf.grad.numpy() for leaf in leaves])
    np.testing.assert_array_equal(*found)


# -- layer norm


def rows_normalised(x, dims, eps):
    axes = tuple(range(x.ndim - dims, x.ndim))
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)


@pytest.mark.parametrize("shape, row", [
    ((4, 5), 5), ((4, 5), (np.int64(5),)), ((2, 3, 5), [3, 5]), ((5,), 5), ((2, 3, 1), 1)])
def test_layernorm_formula(rng, shape, row):
    layer = nn.LayerNorm(row, eps=1e-3, dtype=mt.float64)
    x, dims = normal(rng, *shape), len(layer.normalized_shape)
    h = rows_normalised(x.numpy(), dims, 1e-3)
    close(layer(x), h)                                                          # at first weight 1 and bias 0
    close(layer.eval()(x), h)
    nn.init.uniform_(layer.weight)
    nn.init.normal_(layer.bias)
    close(layer(x), h * layer.weight.detach().numpy() + layer.bias.detach().numpy())
    layer.reset_parameters()
    close(layer(x), h)


def test_layernorm_parameters():
    assert repr(nn.LayerNorm(3)) == "LayerNorm((3,), eps=1e-05, elementwise_affine=True, bias=True)"
    assert {name: x.shape for name, x in nn.LayerNorm((3, 2)).state_dict().items()} == {
        "weight": (3, 2), "bias": (3, 2)}
    assert list(nn.LayerNorm(3, bias=False).state_dict()) == ["weight"]
    assert list(nn.LayerNorm(3, elementwise_affine=False).state_dict()) == []


def test_layernorm_without_parameters(rng):
    x = normal(rng, 4, 5)
    expected = rows_normalised(x.numpy(), 1, 1e-5)
    close(nn.LayerNorm(5, elementwise_affine=False)(x), expected)
    close(nn.LayerNorm(5, bias=False, dtype=mt.float64)(x), expected)
    w = normal(rng, 5)
    close(mt.layer_norm(x, (5,), bias=w), expected + w.numpy())


@pytest.mark.parametrize("shape, row, message", [
    ((2, 4), 3, r"^LayerNorm '0': expected input with last dims \(3,\), the normalized_shape, got \(2, 4\)"),
    ((3,), (2, 3), r"last dims \(2, 3\).*got \(3,\)"),
    ((), 3, r"last dims \(3,\).*got \(\)"),
])
def test_layernorm_refuses_another_shape(shape, row, message):
    with pytest.raises(ValueError, match=message):
        nn.Sequential(nn.LayerNorm(row))(mt.ones(shape))


def test_layer_norm_refuses_what_does_not_fit():
    x = mt.ones(2, 3)
    for name in ("weight", "bias"):
        with pytest.raises(ValueError, match=rf"layer_norm: expected {name} of shape \(3,\).*got \(2,\)"):
            mt.layer_norm(x, 3, **{name: mt.ones(2)})
        with pytest.raises(TypeError, match=f"layer_norm: expected {name} of the input's dtype float32, got float64"):
            mt.layer_norm(x, 3, **{name: mt.ones(3, dtype=mt.float64)})
    with pytest.raises(TypeError, match="float input, got int64"):
        mt.layer_norm(mt.ones(2, 3).long(), 3)
    for use in (mt.layer_norm, lambda _, shape: nn.LayerNorm(shape)):
        with pytest.raises(ValueError, match="at least one dimension"):
            use(x, ())
        for shape in (3.0, (3.0,), None, "3"):
            with pytest.raises(TypeError, match="an int or a tuple of ints"):
                use(x, shape)


@pytest.mark.parametrize("shape, row", [((0, 3), (3,)), ((3, 0), (0,)), ((0, 0), (0, 0)), ((2, 0, 3), (3,))])
def test_layer_norm_of_nothing(shape, row):
    tensors = [mt.ones(s, requires_grad=True) for s in (shape, row, row)]
    y = mt.layer_norm(tensors[0], row, *tensors[1:])
    assert y.shape == shape
    y.backward(mt.ones(shape))
    assert [x.grad.shape for x in tensors] == [shape, row, row]
    assert not tensors[1].grad.numpy().any() and not tensors[2].grad.numpy().any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(4, 3), (67, 1100), (5000, 17), (3, 40_000), (30_000, 3), (300, 257), (100_000, 1)])
def test_layer_norm_of_large_batches(shape, dtype, rng):
    """Sizes around the edges of blocks and threads' shares, far from zero; the same bits on any number of threads."""
    x, g = (10 + rng.standard_normal(shape)).astype(dtype), rng.standard_normal(shape).astype(dtype)
    w, b = rng.standard_normal(shape[1]).astype(dtype), rng.standard_normal(shape[1]).astype(dtype)
    found, before = [], mt.get_num_threads()
    for threads in (1, 2, 3):
        mt.set_num_threads(threads)
        try:
            tensors = [mt.tensor(array, requires_grad=True) for array in (x, w, b)]
            y = mt.layer_norm(tensors[0], shape[1], *tensors[1:])
            y.backward(mt.tensor(g))
        finally:
            mt.set_num_threads(before)
        found.append([y.detach().numpy(), *(tensor.grad.numpy() for tensor in tensors)])
    for one, *others in zip(*found, strict=True):
        for other in others:
            np.testing.assert_array_equal(one, other)
    long = x.astype(np.longdouble)
    r = 1 / np.sqrt(long.var(1, keepdims=True) + 1e-5)
    h, u = (long - long.mean(1, keepdims=True)) * r, g * w.astype(np.longdouble)
    dx = r * (u - u.mean(1, keepdims=True) - h * (u * h).mean(1, keepdims=True))
    # The mean is found in double, and x - mean in x's own type: right to 16 eps, and so h to 16 eps r. The parameters'
    # gradients are sums over the rows, in double, of products that were rounded before.
    eps, size = np.finfo(dtype).eps, max(1, float(r.max()))
    for actual, expected, limit in zip(found[0], (h * w + b, dx, (g * h).sum(0), g.sum(0)), (
        64 * size * np.abs(w).max(), 256 * size**2 * np.abs(u).max(), 64 * size * np.abs(g).sum(0).max(),
        2 * np.abs(g).sum(0).max(),
    ), strict=True):
        np.testing.assert_allclose(actual, expected.astype(float), rtol=0, atol=float(limit) * eps)


def test_layer_norm_whose_weights_need_no_gradient(rng):
    x, w, g = normal(rng, 4, 5), normal(rng, 5), normal(rng, 4, 5)
    found = []
    for needed in (True, False):
        leaf, weight = x.clone().requires_grad_(), w.clone().requires_grad_(needed)
        mt.layer_norm(leaf, 5, weight).backward(g)
        found.append(leaf.grad.numpy())
        assert (weight.grad is not None) == needed
    np.testing.assert_array_equal(*found)
    weight = w.clone().requires_grad_()
    mt.layer_norm(x, 5, weight).backward(g)
    close(weight.grad, (g.numpy() * rows_normalised(x.numpy(), 1, 1e-5)).sum(0))


# -- dropout


def test_dropout_keeps_the_mean_and_its_seed():
    x = mt.ones(400, 500)
    layer = nn.Dropout(0.3, generator=mt.Generator(5))
    y = layer(x).numpy()
    kept = y != 0
    np.testing.assert_array_equal(y[kept], np.float32(1 / 0.7))
    # The share kept of n has the standard deviation sqrt(p (1-p) / n).
    assert abs(kept.mean() - 0.7) < 5 * math.sqrt(0.3 * 0.7 / kept.size)
    np.testing.assert_array_equal(nn.Dropout(0.3, generator=mt.Generator(5))(x).numpy(), y)
    assert (layer(x).numpy() != y).any()


def test_dropout_drops_by_the_hash_of_element_and_key():
    """Wellons' lowbias32, two rounds with a half of the key each: for one seed, the same elements on every machine."""
    key, i = mt.Generator(5).bits(), np.arange(1000, dtype=np.uint32)

    def mixed(i):
        for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
            i = (i ^ (i >> np.uint32(shift))) * np.uint32(factor)
        return i ^ (i >> np.uint32(16))

    i = mixed(mixed(i ^ np.uint32(key & 0xFFFFFFFF)) + np.uint32(key >> 32))
    kept = mt.dropout(mt.ones(1000), 0.3, generator=mt.Generator(5)).numpy() != 0
    np.testing.assert_array_equal(kept, i >= np.uint32(0.3 * 2**32))


def test_dropout_does_nothing_in_eval_and_everything_at_one(rng):
    x = normal(rng, 5)
    np.testing.assert_array_equal(nn.Dropout(0.5).eval()(x).numpy(), x.numpy())
    np.testing.assert_array_equal(nn.Dropout(0.0)(x).numpy(), x.numpy())
    assert nn.Dropout(1.0)(x).tolist() == [0.0] * 5


@pytest.mark.parametrize("layer", [nn.Dropout, nn.AlphaDropout])
@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_dropout_refuses_other_than_probabilities(p, layer):
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        layer(p)
    with pytest.raises(ValueError, match="dropout: p is a probability from 0 to 1"):
        (mt.dropout if layer is nn.Dropout else mt.alpha_dropout)(mt.ones(2), p, training=True)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_alpha_dropout_formula(p, rng):
    """The formula of Klambauer et al., with the elements that dropout drops from the same seed; and its gradient."""
    x, g = normal(rng, 40, 50).requires_grad_(), normal(rng, 40, 50)
    y = nn.AlphaDropout(p, generator=mt.Generator(5))(x)
    y.backward(g)
    m = mt.dropout(mt.ones(40, 50), p, generator=mt.Generator(5)).numpy() != 0
    c = -mt.selu(mt.tensor(-1e3, dtype=mt.float64)).item()
    a = ((1 - p) * (1 + p * c * c)) ** -0.5
    close(y, a * np.where(m, x.detach().numpy(), -c) + a * p * c)
    close(x.grad, a * m * g.numpy())


def test_alpha_dropout_keeps_mean_and_variance(rng):
    x = mt.from_numpy(rng.standard_normal(200_000).astype(np.float32))
    y = nn.AlphaDropout(0.3, generator=mt.Generator(5))(x).numpy()
    # y is bounded below and no wider than x: five standard deviations of a mean and of a variance of so many numbers.
    assert abs(y.mean()) < 5 / math.sqrt(y.size) and abs(y.var() - 1) < 5 * math.sqrt(2 / y.size)


def test_alpha_dropout_does_nothing_in_eval_and_everything_at_one(rng):
    x = normal(rng, 5)
    assert nn.AlphaDropout(0.5).eval()(x) is x and nn.functional.alpha_dropout(x) is x
    np.testing.assert_array_equal(nn.AlphaDropout(0.0)(x).numpy(), x.numpy())
    assert nn.AlphaDropout(1.0)(x).tolist() == [0.0] * 5


# -- embedding


@pytest.mark.parametrize("dtype", ["int64", "int32", "int8", "uint8", "uint64"])
@pytest.mark.parametrize("shape", [(), (5,), (2, 3), (0,), (4, 0, 2), (1,) * 40])
def test_embedding_picks_rows_and_adds_up_their_gradients(shape, dtype, rng):
    table, index = rng.standard_normal((4, 3)), np.asarray(rng.integers(0, 4, shape), dtype)
    weight = mt.tensor(table, requires_grad=True)
    y = mt.embedding(mt.from_numpy(index), weight)
    np.testing.assert_array_equal(y.detach().numpy(), table[index])
    g = rng.standard_normal((*shape, 3))
    y.backward(mt.from_numpy(g))
    expected = np.zeros((4, 3))
    for row, upstream in zip(index.reshape(-1), g.reshape(-1, 3), strict=True):
        expected[row] += upstream
    close(weight.grad, expected)


@pytest.mark.parametrize("padding", [2, -2])
def test_embedding_gives_its_padding_no_gradient(padding, rng):
    layer = nn.Embedding(4, 3, padding_idx=padding, dtype=mt.float64)
    assert layer.padding_idx == 2 and repr(layer) == "Embedding(4, 3, padding_idx=2)"
    assert layer.weight[2].tolist() == [0.0] * 3 and layer.weight[1].tolist() != [0.0] * 3
    with mt.no_grad():
        layer.weight[2] = 7.0                               # what is there is read all the same
    y, g = layer(mt.tensor([2, 0, 2, 3, 0])), normal(rng, 5, 3)
    assert y[0].tolist() == [7.0] * 3
    y.backward(g)
    close(layer.weight.grad, np.stack([g.numpy()[1] + g.numpy()[4], np.zeros(3), np.zeros(3), g.numpy()[3]]))
    layer.reset_parameters()
    assert layer.weight[2].tolist() == [0.0] * 3


def test_embedding_starts_standard_normal():
    weight = nn.Embedding(1000, 50).weight.detach().numpy()
    # The standard deviations of a mean and of a variance of n normal numbers are 1 / sqrt(n) and sqrt(2 / n).
    assert abs(weight.mean()) < 5 / math.sqrt(weight.size) and abs(weight.var() - 1) < 5 * math.sqrt(2 / weight.size)


@pytest.mark.parametrize("index", [4, -1, 2**62])
def test_embedding_refuses_an_index_out_of_range(index):
    with pytest.raises(IndexError, match=rf"^Embedding: index {index} is out of range .*\(4, 3\).* 0 to 3$"):
        nn.Embedding(4, 3)(mt.tensor([0, index]))
    with pytest.raises(IndexError, match="index 0 is out of range"):
        nn.Embedding(0, 3)(mt.tensor(0))


def test_embedding_refuses_what_does_not_fit():
    table = mt.ones(4, 3)
    for indices in (mt.ones(2), mt.tensor([True, False])):
        with pytest.raises(TypeError, match=rf"integers, got an input of dtype {indices.dtype}: use input\.long\(\)"):
            mt.embedding(indices, table)
    with pytest.raises(ValueError, match=r"\(num_embeddings, embedding_dim\), got shape \(4,\)"):
        mt.embedding(mt.tensor([1]), mt.ones(4))
    for padding in (4, -5, 10**30):
        for use in (lambda p=padding: nn.Embedding(4, 3, p), lambda p=padding: mt.embedding(mt.tensor([1]), table, p)):
            with pytest.raises(ValueError, match=f"padding_idx {padding} is out of range for 4 rows"):
                use()


def test_embedding_copies_its_indices(rng):
    index, weight = np.array([1, 1, 3]), mt.ones(4, 2, requires_grad=True)
    y = mt.embedding(mt.from_numpy(index), weight)
    index[:] = 0
    y.backward(mt.ones(3, 2))
    assert weight.grad.tolist() == [[0, 0], [2, 2], [0, 0], [1, 1]]


# -- losses


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


REDUCTIONS = {"mean": np.mean, "sum": np.sum, "none": lambda loss: loss}


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_elementwise_loss_formulas(rng, reduction):
    x, t, weight = normal(rng, 4, 3), mt.from_numpy(rng.random((4, 3))), mt.from_numpy(rng.random((4, 3)))
    probability = mt.from_numpy(sigmoid(x.numpy()))
    xs, ts, ps, ws = (tensor.numpy() for tensor in (x, t, probability, weight))
    entropy = -(ts * np.log(ps) + (1 - ts) * np.log(1 - ps))
    favoured = -(2 * ts * np.log(ps) + (1 - ts) * np.log(1 - ps))
    reduce = REDUCTIONS[reduction]
    close(nn.MSELoss(reduction)(x, t), reduce((xs - ts) ** 2))
    close(nn.L1Loss(reduction=reduction)(x, t), reduce(np.abs(xs - ts)))
    d = np.abs(xs - ts)
    huber = np.where(d < 0.7, d * d / 2, 0.7 * (d - 0.35))
    close(nn.HuberLoss(reduction, 0.7)(x, t), reduce(huber))
    close(nn.SmoothL1Loss(reduction, 0.7)(x, t), reduce(huber / 0.7))
    close(nn.BCELoss(reduction=reduction)(probability, t), reduce(entropy))
    close(nn.BCELoss(weight, reduction)(probability, t), reduce(ws * entropy))
    close(nn.BCEWithLogitsLoss(reduction=reduction)(x, t), reduce(entropy))
    close(nn.BCEWithLogitsLoss(weight, reduction)(x, t), reduce(ws * entropy))
    double = mt.full((3,), 2.0, dtype=mt.float64)
    close(nn.BCEWithLogitsLoss(reduction=reduction, pos_weight=double)(x, t), reduce(favoured))


def test_class_loss_formulas(rng):
    x = normal(rng, 5, 3)
    target, weight = mt.tensor([2, 0, 1, 1, 2]), mt.from_numpy(rng.random(3) + 0.5)
    log_p = x.numpy() - np.log(np.exp(x.numpy()).sum(1, keepdims=True))
    loss, w = -log_p[np.arange(5), target.numpy()], weight.numpy()[target.numpy()]
    close(nn.CrossEntropyLoss()(x, target), loss.mean())
    close(nn.CrossEntropyLoss(reduction="none")(x, target), loss)
    close(nn.CrossEntropyLoss(weight)(x, target), (w * loss).sum() / w.sum())
    counted = target.numpy() != 1
    close(nn.CrossEntropyLoss(ignore_index=1)(x, target), loss[counted].mean())
    close(nn.CrossEntropyLoss(label_smoothing=0.3)(x, target), (0.7 * loss - 0.3 * log_p.mean(1)).mean())
    close(nn.NLLLoss()(mt.from_numpy(log_p), target), loss.mean())
    close(nn.NLLLoss(weight, reduction="sum")(mt.from_numpy(log_p), target), (w * loss).sum())
    close(nn.NLLLoss(ignore_index=1)(mt.from_numpy(log_p), target), loss[counted].mean())


def test_loss_weights_are_part_of_the_state():
    loss = nn.CrossEntropyLoss(mt.ones(3))
    assert list(loss.state_dict()) == ["weight"] and list(loss.parameters()) == []
    assert loss.double().weight.dtype == mt.float64
    assert list(nn.BCEWithLogitsLoss(pos_weight=mt.ones(1)).state_dict()) == ["pos_weight"]


@pytest.mark.parametrize("loss", [
    nn.MSELoss(), nn.L1Loss(), nn.HuberLoss(), nn.SmoothL1Loss(), nn.BCELoss(), nn.BCEWithLogitsLoss()], ids=repr)
def test_losses_refuse_to_broadcast(loss):
    with pytest.raises(ValueError, match=r"Loss: .*\(4, 1\).*\(4,\)"):
        loss(mt.full((4, 1), 0.5), mt.full((4,), 0.5))


@pytest.mark.parametrize("label", [3, -1])
def test_labels_out_of_range_are_refused(label):
    with pytest.raises(IndexError, match=f"^CrossEntropyLoss: .*{label}"):
        nn.CrossEntropyLoss()(mt.zeros(2, 3), mt.tensor([0, label]))


# -- functional


def test_functional_names_are_the_ops():
    assert {"cross_entropy", "linear", "one_hot", "relu"} <= set(nn.functional.__all__)
    for name in nn.functional.__all__:
        assert name == "one_hot" or getattr(nn.functional, name) is getattr(mt.ops, name)


def test_one_hot():
    assert nn.functional.one_hot(mt.tensor([[1], [0]])).tolist() == [[[0, 1]], [[1, 0]]]
    assert nn.functional.one_hot(mt.tensor(1), 3).tolist() == [0, 1, 0]
    assert nn.functional.one_hot(mt.zeros(0, dtype=mt.int64), 3).shape == (0, 3)
    for bad, classes, error in (
        (mt.tensor([3]), 3, ValueError),
        (mt.tensor([-1]), -1, ValueError),
        (mt.zeros(0, dtype=mt.int64), -1, ValueError),
        (mt.tensor([1.0]), -1, TypeError),
    ):
        with pytest.raises(error):
            nn.functional.one_hot(bad, classes)


# -- penalties


def test_penalty_values_and_gradients(rng):
    a = mt.from_numpy(rng.standard_normal((3, 2))).requires_grad_()
    b = mt.from_numpy(rng.standard_normal(4)).requires_grad_()
    values = np.concatenate([a.detach().numpy().ravel(), b.detach().numpy()])
    for penalty, value, derivative in (
        (nn.l1_penalty, 0.3 * np.abs(values).sum(), lambda x: 0.3 * np.sign(x)),
        (nn.l2_penalty, 0.15 * (values**2).sum(), lambda x: 0.3 * x),
    ):
        loss = penalty([a, b], 0.3)
        assert loss.shape == ()
        close(loss, value)
        for tensor, gradient in zip((a, b), mt.grad(loss, [a, b]), strict=True):
            close(gradient, derivative(tensor.detach().numpy()))


def test_penalty_is_differentiable_twice(rng):
    x = mt.from_numpy(rng.standard_normal(4)).requires_grad_()
    u = normal(rng, 4)
    first, = mt.grad(nn.l2_penalty(x, 0.3) ** 2, x, create_graph=True)
    second, = mt.grad((first * u).sum(), x)
    # P = w/2 x'x:  d(P^2) = 2 P w x,  so its Jacobian times u is 2 w^2 x (x'u) + 2 P w u
    values, direction = x.detach().numpy(), u.numpy()
    penalty = 0.15 * values @ values
    close(second, 2 * 0.09 * values * (values @ direction) + 2 * penalty * 0.3 * direction)


def test_penalty_takes_modules_tensors_and_iterables():
    net = nn.Linear(3, 2)
    value = nn.l2_penalty(net, 0.1).item()
    assert nn.l2_penalty(net.parameters(), 0.1).item() == value
    assert nn.l2_penalty([*net.parameters()], 0.1).item() == value
    assert nn.l1_penalty(net.bias, 1.0).item() == pytest.approx(np.abs(net.bias.tolist()).sum())


def test_penalty_refuses_what_would_be_silent():
    used = nn.Linear(3, 2).parameters()
    list(used)
    with pytest.raises(ValueError, match="no parameters"):
        nn.l1_penalty(used, 0.1)
    with pytest.raises(ValueError, match="at least 0"):
        nn.l2_penalty(nn.Linear(3, 2), -0.1)
    with pytest.raises(TypeError, match="float"):
        nn.l2_penalty([1.0], 0.1)


# -- mlp ---------------------------------------------------------------------------------------------------------------


def test_mlp_takes_an_activation_and_a_dropout_for_each_layer():
    net = nn.mlp((4, 8, 6, 2), ["tanh", "silu"], batch_norm=True, dropout=[0.0, 0.25])
    kinds = [nn.Linear, nn.BatchNorm1d, nn.Tanh, nn.Linear, nn.BatchNorm1d, nn.SiLU, nn.Dropout, nn.Linear]
    assert list(map(type, net)) == kinds and net[6].p == 0.25
    assert net[0].bias is None and net[7].bias is not None and net(mt.ones(3, 4)).shape == (3, 2)
    assert [type(layer) for layer in nn.mlp((4, 2))] == [nn.Linear]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (((4,),), ValueError, r"widths of the input and of the output at least, got \[4\]"),
        (((4, 0, 2),), ValueError, "a width must be at least 1, got 0"),
        (((4, 2.0),), TypeError, "a width must be an int"),
        (((4, 8, 2), "swish"), ValueError, "no activation 'swish'; there are relu, "),
        (((4, 8, 8, 2), ["relu"]), ValueError, "activation has 1 values for 2 hidden layers: give one for all"),
        (((4, 8, 2), "relu", 3), TypeError, "batch_norm must be True or False, got 3"),
        (((4, 8, 2), "relu", False, 1.0), ValueError, "dropout is a probability of at least 0 and below 1, got 1.0"),
        (((4, 8, 2), "relu", False, [0.1, 0.1]), ValueError, "dropout has 2 values for 1 hidden layers"),
    ],
)
def test_mlp_refuses(arguments, error, message):
    with pytest.raises(error, match=message):
        nn.mlp(*arguments)
