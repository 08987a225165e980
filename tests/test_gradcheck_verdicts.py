"""Verdicts on gradients that the checker was not tuned to: what must fail, what must pass, and what must be said."""

import re

import numpy as np
import pytest

import microtensor as mt
from microtensor.gradcheck import check_function, check_module, diagnosis


def verdict_of(forward, backward, *inputs, **options):
    """The Report of a pair, which the seed of the test makes reproducible."""
    return check_function(forward, backward, list(inputs), raise_exception=False, **options)


# -- where backward jumps ------------------------------------------------------------------------------------------


def square(x):
    return x * x


def at(rng, value):
    """Inputs above 1, with one element of a given value."""
    x = 1.5 + rng.random((3, 5))
    x[1, 2] = value
    return x


JUMPS = {
    "another value at 1": (square, lambda g, x: g * np.where(x == 1, 7, 2 * x), 1.0),
    "0 at 1": (square, lambda g, x: g * 2 * x * (x != 1), 1.0),
    "twice at whole numbers": (np.tanh, lambda g, x: g * (1 - np.tanh(x) ** 2) * np.where(x == np.round(x), 2, 1), 2.0),
    "a mask at its own bound": (square, lambda g, x: g * 2 * x * (x > 0.5), 0.5),
}


@pytest.mark.parametrize("case", JUMPS)
def test_jump_of_backward_at_the_point_fails(case, rng):
    """A rounding moves the gradient by all of the error there: that must not excuse it."""
    forward, backward, value = JUMPS[case]
    report = verdict_of(forward, backward, at(rng, value))
    assert report.verdict == "FAIL" and report.inputs[0].index == (1, 2) and report.inputs[0].wrong == 1, report
    assert verdict_of(forward, backward, at(rng, 1.25)), "the same where backward does not jump"


@pytest.mark.parametrize("share", [1e-4, 1e-5, 1e-6])
def test_small_jump_of_backward_does_not_pass(share, rng):
    """Beside the point the gradient is right: this shows nothing about the point."""
    report = verdict_of(square, lambda g, x: g * 2 * x * np.where(x == 1, 1 + share, 1), at(rng, 1.0))
    assert not report, report


def test_gradient_of_the_first_call_counts(rng):
    """Some layers make their gradients as zeros at the first call, and fill them at later ones."""

    class Linear:
        dw = None

        def backward(self, g, x, w):
            self.dw = np.zeros_like(w) if self.dw is None else x.T @ g
            return g @ w.T, self.dw

    report = verdict_of(np.matmul, Linear().backward, rng.standard_normal((5, 3)), rng.standard_normal((3, 7)))
    assert [found.verdict for found in report.inputs] == ["PASS", "FAIL"], report

    calls = []

    def zero_at_first(g, x):
        calls.append(1)
        return g * 2 * x * (len(calls) > 1)

    assert verdict_of(square, zero_at_first, rng.standard_normal((3, 5))).verdict == "FAIL"


def test_jump_that_depends_on_the_upstream_fails(rng):
    x = np.round(2 * rng.standard_normal((3, 5)))
    x[0, 0] = 1.0
    report = verdict_of(square, lambda g, x: g * 2 * x + (x == 1) * np.abs(g), x)
    assert report.verdict == "FAIL", report


# -- hints must not cost the verdict -------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(2, 3, 5, 5), (7, 3, 3), (2, 2, 3, 3), (3, 5, 3), (4, 4), (5,), ()], ids=str)
def test_wrong_gradient_of_any_shape_is_reported(shape, rng):
    """Square images and kernels: some ways to transpose them give another shape."""
    report = verdict_of(square, lambda g, x: g * 3 * x, rng.standard_normal(shape))
    assert report.verdict == "FAIL" and not report.notes, report


def test_images_that_are_transposed_are_named(rng):
    report = verdict_of(square, lambda g, x: (g * 2 * x).swapaxes(-1, -2), rng.standard_normal((2, 3, 5, 5)),
                        edits=False)
    assert report.hints[0].key == "transposed" and not report.notes, report


def test_sign_that_is_wrong_at_some_elements_is_named(rng):
    """Huber's loss whose straight part has lost the sign of the error."""
    x, target = 2 * rng.standard_normal((7, 5)), rng.standard_normal((7, 5))

    def huber(x, target):
        error = np.abs(x - target)
        return np.where(error <= 1, error**2 / 2, error - 0.5).mean()

    def backward(g, x, target):
        error = x - target
        dx = g * np.where(np.abs(error) <= 1, error, 1.0) / x.size
        return dx, -dx

    report = check_function(huber, backward, [x, target], raise_exception=False, edits=False)
    assert [hint.key for hint in report.hints] == ["sign"] * 2, report
    assert f"at {np.sum(x - target < -1)} of 35 elements" in report.hints[0].text


