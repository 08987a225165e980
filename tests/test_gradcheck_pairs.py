"""The second corpus: every pair is right, every slip of it is caught, and what a hint or an edit says is true."""

import functools
import sys
from pathlib import Path

import numpy as np
import pytest

from microtensor.gradcheck import check_function, repair
from microtensor.gradcheck.repair import Source
from microtensor.learn.corpus import PAIRS
from microtensor.learn.corpus.pair import KEYS
from microtensor.ops.sample import Draw

sys.path.insert(0, str(Path(__file__).parent))      # the mutants are in a package beside this file

from wrong_gradients.mutants import some_mutants

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")     # NumPy's own, where a slip divides by 0
SLIPS = [slip for pair in PAIRS for slip in pair.slips]


def report_of(case, seed=0, **options):
    forward, backward, inputs, names = case.make(Draw(seed))
    return check_function(forward, backward, inputs, names=names, seed=seed, raise_exception=False, **options)


def test_second_corpus_is_large_and_split():
    assert len(SLIPS) >= 300 and len({slip.name for slip in SLIPS}) == len(SLIPS)
    measured = sum(len(pair.slips) for pair in PAIRS if pair.is_measured)
    assert 0.35 <= measured / len(SLIPS) <= 0.65
    assert len({pair.family for pair in PAIRS}) >= 12


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_pair_is_right(pair):
    report = report_of(pair)
    assert report, report


def one_of(pair, number):
    """A slip of a pair: of pairs in a row it is the first, the second, ..., so that all kinds are among them."""
    return pair.slips[number % len(pair.slips)]


def assert_caught_and_reported(slip):
    report = report_of(slip, edits=False)
    assert not report, slip.name
    assert not any("failed" in note for note in report.notes), report
    assert all(hint.key in KEYS for hint in report.hints), report
    assert "wrong" in str(report) or report.faults


@pytest.mark.parametrize(("number", "pair"), [pytest.param(*each, id=each[1].name) for each in enumerate(PAIRS)])
def test_one_slip_of_a_pair_is_caught_and_reported(number, pair):
    assert_caught_and_reported(one_of(pair, number))


@pytest.mark.parametrize(("number", "pair"), [pytest.param(*each, id=each[1].name, marks=pytest.mark.thorough)
                                              for each in enumerate(PAIRS)])
def test_other_slips_are_caught_and_reported(number, pair):
    for slip in pair.slips:
        if slip is not one_of(pair, number):
            assert_caught_and_reported(slip)


EDITED = {
    "layer norm: dgamma averaged over the batch": ("(g * x_hat).mean(0)", "(g * x_hat).sum(0)"),
    "causal self-attention: scores not transposed for the keys": ("ds", "ds.T"),
    "residual block used twice: W of one use alone": ("dW = inp.T @ dz", "dW += inp.T @ dz"),
    "scaled dot-product attention: no 1/sqrt(d)": ("p * (dp - (dp * p).sum(1, keepdims=True))", "np.sqrt("),
    "gated scan: no carry": ("carry = ", "carry += "),
}


@pytest.mark.parametrize("name", EDITED)
def test_edit_that_repairs_is_named(name, monkeypatch):
    monkeypatch.setattr(repair, "SECONDS", np.inf)      # on a busy machine the search would give up
    monkeypatch.setattr(repair, "WAITED", np.inf)
    slip = next(slip for slip in SLIPS if slip.name == name)
    report = report_of(slip)
    before, after = EDITED[name]
    assert before in report.repair.before and after in report.repair.after, report
    assert slip.worth(report.repair) == "right"


def test_source_of_a_method_and_of_a_closure_is_compiled_again():
    class Layer:
        def __init__(self, w):
            self.w = w

        def backward(self, g, x):
            return g @ self.w.T

    scale = 3.0

    def scaled(g, x):
        return scale * g

    g = np.ones((2, 3))
    layer = Layer(np.arange(6.0).reshape(2, 3))
    assert np.array_equal(Source(layer.backward).compiled()(g, None), layer.backward(g, None))
    assert np.array_equal(Source(scaled).compiled()(g, None), scaled(g, None))


def test_search_leaves_inputs_prints_and_state_alone(capsys):
    x = np.random.default_rng(0).standard_normal((5, 3))
    before = x.copy()

    def backward(g, x):
        print("called")
        x = x * 1.0
        return g * x

    printed = []
    for edits in (False, True):
        report = check_function(lambda x: x * x, backward, [x], raise_exception=False, edits=edits)
        assert not report and bool(report.repair) == edits and np.array_equal(x, before)
        printed.append(capsys.readouterr().out.count("called"))
    assert printed[0] == printed[1] > 0         # the search itself prints nothing


