"""The losses: values and gradients against their formulas in NumPy, extreme scores, and what they refuse."""

import re

import numpy as np
import pytest

import microtensor as mt

PAIRS = (mt.mse_loss, mt.l1_loss, mt.huber_loss, mt.smooth_l1_loss, mt.binary_cross_entropy,
         mt.binary_cross_entropy_with_logits)
REDUCTIONS = ("mean", "sum", "none")
EPS = 2.0**-52


def leaf(array):
    return mt.tensor(array, requires_grad=True)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def log_softmax(x, axis):
    shifted = x - x.max(axis=axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


def reduced(losses, reduction):
    return {"mean": np.mean, "sum": np.sum, "none": np.asarray}[reduction](losses)


def assert_close(actual, expected, terms=64):
    """Equal up to some dozens of roundings of numbers of the largest size at hand."""
    actual = actual.detach().numpy()
    assert actual.shape == np.shape(expected)
    np.testing.assert_allclose(actual, expected, rtol=terms * EPS, atol=terms * EPS * np.abs(expected).max(initial=1))


def upstream(rng, y):
    return np.asarray(rng.standard_normal(y.shape))


def spread(g, reduction, count):
    """dL/d(each loss) for dL/dy = g of the reduced loss."""
    return g / count if reduction == "mean" else g


# -- losses of two tensors of one shape ------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(), (5,), (3, 4), (2, 3, 4)])
def test_mse_and_l1_against_numpy(shape, reduction, rng):
    a, b = rng.standard_normal((2, *shape))
    for loss, formula, slope in (
        (mt.mse_loss, (a - b) ** 2, 2 * (a - b)), (mt.l1_loss, np.abs(a - b), np.sign(a - b))
    ):
        x, t = leaf(a), leaf(b)
        y = loss(x, t, reduction=reduction)
        assert_close(y, reduced(formula, reduction))
        g = upstream(rng, y)
        y.backward(mt.tensor(g))
        assert_close(x.grad, spread(g, reduction, a.size) * slope)
        assert_close(t.grad, -spread(g, reduction, a.size) * slope)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("limit", [0.1, 1.0, 3.0])
@pytest.mark.parametrize("shape", [(), (5,), (3, 4), (2, 3, 4)])
def test_huber_and_smooth_l1_against_numpy(shape, limit, reduction, rng):
    a, b = rng.standard_normal((2, *shape))
    d = a - b
    huber = np.where(np.abs(d) < limit, d * d / 2, limit * (np.abs(d) - limit / 2))
    for loss, scale in ((mt.huber_loss, 1), (mt.smooth_l1_loss, 1 / limit)):
        x, t = leaf(a), leaf(b)
        y = loss(x, t, reduction, limit)
        assert_close(y, reduced(huber * scale, reduction))
        g = upstream(rng, y)
        y.backward(mt.tensor(g))
        slope = np.clip(d, -limit, limit) * scale
        assert_close(x.grad, spread(g, reduction, a.size) * slope)
        assert_close(t.grad, -spread(g, reduction, a.size) * slope)


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_huber_and_smooth_l1_where_their_branches_meet(dtype, create_graph):
    d, g = np.array([-2, -0.5, 0, 0.5, 2, np.nan], dtype), np.array([2, 3, 5, 7, 11, 13], dtype)
    for loss, slopes in (
        (mt.huber_loss, [-0.5, -0.5, 0, 0.5, 0.5, np.nan]), (mt.smooth_l1_loss, [-1, -1, 0, 1, 1, np.nan])
    ):
        x = leaf(d)
        y = loss(x, mt.zeros(6, dtype=x.dtype), "none", 0.5)
        (dx,) = mt.grad(y, x, mt.tensor(g), create_graph=create_graph)
        np.testing.assert_array_equal(dx.detach().numpy(), g * np.array(slopes, dtype))


def test_smooth_l1_with_beta_0_is_l1(rng):
    a, b = rng.standard_normal((2, 7))
    a[3] = b[3]
    found = []
    for loss in (lambda x, t: mt.smooth_l1_loss(x, t, "sum", 0.0), lambda x, t: mt.l1_loss(x, t, "sum")):
        x = leaf(a)
        y = loss(x, mt.tensor(b))
        y.backward(mt.tensor(0.7, dtype=mt.float64))
        found.append([y.item(), *x.grad.tolist()])
    assert found[0] == found[1] and found[0][4] == 0


@pytest.mark.parametrize("limit", [0.0, -1.0, np.nan])
def test_huber_and_smooth_l1_refuse_what_is_no_limit(limit):
    x = mt.ones(3)
    with pytest.raises(ValueError, match=f"huber_loss: delta must be positive, got {limit}"):
        mt.huber_loss(x, x, delta=limit)
    if limit != 0:
        with pytest.raises(ValueError, match=f"smooth_l1_loss: beta must be at least 0, got {limit}"):
            mt.smooth_l1_loss(x, x, beta=limit)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(), (5,), (3, 4)])