def test_numbers_that_a_wrong_sign_mirrors_are_not_called_permuted(rng):
    """Gini's coefficient: the ranks lie evenly around 0, so that with minus they are the same numbers again."""
    x = 2 + rng.permutation(7) + rng.random(7) / 2

    def gini(x):
        return np.abs(x[:, None] - x).sum() / (2 * len(x) ** 2 * x.mean())

    def backward(g, x, axis):
        signs = np.sign(x[:, None] - x).sum(axis)
        return g * (signs / (len(x) ** 2 * x.mean()) - gini(x) / x.sum())

    assert check_function(gini, lambda g, x: backward(g, x, 1), [x], edits=False)
    report = check_function(gini, lambda g, x: backward(g, x, 0), [x], raise_exception=False, edits=False)
    assert not report and "permuted" not in [hint.key for hint in report.hints], report


def test_factor_of_each_row_is_named_beside_a_small_upstream(rng):
    """Seed 0 draws an upstream gradient of which one element is a thousandth of the largest."""
    x = rng.random((5, 7)) + 0.5

    def geometric_mean(x):
        return np.exp(np.log(x).mean(1))

    for seed in range(5):
        report = check_function(geometric_mean, lambda g, x: g[:, None] / (7 * x), [x], raise_exception=False,
                                edits=False, seed=seed)
        assert [hint.key for hint in report.hints] == ["column"], (seed, report)


def test_hints_that_fail_cost_nothing_but_themselves(monkeypatch, rng):
    def broken(case):
        raise ZeroDivisionError("a slip in a hint")

    monkeypatch.setattr(diagnosis, "of_masks", broken)
    report = verdict_of(square, lambda g, x: -2 * g * x, rng.standard_normal((3, 5)), edits=False)
    assert report.verdict == "FAIL" and report.hints[0].key == "sign", report
    assert ["broken failed with ZeroDivisionError: a slip in a hint" in note for note in report.notes] == [True]


# -- kinks ---------------------------------------------------------------------------------------------------------


def relu(x):
    return np.maximum(x, 0)


def slope_at_zero(z, slope):
    """relu' with a chosen value at 0."""
    return np.where(z > 0, 1, np.where(z < 0, 0, slope))


def two_layers(slope):
    """A whole net with a scalar loss: several kinks of either sign are summed before anyone can see them."""

    def forward(x, w, b, v):
        return np.asarray(((relu(x @ w + b) @ v - 1) ** 2).mean())

    def backward(g, x, w, b, v):
        z = x @ w + b
        d = g * 2 * (relu(z) @ v - 1) / (len(x) * v.shape[1])
        dz = d @ v.T * slope_at_zero(z, slope)
        return dz @ w.T, x.T @ dz, dz.sum(0), relu(z).T @ d

    def inputs(rng):
        x = rng.standard_normal((5, 3))
        x[2] = x[4] = 0
        return x, rng.standard_normal((3, 7)), np.zeros(7), rng.standard_normal((7, 2))

    return forward, backward, inputs


def rectified_linear(slope):
    def backward(g, x, w):
        d = g * slope_at_zero(x @ w, slope)
        return d @ w.T, x.T @ d

    def inputs(rng):
        x = rng.standard_normal((5, 3))
        x[2] = 0
        return x, rng.standard_normal((3, 7))

    return lambda x, w: relu(x @ w), backward, inputs


def clipped(low, high, inside):
    """np.clip, with a gradient of 1 where inside(x)."""

    def inputs(rng):
        x = low + (high - low) * rng.random((4, 7))
        x[0], x[1] = low, high
        return (x,)

    return lambda x: np.clip(x, low, high), lambda g, x: g * inside(x), inputs


KINKS = {
    **{f"a row of zeros, relu'(0) = {slope}": rectified_linear(slope) for slope in (0, 0.5, 1)},
    **{f"a net with rows of zeros, relu'(0) = {slope}": two_layers(slope) for slope in (0, 0.5, 1)},
    "pixels of 0 and 1, open": clipped(0, 1, lambda x: (x > 0) & (x < 1)),
    "pixels of 0 and 1, closed": clipped(0, 1, lambda x: (x >= 0) & (x <= 1)),
    "hard tanh": clipped(-1, 1, lambda x: (x > -1) & (x < 1)),
    "ReLU6": clipped(0, 6, lambda x: (x > 0) & (x < 6)),
    "ReLU of whole numbers": (relu, lambda g, x: g * (x > 0), lambda rng: (np.round(2 * rng.standard_normal((5, 7))),)),
    "|x| at +-1e-17": (np.abs, lambda g, x: g * np.sign(x), lambda rng: (rng.choice([-1e-17, 1e-17, 1.0], (3, 5)),)),
}


@pytest.mark.parametrize("case", KINKS)
def test_right_gradient_at_kinks_succeeds(case, rng):
    forward, backward, inputs = KINKS[case]
    report = verdict_of(forward, backward, *inputs(rng))
    assert report, report