def test_edit_that_leaves_a_kink_wrong_is_not_named():
    """At ties the numeric gradient is half of the sum of both slopes: half of it fits there, and nowhere else."""
    def backward(g, x):
        return g[:, None] * (x == x.max(1, keepdims=True))

    report = check_function(lambda x: x.max(1), backward, [np.array([[1.0, 1.0, 0.0], [2.0, 2.0, 2.0]])],
                            raise_exception=False)
    assert not report and "all gradients are right" not in str(report), report


def test_edits_of_lambdas_are_tried():
    x = np.random.default_rng(0).standard_normal((5, 3))
    wrong, right = lambda g, x: g * (1 - x**2), lambda g, x: 2 * g * x
    report = check_function(lambda x: x * x, lambda g, x: 3 * g * x, [x], raise_exception=False)
    assert report.repair.before == "return 3 * g * x" and report.repair.after == "return 2 * g * x"
    assert "3 * g * x, [x]" in Path(__file__).read_text().splitlines()[report.repair.line - 1]
    assert np.array_equal(Source(right).compiled()(x, x), right(x, x)), "which of the lambdas of a line it is"
    assert np.array_equal(Source(wrong).compiled()(x, x), wrong(x, x))


def test_edits_may_put_in_attributes():
    class Layer:
        def forward(self, x, w):
            self.x, self.w, self.z = x, w, x @ w
            return np.tanh(self.z)

        def backward(self, g):
            dz = g * (1 - np.tanh(self.z) ** 2)
            return dz @ self.w.T, self.z.T @ dz

    random = np.random.default_rng(0)
    layer, inputs = Layer(), [random.standard_normal((5, 3)), random.standard_normal((3, 3))]
    report = check_function(layer.forward, layer.backward, inputs, raise_exception=False)
    assert report.repair.after == "return (dz @ self.w.T, self.x.T @ dz)", report


@pytest.mark.parametrize("pair", [pytest.param(pair, id=pair.name, marks=pytest.mark.thorough if number % 4 else ())
                                  for number, pair in enumerate(PAIRS[::5])])
def test_mutants_are_caught_and_reported(pair):
    """Single edits of a right backward, by the same code that looks for the way back."""
    for slip in some_mutants(pair, 2):
        report = report_of(slip, edits=False)
        assert not report and not any("failed" in note for note in report.notes), (slip.text, report)
        assert all(slip.worth(hint) != "misleading" for hint in report.hints), (slip.text, report)


def test_backward_without_a_source_is_checked_all_the_same():
    class Product:
        def __call__(self, g, x, w):
            return g @ w.T, 2 * x.T @ g

    random = np.random.default_rng(0)
    inputs = [random.standard_normal((5, 3)), random.standard_normal((3, 7))]
    for backward in (Product(), functools.partial(Product()), Product().__call__):
        report = check_function(np.matmul, backward, inputs, raise_exception=False)
        assert report.verdict == "FAIL" and not any("please report" in note for note in report.notes), report


def unlike(g, x, w):
    return g @ (w * w + w.std()).T, x.T @ g


def test_backward_that_only_calls_another_is_noted():
    random = np.random.default_rng(0)
    report = check_function(np.matmul, lambda g, x, w: unlike(g, x, w),
                            [random.standard_normal((5, 3)), random.standard_normal((3, 7))], raise_exception=False)
    assert "pass that function itself" in report.notes[-1], report


# -- hints that would fit by chance --------------------------------------------------------------------------------


def keys_of(forward, backward, inputs):
    report = check_function(forward, backward, inputs, raise_exception=False, edits=False)
    assert not report
    return [hint.key for hint in report.hints], report


def test_ratio_is_no_side_where_all_else_is_zero(rng):
    """Where the mask is 0 both gradients are, which says nothing: the count of its ones is what is missing."""
    mask = (np.arange(35).reshape(5, 7) * 3 % 7 < 4).astype(int)
    keys, report = keys_of(lambda x, mask: np.asarray((x * x * mask).sum() / mask.sum()),
                           lambda g, x, mask: 2 * g * x * mask / mask.size, [rng.standard_normal((5, 7)), mask])
    assert keys == ["size"], report


def test_rows_that_are_masked_have_no_factor_of_their_own(rng):
    real = np.array([1, 0, 1, 1, 0])[:, None]
    keys, report = keys_of(lambda x, real: np.asarray((np.sin(x) * real).sum()) / 2.5,
                           lambda g, x, real: g * np.cos(x) * real, [rng.standard_normal((5, 7)), real])
    assert keys == ["factor"], report