def test_binary_cross_entropy_against_numpy(shape, weighted, reduction, rng):
    p, t = rng.uniform(0.05, 0.95, (2, *shape))
    w = rng.uniform(0.5, 2, shape[-1:]) if weighted else np.ones(())
    x, target = leaf(p), leaf(t)
    y = mt.binary_cross_entropy(x, target, weight=mt.tensor(w) if weighted else None, reduction=reduction)
    assert_close(y, reduced(-w * (t * np.log(p) + (1 - t) * np.log(1 - p)), reduction))
    g = upstream(rng, y)
    y.backward(mt.tensor(g))
    each = spread(g, reduction, p.size) * w
    assert_close(x.grad, each * (p - t) / (p * (1 - p)))
    assert_close(target.grad, each * (np.log(1 - p) - np.log(p)))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("shape", [(), (5,), (3, 4)])
def test_binary_cross_entropy_with_logits_against_numpy(shape, positive, weighted, reduction, rng):
    z, t = rng.normal(0, 3, shape), rng.uniform(0, 1, shape)
    w = rng.uniform(0.5, 2, shape[-1:]) if weighted else np.ones(())
    v = rng.uniform(0.5, 2, shape[-1:]) if positive else np.ones(())
    x, target = leaf(z), leaf(t)
    y = mt.binary_cross_entropy_with_logits(
        x, target, weight=mt.tensor(w) if weighted else None, reduction=reduction,
        pos_weight=mt.tensor(v) if positive else None,
    )
    of_ones, of_zeros = np.log1p(np.exp(-z)), np.log1p(np.exp(z))
    assert_close(y, reduced(w * (v * t * of_ones + (1 - t) * of_zeros), reduction))
    g = upstream(rng, y)
    y.backward(mt.tensor(g))
    each = spread(g, reduction, z.size) * w
    assert_close(x.grad, each * (v * t * (sigmoid(z) - 1) + (1 - t) * sigmoid(z)))
    assert_close(target.grad, each * (v * of_ones - of_zeros))