@pytest.mark.parametrize("slope", [-1.0, 1.5, 3.0])
@pytest.mark.parametrize("net", [rectified_linear, two_layers], ids=lambda net: net.__name__)
def test_slope_at_a_kink_that_is_too_steep_fails(net, slope, rng):
    forward, backward, inputs = net(slope)
    assert verdict_of(forward, backward, *inputs(rng)).verdict == "FAIL"


@pytest.mark.parametrize("reduce", [lambda y: y, lambda y: np.asarray(y.sum())], ids=["each", "sum"])
def test_ties_must_share_beside_unrelated_kinks(reduce, rng):
    """Each row's maximum is tied, and every element of the last column is at a kink of its own."""
    x = np.abs(rng.standard_normal((3, 5)))
    x[:, 1] = x[:, 3] = x.max(1) + 0.5
    x[:, 4] = 0

    def forward(x):
        return reduce(x[:, :4].max(1) + np.abs(x[:, 4]))

    def largest(x):
        return (x == x[:, :4].max(1, keepdims=True)) * [1.0, 1.0, 1.0, 1.0, 0.0]

    def all_to_each(g, x):
        return (largest(x) + np.sign(x) * [0, 0, 0, 0, 1]) * np.reshape(g, (-1, 1))

    def divided(g, x):
        return all_to_each(g, x) / np.fmax(1, largest(x).sum(1, keepdims=True) * [1, 1, 1, 1, 0])

    report = verdict_of(forward, all_to_each, x)
    assert report.verdict == "FAIL" and report.hints[0].key == "ties", report
    assert any("move together" in text for text in report.inputs[0].text)
    report = verdict_of(forward, divided, x)
    assert report.verdict == "KINK", report


def test_loss_with_exact_hits_is_at_a_kink(rng):
    p, y = rng.standard_normal((3, 5)), rng.standard_normal((3, 5))
    y[0, 0], y[1, 2] = p[0, 0], p[1, 2]

    def backward(g, p, y):
        d = g * np.sign(p - y) / p.size
        return d, -d

    report = verdict_of(lambda p, y: np.asarray(np.abs(p - y).mean()), backward, p, y)
    assert report.verdict == "KINK", report


def test_kinks_that_are_not_told_one_by_one_are_counted(rng):
    x = rng.standard_normal((5, 7))
    x[:, 0] = x[:, 3] = 0
    report = verdict_of(lambda x: np.maximum(x, 0), lambda g, x: g * (x > 0), x)
    assert report.verdict == "KINK" and report.inputs[0].text[-1].startswith("and 2 more elements at kinks"), report


@pytest.mark.parametrize("names", [True, "x"])
def test_zero_gradient_takes_names_in_a_list(names, rng):
    with pytest.raises(TypeError, match=r"a list of names, such as \['x'\]"):
        verdict_of(np.tanh, lambda g, x: g, rng.standard_normal(3), names=["x"], zero_gradient=names)


def test_text_of_a_kink_names_the_upstream_that_fails(rng):
    """The gradient of one output is too steep: its own slopes are printed."""
    w, x = rng.standard_normal((3, 7)), np.zeros((1, 3))

    def backward(g, x):
        return (g * np.where(np.arange(7) == 4, 3, 0)) @ w.T

    report = verdict_of(lambda x: relu(x @ w), backward, x)
    assert report.verdict == "FAIL"
    texts = [text for text in report.inputs[0].text if "may be anything" in text]
    assert texts
    for text in texts:
        low, high, ours = [float(number) for number in re.findall(r"-?\d+\.?\d*(?:e[-+]\d+)?", text.split("from")[1])]
        assert not low <= ours <= high, text


# -- gradients of zero ---------------------------------------------------------------------------------------------


def test_gradient_that_is_rightly_zero_passes(rng):
    """The bias of the keys moves all scores of a query alike, which softmax does not see."""

    def attend(q, k, b):
        s = q @ (k + b).T
        e = np.exp(s - s.max(1, keepdims=True))
        return e / e.sum(1, keepdims=True)

    def backward(g, q, k, b):
        p = attend(q, k, b)
        ds = p * (g - (g * p).sum(1, keepdims=True))
        return ds @ (k + b), ds.T @ q, (ds.T @ q).sum(0)

    inputs = rng.standard_normal((3, 5)), rng.standard_normal((7, 5)), rng.standard_normal(5)
    report = verdict_of(attend, backward, *inputs)
    assert report and "zero, and rightly so" in report.inputs[2].text[0], report


def test_units_that_are_dead_are_not_tested(rng):
    x, w = rng.standard_normal((5, 3)), rng.standard_normal((3, 2))

    def forward(x, w):
        return relu(x @ w - 20) + x.sum(1, keepdims=True)

    def backward(g, x, w):
        d = g * (x @ w > 20)
        return d @ w.T + g.sum(1, keepdims=True), x.T @ d

    report = verdict_of(forward, lambda g, x, w: (backward(g, x, w)[0] * np.ones_like(x), backward(g, x, w)[1]), x, w)
    assert report.verdict == "VACUOUS" and "dead" in report.inputs[1].text[0] and "inf" not in str(report), report