def test_one_use_of_each_element_is_no_overwritten_sum(rng):
    """Of rows that are independent, the last alone contributes here by chance."""
    x = np.abs(rng.standard_normal((5, 7))) + 1
    x[:4] *= -1
    keys, report = keys_of(lambda x: x.max(1), lambda g, x: g[:, None] * (x == np.abs(x).max(1, keepdims=True)), [x])
    assert "overwritten" not in keys, report


def test_rows_that_values_decide_are_not_named(rng):
    """A row is wrong because its sum is above a bound; where the numbers are at other places, another is."""
    x = rng.uniform(-1, 1, (7, 5))
    x[3] = 1 + np.abs(x[3])
    keys, report = keys_of(lambda x: x * np.where(x.sum(1, keepdims=True) > 3, 2.0, 1.0), lambda g, x: g, [x])
    assert "lines" not in keys, report
    gain = np.array([1, 1, 1, 2, 1, 1, 1])[:, None]
    w = rng.standard_normal((5, 3))
    keys, report = keys_of(lambda x: np.tanh(gain * (x @ w)), lambda g, x: (g * (1 - np.tanh(x @ w) ** 2)) @ w.T, [x])
    assert keys == ["lines"] and "3 of axis 0" in report.hints[0].text, report


def test_sum_over_an_axis_that_must_stay_is_named(rng):
    x, w = rng.standard_normal((5, 7)), rng.standard_normal((7, 3))
    keys, report = keys_of(lambda x, w: np.tanh(x @ w),
                           lambda g, x, w: ((g * (1 - np.tanh(x @ w) ** 2)) @ w.T,
                                            (x.T @ (g * (1 - np.tanh(x @ w) ** 2))).sum(0)), [x, w])
    assert keys == ["axis"] and "axis 0" in report.hints[0].text, report


def test_gradient_of_a_mean_that_is_not_repeated_is_no_sum(rng):
    """g is the sum of g/n, too."""
    for backward in (lambda g, x: g, lambda g, x: g / 7):
        keys, report = keys_of(lambda x: x.mean(1), backward, [rng.standard_normal((5, 7))])
        assert keys == ["unexpanded"], report


def test_few_shifted_numbers_are_no_shift(rng):
    """The last sum from the left is the first from the right: one column of three."""
    keys, report = keys_of(lambda x: np.cumsum(x, 1), lambda g, x: np.cumsum(g, 1), [rng.standard_normal((7, 3))])
    assert "shifted" not in keys, report


def test_length_of_a_window_is_named(rng):
    def forward(x):
        return np.stack([x[:, t:t + 5].mean(1) for t in range(7)], 1)

    def backward(g, x):
        dx = np.zeros(x.shape)
        for t in range(7):
            dx[:, t:t + 5] += g[:, t:t + 1]
        return dx

    keys, report = keys_of(forward, backward, [rng.standard_normal((3, 11))])
    assert keys == ["size"] and "window" in report.hints[0].text, report


def test_ratio_of_a_count_names_both_readings(rng):
    keys, report = keys_of(lambda x: x**2, lambda g, x: 2 * g * x * 1.25, [rng.standard_normal((3, 7))])
    assert keys == ["factor"] and report.hints[0].others == ("ddof",), report


def test_length_taken_for_a_constant_is_no_penalty(rng):
    """Of p / |p| the term of |p| is a multiple of p, as the gradient of a penalty is."""
    x, p = rng.standard_normal((7, 5)), rng.standard_normal(5)
    size = np.linalg.norm
    keys, report = keys_of(lambda p: np.tanh(x @ p / size(p)),
                           lambda g, p: (g * (1 - np.tanh(x @ p / size(p)) ** 2)) @ x / size(p), [p])
    assert keys == ["variance"] and "its length" in report.hints[0].text, report
    keys, report = keys_of(lambda p: np.asarray(np.tanh(x @ p).sum() + 0.3 * p @ p),
                           lambda g, p: g * ((1 - np.tanh(x @ p) ** 2) @ x), [p])
    assert keys == ["decay"], report


def test_multiple_of_a_gradient_that_is_one_of_the_input_is_no_penalty(rng):
    keys, report = keys_of(lambda x: np.asarray(np.mean(x * x)), lambda g, x: 1.01 * 2 * g * x / x.size,
                           [rng.standard_normal((5, 3))])
    assert "decay" not in keys and keys, report