def test_logits_and_probabilities_agree(rng):
    z, t = mt.tensor(rng.normal(0, 3, 50)), mt.tensor(rng.uniform(0, 1, 50))
    assert_close(mt.binary_cross_entropy(z.sigmoid(), t), mt.binary_cross_entropy_with_logits(z, t).numpy(), 1024)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_logits_of_any_size(dtype):
    """At +-10,000 the loss is |z| or 0, the gradient +-1 or 0, and nothing overflows."""
    z = np.array([1e4, 1e4, -1e4, -1e4, 0, 0], dtype)
    t = np.array([0, 1, 0, 1, 0, 1], dtype)
    x = leaf(z)
    y = mt.binary_cross_entropy_with_logits(x, mt.tensor(t), reduction="none")
    np.testing.assert_allclose(y.detach().numpy(), [1e4, 0, 0, 1e4, np.log(2), np.log(2)], rtol=4 * np.finfo(dtype).eps)
    y.backward(mt.tensor(np.array([2, 3, 5, 7, 11, 13], dtype)))
    np.testing.assert_array_equal(x.grad.numpy(), [2, 0, 0, -7, 5.5, -6.5])
    weight = mt.tensor(np.array(3, dtype))
    y = mt.binary_cross_entropy_with_logits(x, mt.tensor(t), pos_weight=weight, reduction="none")
    np.testing.assert_allclose(
        y.detach().numpy(), [1e4, 0, 0, 3e4, np.log(2), 3 * np.log(2)], rtol=4 * np.finfo(dtype).eps
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sure_and_wrong_probabilities_cost_100(dtype):
    x = leaf(np.array([0, 1, 0, 1], dtype))
    y = mt.binary_cross_entropy(x, mt.tensor(np.array([1, 0, 0, 1], dtype)), reduction="none")
    assert y.tolist() == [100, 100, 0, 0]
    y.backward(mt.tensor(np.array([2, 3, 5, 7], dtype)))
    np.testing.assert_allclose(x.grad.numpy(), [-2e12, 3e12, 0, 0], rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("loss", PAIRS)
@pytest.mark.parametrize(
    ("input", "target"),
    [((4, 1), (4,)), ((4,), (4, 1)), ((1,), ()), ((2, 3), (3, 2)), ((4, 3), (3,)), ((4, 3), (4, 1))],
)
def test_losses_refuse_to_broadcast(loss, input, target):
    x, t = mt.full(input, 0.5, requires_grad=True), mt.full(target, 0.5)
    with pytest.raises(ValueError, match=f"{re.escape(str(input))}.*{re.escape(str(target))}.*same shape") as caught:
        loss(x, t)
    assert loss.__name__ in str(caught.value)
    if np.prod(input) == np.prod(target):
        assert ".reshape(" in str(caught.value)


@pytest.mark.parametrize("loss", PAIRS)
def test_losses_refuse_mixed_dtypes(loss):
    x = mt.full((3,), 0.5)
    for target in (mt.tensor([0, 1, 0]), mt.tensor([True, False, True]), mt.full((3,), 0.5, dtype=mt.float64)):
        with pytest.raises(TypeError, match=rf"{loss.__name__}.*float32 and {target.dtype}.*\.to\(dtype\)"):
            loss(x, target)
    with pytest.raises(TypeError, match="int64"):
        loss(mt.tensor([0, 1]), mt.tensor([0, 1]))


@pytest.mark.parametrize("loss", [*PAIRS, mt.cross_entropy, mt.nll_loss])
def test_losses_refuse_what_is_no_tensor_and_no_reduction(loss):
    x = mt.full((3, 2), 0.5)
    target = x if loss in PAIRS else mt.tensor([0, 1, 1])
    for arguments in ((x.tolist(), target), (x, target.tolist()), (x, None), (None, target)):
        with pytest.raises(TypeError, match=r"must be a Tensor or a NumPy array, not (list|NoneType)"):
            loss(*arguments)
    with pytest.raises(ValueError, match="'mean', 'sum' or 'none', not 'average'"):
        loss(x, target, reduction="average")


@pytest.mark.parametrize("bad", [-0.01, 1.01, np.nan, np.inf])
def test_probabilities_outside_0_to_1_are_refused(bad):
    with pytest.raises(ValueError, match="binary_cross_entropy_with_logits"):
        mt.binary_cross_entropy(mt.tensor([0.5, bad]), mt.tensor([0.0, 1.0]))


@pytest.mark.parametrize("loss", PAIRS)
def test_losses_of_nothing(loss):
    x = mt.zeros(0, 3, requires_grad=True)
    target = mt.zeros(0, 3)
    assert loss(x, target, reduction="sum").item() == 0
    assert loss(x, target, reduction="none").shape == (0, 3)
    y = loss(x, target)
    assert np.isnan(y.item())
    y.backward()
    assert x.grad.shape == (0, 3)


def test_nan_is_not_hidden(rng):
    for loss in (mt.mse_loss, mt.l1_loss, mt.binary_cross_entropy_with_logits):
        x = leaf(np.array([0.5, np.nan, 0.25]))
        y = loss(x, mt.tensor([1.0, 0.0, 1.0], dtype=mt.float64))
        y.backward()
        # The loss says it; the gradient of |x| is 0 at nan, as PyTorch's.
        assert np.isnan(y.item()) and np.isnan(x.grad.numpy()).tolist() == [False, loss is not mt.l1_loss, False]
    scores = rng.standard_normal((3, 4))
    scores[1, 2] = np.nan
    x = leaf(scores)
    y = mt.cross_entropy(x, mt.tensor([0, 1, 2]), reduction="none")
    y.sum().backward()
    assert np.isnan(y.detach().numpy()).tolist() == [False, True, False]
    assert np.isnan(x.grad.numpy()).all(axis=1).tolist() == [False, True, False]
    assert np.isfinite(x.grad.numpy()[[0, 2]]).all()


# -- losses on class indices -----------------------------------------------------------------------------------


def class_loss(logp, target, weight, ignore_index, reduction, smoothing=0.0, g=None):
    """The loss of log-probabilities (N, C, ...), and with g = dL/dy also dL/dlogp; row by row as the formula says."""
    classes = logp.shape[1]
    weight = np.ones(classes) if weight is None else weight
    losses, slope, total = np.zeros(target.shape), np.zeros_like(logp), 0.0
    for place in np.ndindex(target.shape):
        t = target[place]
        if t == ignore_index:
            continue
        total += weight[t]
        for c in range(classes):
            at = (place[0], c, *place[1:])
            q = (1 - smoothing) * (c == t) + smoothing / classes
            losses[place] -= weight[c] * q * logp[at]
            slope[at] = -weight[c] * q
    y = {"mean": losses.sum() / total, "sum": losses.sum(), "none": losses}[reduction]
    if g is None:
        return y
    each = g / total if reduction == "mean" else g
    return y, (np.expand_dims(each, 1) if reduction == "none" else each) * slope


def through_log_softmax(slope, x, axis=1):
    """dL/dx from dL/dlogp: slope - p sum(slope)."""
    return slope - np.exp(log_softmax(x, axis)) * slope.sum(axis=axis, keepdims=True)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "shape", [(129, 3), (2000, 10), (31, 1000), (3, 5000), (257, 33), (2, 10, 300), (3, 7, 129), (2, 700, 17), (500, 1)]
)
def test_cross_entropy_of_large_batches(shape, dtype, threads, rng):
    """Sizes around the edges of blocks and threads' shares, classes along the last dimension and not."""
    scores = rng.normal(0, 3, shape).astype(dtype)
    labels = rng.integers(0, shape[1], (shape[0], *shape[2:]))
    labels[::7] = -100
    counted = np.expand_dims(labels != -100, 1)
    logp = log_softmax(scores.astype(np.float64), 1)
    one_hot = np.expand_dims(labels, 1) == np.arange(shape[1]).reshape(-1, *(1,) * (len(shape) - 2))
    before = mt.get_num_threads()
    mt.set_num_threads(threads)
    try:
        x = leaf(scores)
        y = mt.cross_entropy(x, mt.tensor(labels))
        y.backward()
    finally:
        mt.set_num_threads(before)
    # scores below 16 in size leave logp right to 16 eps; sums and means are taken in double
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(y.item(), -(logp * one_hot).sum() / counted.sum(), rtol=0, atol=32 * eps)
    expected = (np.exp(logp) - one_hot) * counted / counted.sum()
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=0, atol=32 * eps / counted.sum())


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ignore_index", [-100, 2, 255])
@pytest.mark.parametrize("rest", [(), (3,), (2, 3)])
def test_class_losses_against_numpy(rest, ignore_index, weighted, reduction, rng):
    n, classes = 6, 4
    scores = rng.normal(0, 2, (n, classes, *rest))
    labels = rng.integers(0, classes, (n, *rest))
    labels[0] = 1
    labels[1] = ignore_index if ignore_index != -100 else 3
    weight = rng.uniform(0.5, 2, classes) if weighted else None
    keywords = {
        "weight": None if weight is None else mt.tensor(weight), "ignore_index": ignore_index, "reduction": reduction
    }
    for smoothing in (0.0, 0.1, 1.0):
        x = leaf(scores)
        y = mt.cross_entropy(x, mt.tensor(labels), label_smoothing=smoothing, **keywords)
        g = upstream(rng, y)
        expected, slope = class_loss(log_softmax(scores, 1), labels, weight, ignore_index, reduction, smoothing, g)
        assert_close(y, expected, 256)
        y.backward(mt.tensor(g))
        assert_close(x.grad, through_log_softmax(slope, scores), 256)
    logp = log_softmax(scores, 1)
    x = leaf(logp)
    y = mt.nll_loss(x, mt.tensor(labels), **keywords)
    g = upstream(rng, y)
    expected, slope = class_loss(logp, labels, weight, ignore_index, reduction, 0.0, g)
    assert_close(y, expected)
    y.backward(mt.tensor(g))
    assert_close(x.grad, slope)