def test_input_that_is_not_used_is_not_tested(rng):
    report = verdict_of(lambda x, w: x * 2, lambda g, x, w: (2 * g, 0 * w), rng.standard_normal(3),
                        rng.standard_normal(5))
    assert report.verdict == "VACUOUS" and "not used" in report.inputs[1].text[0], report


def test_zero_that_should_not_be_fails(rng):
    report = verdict_of(lambda x, w: x * w, lambda g, x, w: (g * w, 0 * g), rng.standard_normal(3),
                        rng.standard_normal(3), edits=False)
    assert report.verdict == "FAIL" and report.hints[0].key == "zero", report


# -- what backward may look like -----------------------------------------------------------------------------------


def cell(x, h, w):
    """Two outputs, and what is saved: a step of a recurrent net, and its logit."""
    new = np.tanh(x @ w + h)
    return new, new.sum(1), (x, new, w)


def cell_backward(dnew, dsum, saved):
    x, new, w = saved
    d = (dnew + dsum[:, None]) * (1 - new * new)
    return d @ w.T, d, x.T @ d


def test_several_outputs_are_checked(rng):
    inputs = rng.standard_normal((5, 3)), rng.standard_normal((5, 7)), rng.standard_normal((3, 7))
    report = verdict_of(cell, cell_backward, *inputs, outputs=2)
    assert report.verdict == "PASS", report
    report = verdict_of(cell, lambda dnew, dsum, saved: cell_backward(dnew, 0 * dsum, saved), *inputs, outputs=2,
                        edits=False)
    assert report.verdict == "FAIL" and report.hints[0].key in ("overwritten", "path"), report
    pair = lambda x, h, w: cell(x, h, w)[:2]            # noqa: E731 -- nothing saved: the inputs are passed on
    by_inputs = lambda dnew, dsum, x, h, w: cell_backward(dnew, dsum, (x, np.tanh(x @ w + h), w))     # noqa: E731
    assert verdict_of(pair, by_inputs, *inputs, outputs=2).verdict == "PASS"


def test_backward_that_cannot_be_called_is_refused_with_the_way_out(rng):
    inputs = rng.standard_normal((5, 3)), rng.standard_normal((5, 7)), rng.standard_normal((3, 7))
    pair = lambda x, h, w: cell(x, h, w)[:2]            # noqa: E731
    with pytest.raises(TypeError, match="with several outputs say outputs=2"):
        verdict_of(pair, lambda dnew, dsum, x, h, w: None, *inputs)
    with pytest.raises(TypeError, match="with outputs=3 forward must return a tuple of 3 outputs"):
        verdict_of(pair, cell_backward, *inputs, outputs=3)


def test_gradients_may_be_named(rng):
    x, w = rng.standard_normal((5, 3)), rng.standard_normal((3, 7))
    report = verdict_of(np.matmul, lambda g, x, w: {"w": x.T @ g, "x": g @ w.T}, x, w, names=["x", "w"])
    assert report.verdict == "PASS", report
    for names in (["x", "weight"], None):
        with pytest.raises(ValueError, match="give them the same names with names="):
            verdict_of(np.matmul, lambda g, x, w: {"w": x.T @ g, "x": g @ w.T}, x, w, names=names)


def test_gradients_in_another_order_are_named(rng):
    x, w = rng.standard_normal((5, 3)), rng.standard_normal((3, 7))
    report = verdict_of(np.matmul, lambda g, x, w: (x.T @ g, g @ w.T), x, w, names=["x", "w"], edits=False)
    assert report.hints[0].key == "exchanged" and "is that of w, and so are its numbers" in str(report.hints[0]), report


def test_backward_may_empty_what_forward_saved(rng):
    def forward(x):
        return x * x, {"x": x}

    report = verdict_of(forward, lambda g, saved: 2 * g * saved.pop("x"), rng.standard_normal((3, 5)))
    assert report.verdict == "PASS" and "empties what forward saved" in report.notes[0], report