@pytest.mark.parametrize("dtype", [mt.uint8, mt.int8, mt.int32, mt.int64])
def test_labels_of_any_integer_dtype_and_layout(dtype, rng):
    scores, labels = rng.standard_normal((5, 4)), rng.integers(0, 4, 5)
    expected = class_loss(log_softmax(scores, 1), labels, None, -100, "mean")
    strided = mt.from_numpy(np.repeat(labels, 2).astype(dtype)[::2])
    for array in (scores, np.asfortranarray(scores), np.repeat(scores, 2, axis=1)[:, ::2]):
        x = mt.from_numpy(array)
        assert_close(mt.cross_entropy(x, strided), expected)
        assert_close(mt.nll_loss(x.log_softmax(1), strided), expected)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_one_row_of_scores(reduction, rng):
    scores, g = rng.standard_normal(4), rng.standard_normal()
    x = leaf(scores)
    y = mt.cross_entropy(x, mt.tensor(2), reduction=reduction)
    assert_close(y, -log_softmax(scores, 0)[2])
    y.backward(mt.tensor(np.asarray(g)))
    assert_close(x.grad, g * (np.exp(log_softmax(scores, 0)) - (np.arange(4) == 2)))
    assert_close(mt.nll_loss(mt.tensor(scores), mt.tensor(2), reduction=reduction), -scores[2])


@pytest.mark.parametrize("loss", [mt.cross_entropy, mt.nll_loss])
def test_ignoring_every_row(loss):
    """A mean over no rows is nan, as PyTorch's; the sum is 0; no row gets a gradient."""
    labels = mt.tensor([-100, -100])
    for reduction, expected in (("sum", 0), ("none", [0, 0])):
        x = mt.ones(2, 3, requires_grad=True)
        y = loss(x, labels, reduction=reduction)
        assert y.tolist() == expected
        y.backward(mt.full(y.shape, 3.0))
        assert x.grad.tolist() == [[0] * 3] * 2
    x = mt.ones(2, 3, requires_grad=True)
    y = loss(x, labels)
    assert np.isnan(y.item())
    y.backward()
    assert x.grad.tolist() == [[0] * 3] * 2


def test_rows_of_weight_zero_count_nothing(rng):
    scores = rng.standard_normal((3, 2))
    x, weight = leaf(scores), mt.tensor([0.0, 2.0], dtype=mt.float64)
    y = mt.cross_entropy(x, mt.tensor([0, 1, 0]), weight)
    assert_close(y, -log_softmax(scores, 1)[1, 1])
    assert np.isnan(mt.cross_entropy(x, mt.tensor([0, 0, 0]), weight).item())