def test_random_numbers_of_numpy_are_replayed_in_a_module(rng):
    class Noisy(mt.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = mt.nn.Linear(3, 5)

        def forward(self, x):
            return self.linear(x) * mt.tensor(np.random.rand(5))

    before = np.random.get_state()[1].copy()
    x = mt.tensor(rng.standard_normal((7, 3)))
    assert check_module(Noisy(), lambda y: (y * y).mean(), x)
    assert np.array_equal(np.random.get_state()[1], before)


def test_input_without_a_gradient_is_left_out(rng):
    """Targets of a regression are floats, and nobody differentiates in them."""
    p, t = rng.standard_normal((3, 2)), rng.standard_normal((3, 2))

    def loss(p, t):
        return np.asarray(((p - t) ** 2).mean())

    for backward in (lambda g, p, t: (g * 2 * (p - t) / p.size, None),
                     lambda g, p, t: {"p": g * 2 * (p - t) / p.size, "t": None}):
        report = verdict_of(loss, backward, p, t, names=["p", "t"])
        assert report.verdict == "PASS" and [found.name for found in report.inputs] == ["p"], report
        assert report.notes == ["backward returns None for t, so its gradient was not checked"]
    report = verdict_of(loss, lambda g, p, t: (g * (p - t) / p.size, None), p, t, names=["p", "t"], edits=False)
    assert report.verdict == "FAIL" and report.hints[0].key == "two", report
    with pytest.raises(TypeError, match="gradient of p must be an array, not NoneType"):
        verdict_of(loss, lambda g, p, t: (None, None), p, t, names=["p", "t"])


def test_method_that_keeps_its_input_takes_the_upstream_gradient_alone(rng):
    class Linear:
        def forward(self, x, w):
            self.x, self.w = x, w
            return x @ w

        def backward(self, g):
            return g @ self.w.T, self.x.T @ g / len(self.x)

    layer = Linear()
    report = verdict_of(layer.forward, layer.backward, rng.standard_normal((5, 3)), rng.standard_normal((3, 7)))
    assert [found.verdict for found in report.inputs] == ["PASS", "FAIL"], report
    assert report.repair.after == "return (g @ self.w.T, self.x.T @ g)", report
    Linear.backward = lambda self, g: (g @ self.w.T, self.x.T @ g)
    report = verdict_of(layer.forward, layer.backward, rng.standard_normal((5, 3)), rng.standard_normal((3, 7)))
    assert report and any("right before each backward pass" in note for note in report.notes), report


def test_backward_that_reads_what_the_last_forward_left_is_a_fault(rng):
    last = {}

    def keeping(function):
        def forward(x):
            last["x"] = x.copy()
            return function(x)

        return forward

    slopes = {np.tanh: lambda x: 1 - np.tanh(x) ** 2, np.abs: np.sign}      # signs stay where only sizes change
    for function, slope in slopes.items():
        report = verdict_of(keeping(function), lambda g, x, slope=slope: g * slope(last["x"]),
                            rng.standard_normal((3, 5)))
        assert [fault.check for fault in report.faults] == ["stale"] and not report, report
        assert "after another forward pass" in str(report)


def test_large_functions_are_checked_in_fast_mode(rng):
    x, w = rng.standard_normal((64, 50)), rng.standard_normal((50, 60))
    report = verdict_of(np.matmul, lambda g, x, w: (g @ w.T, x.T @ g), x, w)
    assert report and "fast mode, as there are 6200 elements" in report.notes[0], report
    assert not verdict_of(np.matmul, lambda g, x, w: (g @ w.T, x.T @ g / 64), x, w, edits=False)


def test_gradient_of_integers_is_named(rng):
    def backward(g, x):
        dx = np.full(x.shape, 0)
        dx[x > 0] = g[x > 0]
        return dx

    report = verdict_of(relu, backward, rng.standard_normal((4, 5)))
    assert report.verdict == "FAIL" and "array of integers" in str(report.hints[0]), report


def test_gradient_that_is_added_up_over_calls_is_named(rng):
    class Linear:
        dw = 0.0

        def backward(self, g, x, w):
            self.dw = self.dw + x.T @ g
            return g @ w.T, self.dw

    report = verdict_of(np.matmul, Linear().backward, rng.standard_normal((5, 3)), rng.standard_normal((3, 7)))
    assert report.verdict == "FAIL" and report.hints[0].key == "repeat", report
    assert "kept from the call before" in str(report), report


def test_no_ratio_is_taken_at_a_kink(rng):
    report = verdict_of(relu, lambda g, x: 2 * g * (x >= 0), np.zeros((2, 3)), edits=False)
    assert report.verdict == "FAIL" and not any("ratio" in str(hint) for hint in report.hints), report


def test_hints_of_several_outputs_fail_nowhere(rng):
    """The Jacobian then has rows of all outputs, not of the first alone."""
    def forward(x):
        return x - x.mean(0), x * x, x

    def backward(first, second, x):
        return first + 2 * x * second + x       # no term for the mean, and one without an upstream gradient

    report = verdict_of(forward, backward, rng.standard_normal((6, 3)), outputs=2, edits=False)
    assert report.verdict == "FAIL" and not any("failed" in note for note in report.notes), report


# -- numbers that are hard on differences --------------------------------------------------------------------------


def standardised(axis):
    """Normalisation over an axis, and its gradient."""

    def forward(x):
        return (x - x.mean(axis, keepdims=True)) / np.sqrt(x.var(axis, keepdims=True) + 1e-3)

    def backward(g, x):
        inverse = 1 / np.sqrt(x.var(axis, keepdims=True) + 1e-3)
        h = (x - x.mean(axis, keepdims=True)) * inverse
        return inverse * (g - g.mean(axis, keepdims=True) - h * (g * h).mean(axis, keepdims=True))

    return forward, backward


def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def logistic_map(count):
    """A chaotic map: the gradient grows by a factor of nearly 2 in each of its steps."""

    def forward(x):
        for _ in range(count):
            x = 3.9 * x * (1 - x)
        return x

    def backward(g, x):
        kept = []
        for _ in range(count):
            kept.append(x)
            x = 3.9 * x * (1 - x)
        for x in reversed(kept):
            g = g * 3.9 * (1 - 2 * x)
        return g

    return forward, backward


def products(g, x, w):
    return g @ w.T, x.T @ g


HARD = {
    "(1 - cos x) / x^2 at 1e-2": (lambda x: (1 - np.cos(x)) / x**2,
                                  lambda g, x: g * (x * np.sin(x) - 2 * (1 - np.cos(x))) / x**3,
                                  lambda rng: (1e-2 * (1 + rng.random((3, 5))),)),
    "normalised around 1e6": (*standardised(0), lambda rng: (1e6 + rng.standard_normal((7, 3)),)),
    "normalised, N = 2": (*standardised(0), lambda rng: (rng.standard_normal((2, 3)),)),
    "normalised, D = 2": (*standardised(1), lambda rng: (rng.standard_normal((5, 2)),)),
    "x of 1e-8, w of 1e8": (np.matmul, products, lambda rng: (1e-8 * rng.standard_normal((5, 3)),
                                                              1e8 * rng.standard_normal((3, 7)))),
    "values of 1e300": (lambda x: x * 1e300, lambda g, x: g * 1e300, lambda rng: (rng.standard_normal((3, 5)),)),
    "squares of 1e150": (square, lambda g, x: g * 2 * x, lambda rng: (1e150 * rng.standard_normal((3, 5)),)),
    "scores that are 20 apart": (softmax, lambda g, x: softmax(x) * (g - (g * softmax(x)).sum(1, keepdims=True)),
                                 lambda rng: (20.0 * rng.permutation(15).reshape(3, 5),)),
    "a sine around 1e8": (np.sin, lambda g, x: g * np.cos(x), lambda rng: (1e8 + rng.standard_normal(3),)),
    **{f"a chaotic map, {count} steps": (*logistic_map(count), lambda rng: (rng.random(5),))
       for count in (20, 40, 100)},
}


@pytest.mark.parametrize("case", HARD)
def test_right_gradient_of_hard_numbers_is_not_called_wrong(case, rng):
    forward, backward, inputs = HARD[case]
    report = verdict_of(forward, backward, *inputs(rng))
    assert report.verdict in ("PASS", "WEAK"), report
    assert not any("kink" in text for found in report.inputs for text in found.text), report


@pytest.mark.parametrize("case", [case for case in HARD if "chaotic" not in case and "sine" not in case])
def test_wrong_gradient_of_hard_numbers_does_not_pass(case, rng):
    forward, backward, inputs = HARD[case]

    def doubled(*arguments):
        found = backward(*arguments)
        return tuple(2 * d for d in found) if isinstance(found, tuple) else 2 * found

    assert verdict_of(forward, doubled, *inputs(rng), edits=False).verdict == "FAIL"


@pytest.mark.parametrize("x", [[0.0, 0, 0, -1], [2.0, 1, 2, 2], [3.0, 3, 3, 3, 3], [0.0, 0, 0]])
def test_half_for_each_of_three_ties_is_wrong(x, seed):
    """The central difference at a tie is a half, for each by itself."""

    def half(g, x):
        tied = x == x.max()
        return g * tied * (0.5 if tied.sum() > 1 else 1.0)

    report = verdict_of(lambda x: x.max(0), half, np.array(x), edits=False, seed=seed)
    assert report.verdict == "FAIL" and report.hints[0].key == "ties", report
    share = verdict_of(lambda x: x.max(0), lambda g, x: g * (x == x.max()) / np.sum(x == x.max()), np.array(x))
    assert share.verdict == "KINK", share


def test_nan_at_a_kink_is_not_between_its_slopes(rng):
    x = rng.standard_normal((3, 5))
    x[1, 2] = 0
    report = verdict_of(lambda x: np.maximum(x, 0), lambda g, x: g * np.maximum(x, 0) / x, x)
    assert report.verdict == "NONFINITE", report


def test_jump_of_the_function_is_discontinuous(rng):
    x = rng.standard_normal((2, 3))
    x[0, 1] = 2.0
    assert verdict_of(lambda x: x - np.floor(x), lambda g, x: g, x).verdict == "DISCONTINUOUS"


# -- precision -----------------------------------------------------------------------------------------------------


def single(x):
    return np.exp(x.astype(np.float32)).astype(np.float64)


def fixed_point(a):
    """The x that solves x = a + cos(x) / 2, to about six digits."""
    x, change = np.zeros_like(a), 1.0
    while change > 1e-6:
        change = np.max(np.abs(a + np.cos(x) / 2 - x))
        x = a + np.cos(x) / 2
    return x


PRECISION = {
    "a solver that stops early": (fixed_point, lambda g, a: g / (1 + np.sin(fixed_point(a)) / 2)),
    "float32 in forward": (single, lambda g, x: g * np.exp(x)),
    "float32 in backward": (np.exp, lambda g, x: (g * np.exp(x)).astype(np.float32).astype(np.float64)),
    "rounded to six decimals": (lambda x: np.round(np.exp(x), 6), lambda g, x: g * np.exp(x)),
}


@pytest.mark.parametrize("case", PRECISION)
def test_precision_is_told_apart_from_an_error(case, rng):
    x = rng.standard_normal((3, 5))
    report = verdict_of(*PRECISION[case], x)
    assert report.verdict == "PRECISION" and "precision=" in str(report) and "digits" in str(report), report
    assert verdict_of(*PRECISION[case], x, precision=1e-5).verdict == "PASS"
    assert not verdict_of(*PRECISION[case], x, precision=1e-12)


@pytest.mark.parametrize("share", [2.0, 1.01])
def test_error_in_a_function_of_float32_fails(share, rng):
    report = verdict_of(single, lambda g, x: g * np.exp(x) * share, rng.standard_normal((3, 5)), precision=1e-5)
    assert report.verdict == "FAIL", report


# -- beyond the sampled point --------------------------------------------------------------------------------------


def faults_of(forward, backward, *inputs, **options):
    report = verdict_of(forward, backward, *inputs, **options)
    assert all(report.inputs), report
    return [fault.check for fault in report.faults]


def test_what_is_kept_from_the_first_call_is_found_elsewhere(rng):
    class ReLU:
        mask = None

        def forward(self, x):
            return x * (x > 0.3)

        def backward(self, g, x):
            self.mask = x > 0.3 if self.mask is None else self.mask
            return g * self.mask

    x = np.array([[0.5, -1.0, 0.35], [0.25, 2.0, 0.29]])
    report = verdict_of(ReLU().forward, ReLU().backward, x)
    assert report.verdict == "FAIL" and [fault.check for fault in report.faults] == ["elsewhere"], report
    assert "kept from the first call" in str(report)
    assert faults_of(ReLU().forward, lambda g, x: g * (x > 0.3), x) == []


def test_batch_of_one_is_checked(rng):
    x, w = rng.standard_normal((5, 3)), rng.standard_normal((3, 7))

    def squeezed(g, x, w):
        return g @ w.T, np.squeeze(x).T.reshape(3, -1) @ np.squeeze(g).reshape(-1, 7)[::-1][::-1] * min(len(x), 2) / 2

    assert faults_of(np.matmul, squeezed, x, w) == ["batch"]
    assert faults_of(np.matmul, lambda g, x, w: (g @ w.T, np.squeeze(x).T @ np.squeeze(g)), x, w) == ["batch"]
    assert faults_of(np.matmul, lambda g, x, w: (g @ w.T, x.T @ g), x, w) == []


def test_memory_layout_makes_no_difference_to_a_pair(rng):
    x = rng.standard_normal((5, 3))
    by_memory = lambda g, x: (g.ravel() * 2 * x.ravel("K")).reshape(x.shape)       # noqa: E731
    assert faults_of(square, by_memory, x) == ["layout"]


def test_forward_is_compared_with_a_reference(rng):
    x = rng.standard_normal((5, 3))
    assert faults_of(np.tanh, lambda g, x: g / np.cosh(x) ** 2, x, forward_reference=np.tanh) == []
    report = verdict_of(square, lambda g, x: 2 * g * x, x, forward_reference=np.abs)
    assert [fault.check for fault in report.faults] == ["forward"] and "not " in report.faults[0].text, report
    report = verdict_of(square, lambda g, x: 2 * g * x, x, forward_reference=lambda x: x[0])
    assert "that of forward_reference has (3,)" in str(report)


def test_degenerate_inputs_are_noted(rng):
    for x, what in ((np.ones((2, 3)), "all elements are equal"), (np.full((3, 2), [1.0, 2.0]), "all rows are equal"),
                    (np.eye(3) + 1.0, "it is symmetric")):
        report = verdict_of(square, lambda g, x: 2 * g * x, x)
        assert report.verdict == "PASS" and what in report.notes[0], report
    assert not verdict_of(square, lambda g, x: 2 * g * x, rng.standard_normal((2, 3))).notes


def test_backward_that_takes_differences_is_noted(rng):
    def by_steps(g, x):
        d = np.zeros_like(x)
        for i in np.ndindex(x.shape):
            step = np.zeros_like(x, dtype=complex)
            step[i] = 1e-30j
            d[i] = np.sum(g * square(x + step).imag) / 1e-30
        return d

    report = verdict_of(square, by_steps, rng.standard_normal((2, 3)))
    assert report.verdict == "PASS" and "calls forward 6 times" in report.notes[0], report


# -- stages --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slip", ["", "linear", "tanh", "scale"])
def test_first_wrong_stage_is_named(slip, rng):
    stages = [("linear", lambda x, w: x @ w), ("tanh", np.tanh), ("scale", lambda h: 3 * h)]

    def forward(x, w):
        z = x @ w
        h = np.tanh(z)
        return 3 * h, (x, w, h)

    def backward(g, saved):
        x, w, h = saved
        dh = g * (2 if slip == "scale" else 3)
        dz = dh * (1 - h * h) * (h if slip == "tanh" else 1)
        dx, dw = dz @ w.T, x.T @ (dz / len(x) if slip == "linear" else dz)
        return (dx, dw), {"tanh": dh, "linear": dz}

    report = verdict_of(forward, backward, rng.standard_normal((5, 3)), rng.standard_normal((3, 7)), stages=stages,
                        edits=False)
    assert bool(report) == (not slip), report
    assert any(f"the way through {slip}" in note for note in report.notes) == bool(slip), report


def test_stages_that_do_not_fit_are_refused(rng):
    x = rng.standard_normal((3, 2))
    stages = [("square", square), ("double", lambda z: 2 * z)]
    forward = lambda x: 2 * x * x                                               # noqa: E731
    with pytest.raises(TypeError, match="with stages= backward returns"):
        verdict_of(forward, lambda g, x: 4 * g * x, x, stages=stages)
    with pytest.raises(ValueError, match="no gradient for the output of stage square, only for double"):
        verdict_of(forward, lambda g, x: (g * x, {"double": g}), x, stages=stages)
    with pytest.raises(ValueError, match="do not give what forward gives"):
        verdict_of(square, lambda g, x: (g * x, {"square": 2 * g}), x, stages=stages)
    with pytest.raises(ValueError, match="of stage square has shape"):
        verdict_of(forward, lambda g, x: (g * x, {"square": g[0]}), x, stages=stages)


def test_inputs_in_float32_are_tried_in_it(rng):
    forward = lambda x: 1 / (1 + np.exp(-40 * x))       # noqa: E731
    x = rng.uniform(-0.5, 0.5, (5, 3))
    x[0, 0] = 3.0
    overflows = lambda g, x: 40 * g * np.exp(40 * x) / (1 + np.exp(40 * x)) ** 2        # noqa: E731
    assert faults_of(forward, overflows, x) == []
    assert faults_of(forward, overflows, x.astype(np.float32)) == ["float32"]
    assert faults_of(forward, lambda g, x: 40 * g * forward(x) * forward(-x), x.astype(np.float32)) == []


def test_batch_norm_in_float32_passes_far_from_zero(rng):
    """What rounding of the inputs does to a gradient is granted, 2^29 times that of float64."""
    def forward(x):
        return (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5)

    def backward(g, x):
        sigma = np.sqrt(x.var(0) + 1e-5)
        x_hat = (x - x.mean(0)) / sigma
        return (g - g.mean(0) - x_hat * (g * x_hat).mean(0)) / sigma

    for mean in (0, 100, 1e4):
        assert faults_of(forward, backward, (mean + rng.standard_normal((7, 3))).astype(np.float32)) == []


def test_gradient_in_float32_is_noted(rng):
    x = rng.standard_normal((5, 3))
    report = verdict_of(lambda x: 3 * x, lambda g, x: (3 * g).astype(np.float32), x)
    assert report and any("float32" in note for note in report.notes), report


# -- agreement decided early ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [mt.tanh, mt.relu, lambda x: mt.softmax(x, 1)], ids=["tanh", "relu", "softmax"])
def test_right_gradient_takes_two_evaluations_for_each_element(function, seed):
    mt.manual_seed(seed)
    x = mt.randn(20, 20, dtype=mt.float64)
    x = (x + 0.1 * mt.sign(x)).requires_grad_()         # away from the kink
    calls = 0

    def counted(x, factor=1.0):
        nonlocal calls
        calls += 1
        y = function(x)
        return y + (factor - 1) * y.detach()

    assert mt.gradcheck(counted, x)
    assert 2 * 400 < calls < 2.75 * 400
    calls = 0
    assert not mt.gradcheck(lambda x: counted(x, 1.5), x, raise_exception=False)
    assert calls > 8 * 400                      # disagreement is never decided early


@pytest.mark.parametrize("function, slope", [
    pytest.param(np.tanh, lambda x: 1 - np.tanh(x) ** 2, id="tanh"),
    pytest.param(np.exp, np.exp, id="exp", marks=pytest.mark.thorough),
    pytest.param(lambda x: np.maximum(x, 0), lambda x: 1.0 * (x > 0), id="relu", marks=pytest.mark.thorough)])
def test_error_of_a_billionth_in_one_of_many_elements_fails(function, slope, rng):
    x = rng.standard_normal((40, 40))
    place = tuple(rng.integers(40, size=2))

    def backward(g, x):
        dx = g * slope(x)
        dx[place] += 1e-9 * np.sqrt(np.mean(dx**2))
        return dx

    report = verdict_of(function, backward, x, fast_mode=False, edits=False)
    assert report.verdict == "FAIL" and report.inputs[0].wrong == 1 and report.inputs[0].index == place, report