@pytest.mark.parametrize("loss", [mt.cross_entropy, mt.nll_loss])
def test_no_rows(loss):
    x, labels = mt.zeros(0, 3, requires_grad=True), mt.zeros(0, dtype=mt.int64)
    assert loss(x, labels, reduction="sum").item() == 0 and loss(x, labels, reduction="none").shape == (0,)
    y = loss(x, labels)
    assert np.isnan(y.item())
    y.backward()
    assert x.grad.shape == (0, 3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scores_of_any_size(dtype):
    """At 10,000 softmax is a step: the loss is how far the label's score lies below the largest."""
    scores = np.array([[1e4, 0, -1e4], [1e4, 0, -1e4], [-1e4, -1e4, -1e4], [1e4, 1e4, 0]], dtype)
    x = leaf(scores)
    y = mt.cross_entropy(x, mt.tensor([0, 2, 1, 0]), reduction="none")
    np.testing.assert_allclose(y.detach().numpy(), [0, 2e4, np.log(3), np.log(2)], rtol=4 * np.finfo(dtype).eps)
    y.backward(mt.tensor(np.array([2, 3, 6, 8], dtype)))
    np.testing.assert_allclose(
        x.grad.numpy(), [[0, 0, 0], [3, 0, -3], [2, -4, 2], [-4, 4, 0]], rtol=4 * np.finfo(dtype).eps
    )
    mean = mt.cross_entropy(x, mt.tensor([0, 2, 1, 0]), label_smoothing=0.3)
    assert np.isfinite(mean.item())


def test_class_of_probability_zero_is_learned_from():
    """-inf among the scores is a class that is ruled out: it costs nothing unless it is the label."""
    x = mt.tensor([[0.0, -np.inf, 0.0]], requires_grad=True)
    y = mt.cross_entropy(x, mt.tensor([0]))
    y.backward()
    np.testing.assert_allclose(y.item(), np.log(2), rtol=2e-7)
    np.testing.assert_allclose(x.grad.numpy(), [[-0.5, 0, 0.5]], rtol=2e-7)
    assert mt.cross_entropy(x, mt.tensor([1])).item() == np.inf


@pytest.mark.parametrize("loss", [mt.cross_entropy, mt.nll_loss])
@pytest.mark.parametrize("label", [-1, 3, -101, 2**40])
def test_labels_out_of_range_are_refused(loss, label):
    x = mt.ones(2, 3, requires_grad=True)
    with pytest.raises(IndexError, match=rf"{loss.__name__}.*{label}.*row 1.*\(2, 3\).*3 classes"):
        loss(x, mt.tensor([0, label]))
    assert loss(x, mt.tensor([0, label]), ignore_index=label, reduction="sum").numel() == 1


@pytest.mark.parametrize("loss", [mt.cross_entropy, mt.nll_loss])
def test_class_losses_refuse_wrong_shapes_and_dtypes(loss):
    x = mt.ones(4, 3)
    for shape in ((4, 1), (3,), (), (1, 4), (5,)):
        with pytest.raises(ValueError, match=rf"\(4, 3\).*\(4,\).*{re.escape(str(shape))}"):
            loss(x, mt.zeros(shape, dtype=mt.int64))
    labels = mt.zeros(4, dtype=mt.int64)
    with pytest.raises(TypeError, match="bool"):
        loss(x, mt.zeros(4, dtype=mt.bool))
    with pytest.raises(TypeError, match="int64"):
        loss(mt.ones(4, 3, dtype=mt.int64), labels)
    with pytest.raises(ValueError, match="0-d"):
        loss(mt.tensor(1.0), mt.tensor(0))
    for weight in (mt.ones(2), mt.ones(3, 1), mt.ones(3, dtype=mt.float64), mt.ones(3, dtype=mt.int64)):
        with pytest.raises((ValueError, TypeError), match=rf"{loss.__name__}.*weight"):
            loss(x, labels, weight)
    # Float labels are a distribution to cross_entropy, and of the wrong shape.
    error = (ValueError, r"\(4, 3\).*\(4,\)") if loss is mt.cross_entropy else (TypeError, "float32")
    with pytest.raises(error[0], match=error[1]):
        loss(x, mt.zeros(4))


@pytest.mark.parametrize("smoothing", [-0.1, 1.1, float("nan")])
def test_label_smoothing_is_checked(smoothing):
    for target in (mt.tensor([0, 1]), mt.full((2, 3), 1 / 3)):
        with pytest.raises(ValueError, match=r"label_smoothing.*\[?0"):
            mt.cross_entropy(mt.ones(2, 3), target, label_smoothing=smoothing)


# -- cross_entropy against a distribution ----------------------------------------------------------------------


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("shape", [(4,), (5, 4), (5, 4, 3)])
def test_cross_entropy_of_probabilities_against_numpy(shape, smoothing, weighted, reduction, rng):
    axis = 0 if len(shape) == 1 else 1
    column = [1] * len(shape)
    column[axis] = 4
    scores, q = rng.normal(0, 2, shape), rng.uniform(0, 1, shape)
    q /= q.sum(axis=axis, keepdims=True)
    weight = rng.uniform(0.5, 2, 4) if weighted else np.ones(4)
    x, target = leaf(scores), leaf(q)
    y = mt.cross_entropy(
        x, target, mt.tensor(weight) if weighted else None, reduction=reduction, label_smoothing=smoothing
    )
    logp, w = log_softmax(scores, axis), weight.reshape(column)
    smooth = (1 - smoothing) * q + smoothing / 4
    losses = -(w * smooth * logp).sum(axis=axis)
    assert_close(y, reduced(losses, reduction), 256)
    g = upstream(rng, y)
    y.backward(mt.tensor(g))
    each = spread(g, reduction, losses.size)
    each = np.expand_dims(each, axis) if reduction == "none" else each
    assert_close(x.grad, through_log_softmax(-each * w * smooth, scores, axis), 256)
    assert_close(target.grad, -each * w * (1 - smoothing) * logp, 256)


def test_one_hot_probabilities_are_class_indices(rng):
    scores, labels = mt.tensor(rng.standard_normal((6, 4))), rng.integers(0, 4, 6)
    one_hot = mt.tensor(np.eye(4)[labels])
    for smoothing in (0.0, 0.3):
        assert_close(
            mt.cross_entropy(scores, one_hot, label_smoothing=smoothing),
            mt.cross_entropy(scores, mt.tensor(labels), label_smoothing=smoothing).numpy(),
        )


def test_probabilities_with_infinite_scores_of_no_weight():
    """0 ln 0 is 0: a class that is ruled out and not wanted costs nothing."""
    x = mt.tensor([[0.0, 0.0, -1e4]], requires_grad=True)
    y = mt.cross_entropy(x, mt.tensor([[0.5, 0.5, 0.0]]))
    y.backward()
    np.testing.assert_allclose(y.item(), np.log(2), rtol=2e-7)
    np.testing.assert_allclose(x.grad.numpy(), [[0, 0, 0]], atol=2e-7)


def test_cross_entropy_of_probabilities_refuses():
    x = mt.ones(4, 3)
    with pytest.raises(ValueError, match="ignore_index"):
        mt.cross_entropy(x, mt.full((4, 3), 1 / 3), ignore_index=1)
    with pytest.raises(ValueError, match=r"\(4, 3\).*\(4, 1\)"):
        mt.cross_entropy(x, mt.ones(4, 1))
    with pytest.raises(TypeError, match="float64"):
        mt.cross_entropy(x, mt.full((4, 3), 1 / 3, dtype=mt.float64))
    for weight in (mt.ones(2), mt.ones(4)):
        with pytest.raises(ValueError, match=r"weight|\(3,\)"):
            mt.cross_entropy(x, mt.full((4, 3), 1 / 3), weight)


# -- a class that is masked out by a score of -inf -------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"reduction": "none"}, {"weight": True}, {"ignore_index": 1}])
@pytest.mark.parametrize("kind", ["indices", "indices of more dims", "probabilities", "nll_loss"])
def test_masked_score_gives_no_nan(kind, options, rng):
    """-inf for a class that no row wants: the loss and all gradients are those without that class."""
    x, masked, t = rng.standard_normal((6, 4)), rng.standard_normal((6, 5)), rng.integers(0, 4, 6)
    masked[:, :4], masked[:, 4] = x, -np.inf
    weight = rng.uniform(0.5, 2, 5) if "weight" in options and kind != "probabilities" else None

    def loss_and_gradient(scores):
        classes = scores.shape[1]
        input = mt.from_numpy(scores.copy()).requires_grad_()
        w = None if weight is None else mt.from_numpy(weight[:classes].copy())
        settings = {name: value for name, value in options.items() if name != "weight"}
        if kind == "probabilities":
            settings.pop("ignore_index", None)
            q = np.zeros((6, classes))
            q[:, :4] = 0.1 + 0.6 * (np.arange(4) == t[:, None])
            loss = mt.cross_entropy(input, mt.from_numpy(q), **settings)
        elif kind == "nll_loss":
            loss = mt.nll_loss(mt.log_softmax(input, 1), mt.from_numpy(t), w, **settings)
        elif kind == "indices":
            loss = mt.cross_entropy(input, mt.from_numpy(t), w, **settings)
        else:
            loss = mt.cross_entropy(input.reshape(2, 3, classes).transpose(1, 2), mt.from_numpy(t.reshape(2, 3)), w,
                                    **settings)
        upstream = np.random.default_rng(5).standard_normal(loss.shape)
        loss.backward(mt.from_numpy(np.asarray(upstream)))
        return loss.detach().numpy(), input.grad.numpy()

    loss, gradient = loss_and_gradient(x)
    masked_loss, masked_gradient = loss_and_gradient(masked)
    np.testing.assert_allclose(masked_loss, loss, rtol=1e-14)
    np.testing.assert_allclose(masked_gradient[:, :4], gradient, rtol=1e-13, atol=1e-15)
    assert (masked_gradient[:, 4] == 0).all()


def test_smoothed_loss_of_a_masked_score_is_infinite_and_not_nan(rng):
    """With label smoothing every class is wanted a little, a masked one too."""
    x = mt.from_numpy(np.array([[0.5, -np.inf, 1.0]])).requires_grad_()
    loss = mt.cross_entropy(x, mt.tensor([0]), label_smoothing=0.1)
    assert loss.item() == np.inf
