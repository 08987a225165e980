"""The checker is checked: planted errors are found and named, right gradients pass, nothing is left changed."""

import re

import numpy as np
import pytest

import microtensor as mt
from microtensor.gradcheck import GradcheckError, check_function


def random_input(rng, *shape, dtype=np.float64, requires_grad=True):
    return mt.tensor(np.asarray(rng.uniform(0.5, 2, shape), dtype), requires_grad=requires_grad)


def half_cut(x):
    """x * x with one factor cut off: half the gradient is missing."""
    return x * x.detach()


# Each is right in its values and wrong in its gradient, as a hand-written backward may be.
PLANTED = {
    "a factor treated as constant": (half_cut, (3, 4)),
    "a missing term": (lambda x: x.sum() * 2 - x.detach().sum(), (3,)),
    "a sign": (lambda x: 2 * x.detach() - x, (3,)),
    "a missing chain factor": (lambda x: x + 2 * x.detach(), (3,)),
    "softmax without its off-diagonal terms": (lambda x: x.exp() / x.detach().exp().sum(-1, keepdim=True), (2, 3)),
    "a mean without its divisor": (lambda x: x.sum() - (x.detach().sum() - x.detach().mean()), (4,)),
    "a transposed gradient": (lambda x: x.T + (x - x.T).detach(), (3, 3)),
    "a gradient of one row for all": (lambda x: x[:1] + (x - x[:1]).detach(), (3, 2)),
    "the statistics of a normalisation": (lambda x: (x - x.mean(0)) / x.detach().std(0), (4, 2)),
    "one element in a hundred": (lambda x: x * x + mt.where(mt.arange(100) == 37, 1e-3 * (x - x.detach()), 0), (100,)),
    "one part in a hundred thousand": (lambda x: x.exp() * (1 + 1e-5) - x.exp().detach() * 1e-5, (5,)),
    "a gradient where there is none": (lambda x: x - x.detach() + 1, (3,)),
    "a gradient of nan": (lambda x: x + ((x - x.detach()) * (x - x.detach())).sqrt(), (3,)),
}


@pytest.mark.parametrize(("function", "shape"), PLANTED.values(), ids=PLANTED)
def test_planted_error_is_caught(function, shape, rng, request):
    x = random_input(rng, *shape)
    for seed in range(2):           # each tells nearly all there is: the corpora go over many
        report = mt.gradcheck(function, x, raise_exception=False, seed=seed)
        expected = "NONFINITE" if "nan" in request.node.callspec.id else "FAIL"
        assert report.verdict == expected and not report
        assert "FAILED" in str(report) and f"{expected} input0" in str(report)
        assert report.worst.excess > 1 and report.worst.wrong >= 1
        with pytest.raises(GradcheckError) as caught:
            mt.gradcheck(function, x, seed=seed)
        assert str(caught.value) == str(report) == str(caught.value.report)
    assert isinstance(caught.value, AssertionError)


RIGHT = {
    "polynomial": (lambda x: x**3 - 2 * x, (3, 4)),
    "softmax": (lambda x: x.softmax(-1), (2, 3)),
    "normalisation": (lambda x: (x - x.mean(0)) / x.std(0), (4, 2)),
    "several outputs": (lambda x: (x.exp(), x.sum()), (2, 3)),
    "the input itself": (lambda x: x, (3,)),
    "0-d": (lambda x: x.log(), ()),
    "inputs far from 1": (lambda x: (x * 1e6).log(), (4,)),
    "large outputs": (lambda x: x * 1e8, (4,)),
    "small outputs": (lambda x: x * 1e-3, (4,)),
    "a large constant beside": (lambda x: x + 1e5, (4,)),
}


@pytest.mark.parametrize(("function", "shape"), RIGHT.values(), ids=RIGHT)
def test_right_gradient_passes(function, shape, rng):
    report = mt.gradcheck(function, random_input(rng, *shape))
    assert report and str(report).startswith("gradcheck passed") and all(found.wrong == 0 for found in report.inputs)


def test_every_element_is_compared(rng):
    """A wrong gradient at one element is found wherever it is, and named with both values."""
    x = random_input(rng, 3, 4)
    for i in range(3):
        for j in range(4):
            mask = np.zeros((3, 4))
            mask[i, j] = 1

            def function(x, mask=mask):
                return x * x * (1 - mask) + half_cut(x) * mask

            report = mt.gradcheck(function, x, raise_exception=False)
            worst = report.worst
            assert (worst.index, worst.wrong, worst.checked) == ((i, j), 1, 12)
            assert (worst.name, worst.shape) == ("input0", (3, 4))
            assert worst.numeric == pytest.approx(2 * worst.analytic, rel=1e-6)
            line = str(report).splitlines()[1]
            assert f"input0[{i}, {j}]" in line and "1 of 12 elements wrong" in line
            yours, numeric = re.search(r"yours (\S+), numeric (\S+) ", line).groups()
            assert float(yours) == pytest.approx(worst.analytic, rel=1e-9)
            assert float(numeric) == pytest.approx(worst.numeric, rel=1e-9)


def test_report_names_the_input_that_is_wrong(rng):
    x, w = random_input(rng, 2, 3), random_input(rng, 3)
    report = mt.gradcheck(lambda x, w: x * half_cut(w), [x, w], names=["x", "weight"], raise_exception=False, seed=4)
    assert [(found.name, found.wrong) for found in report.inputs] == [("x", 0), ("weight", 3)]
    assert report.worst.name == "weight" and report.seed == 4
    text = str(report)
    for part in ("seed=4", "PASS x (2, 3): 0 of 6", "FAIL weight (3,): 3 of 3", "weight["):
        assert part in text


def test_analytic_value_is_the_vector_jacobian_product(rng):
    """The seed gives the upstream gradient, so L is the same function in every run."""
    x = random_input(rng, 5)
    first, again, other = (mt.gradcheck(mt.exp, x, seed=seed).worst for seed in (1, 1, 2))
    assert first == again and first.analytic != other.analytic


def test_only_inputs_that_require_gradients_are_checked(rng):
    x, constant = random_input(rng, 3), random_input(rng, 3, requires_grad=False)
    labels = mt.tensor([0, 2, 1])
    report = mt.gradcheck(lambda a, b, i: (a * b)[i], [x, constant, labels])
    assert [found.name for found in report.inputs] == ["input0"]


def test_gradient_of_zero_must_be_declared(rng):
    """An input that nothing depends on passes any comparison: that shows nothing, unless it is meant to be so."""
    x, unused = random_input(rng, 3), random_input(rng, 2)
    report = mt.gradcheck(lambda x, unused: x.exp(), [x, unused], raise_exception=False)
    found = report.inputs[1]
    assert (report.verdict, found.verdict) == ("VACUOUS", "VACUOUS") and not report
    assert (found.analytic, found.numeric, found.size, found.wrong, found.checked) == (0, 0, 0, 0, 2)
    assert mt.gradcheck(lambda x, unused: x.exp(), [x, unused], zero_gradient=["input1"])
    with pytest.raises(ValueError, match="zero_gradient names 'y'"):
        mt.gradcheck(lambda x, unused: x.exp(), [x, unused], zero_gradient=["y"])
    report = mt.gradcheck(lambda x, unused: x.exp(), [x, unused], zero_gradient=["input0", "input1"],
                          raise_exception=False)
    assert [found.verdict for found in report.inputs] == ["FAIL", "PASS"]


def test_bias_before_a_normalisation_is_zero_to_rounding(rng):
    """sum over the batch of the gradient of a normalisation: 0, computed as 1e-17."""
    x, b = random_input(rng, 7, 3), random_input(rng, 3)

    def normalised(x, b):
        return mt.nn.functional.batch_norm(x + b, None, None, training=True)

    report = mt.gradcheck(normalised, [x, b], raise_exception=False)
    assert [found.verdict for found in report.inputs] == ["PASS", "PASS"], report
    assert "zero, and rightly so" in report.inputs[1].text[0] and report.inputs[1].relative < 1e-6
    assert mt.gradcheck(normalised, [x, b], zero_gradient=["input1"])


def test_empty_inputs_alone_are_vacuous(rng):
    assert mt.gradcheck(mt.exp, random_input(rng, 0, 3), raise_exception=False).verdict == "VACUOUS"
    x, empty = random_input(rng, 2, 3), random_input(rng, 0, 3)
    assert mt.gradcheck(lambda x, empty: mt.cat([x, empty]), [x, empty])


def test_input_used_only_by_value_is_caught(rng):
    """A gradient that backward leaves out altogether is not the same as one of zero."""
    x, w = random_input(rng, 3), random_input(rng, 3)
    report = mt.gradcheck(lambda x, w: x * w.detach(), [x, w], raise_exception=False)
    assert [found.wrong for found in report.inputs] == [0, 3]
    assert report.worst.analytic == 0 != report.worst.numeric


def test_func_may_read_the_inputs_from_elsewhere(rng):
    w, b = random_input(rng, 2, 3), random_input(rng, 2)
    x = random_input(rng, 4, 3, requires_grad=False)
    assert mt.gradcheck(lambda *_: mt.linear(x, w, b).tanh(), [w, b])
    assert not mt.gradcheck(lambda *_: half_cut(mt.linear(x, w, b)), [w, b], raise_exception=False)


@pytest.mark.parametrize(
    "prepare",
    [lambda x: x.T, lambda x: x[::2, ::-1], lambda x: x[:1].expand(3, 4), lambda x: x * 2],
    ids=["transposed", "backwards", "expanded", "computed"],
)
def test_views_and_computed_tensors_are_checked(prepare, rng):
    x = prepare(random_input(rng, 6, 4))
    assert mt.gradcheck(mt.exp, x) and not mt.gradcheck(half_cut, x, raise_exception=False)
    constant = random_input(rng, 6, 4, requires_grad=False)
    assert mt.gradcheck(mt.exp, prepare(constant).requires_grad_())


# -- kinks -----------------------------------------------------------------------------------------------------


KINKED = (mt.relu, mt.abs, mt.leaky_relu, mt.selu, lambda t: mt.maximum(t, 0), lambda t: mt.clamp(t, min=0))


@pytest.mark.parametrize("distance", [1e-1, 1e-3, 1e-5, 1e-6])
def test_near_kinks_the_slope_is_the_gradient(distance, rng):
    """The steps shrink until none looks across the kink; nearer than they can, the check moves a little away."""
    x = rng.choice([-1, 1], 20) * distance * rng.uniform(1, 2, 20)
    for function in KINKED:
        assert mt.gradcheck(function, mt.tensor(x, requires_grad=True)).verdict == "PASS"


def test_at_a_kink_any_value_between_the_slopes_passes():
    """relu'(0) = 0 by convention; the central difference sees 1/2, one side 0, the other 1."""
    x = mt.tensor([0.0, 1.0, -1.0], dtype=mt.float64, requires_grad=True)
    for function in KINKED[:4]:
        report = mt.gradcheck(function, x)
        assert report and report.verdict in ("KINK", "PASS")     # abs'(0) = 0 is the central difference itself
    report = mt.gradcheck(mt.relu, x)
    assert report.verdict == "KINK" and "kink at input0[0]: any value between" in str(report)

    for slope in (-1e-3, 1 + 1e-3):
        at_zero = mt.tensor([0.0], dtype=mt.float64, requires_grad=True)
        assert mt.gradcheck(outside_at_zero(slope), at_zero, raise_exception=False).verdict == "FAIL"
    assert mt.gradcheck(outside_at_zero(0.7), mt.tensor([0.0], dtype=mt.float64, requires_grad=True)).verdict == "KINK"


def outside_at_zero(slope):
    """relu with relu'(0) = slope."""

    def function(x):
        at_zero = (x.detach() == 0).to(x.dtype)
        return mt.relu(x) + slope * at_zero * (x - x.detach())

    return function


def test_wrong_beside_a_kink_is_caught():
    def function(x):
        return mt.relu(x) + 0.1 * (x.detach() > 0).to(x.dtype) * (x - x.detach())

    report = mt.gradcheck(function, mt.tensor([0.0], dtype=mt.float64, requires_grad=True), raise_exception=False)
    assert report.verdict == "FAIL" and "beside it the gradient is wrong too" in str(report)


def test_ties_must_share_one_gradient():
    x = mt.tensor([[2.0, 2.0, 1.0]], dtype=mt.float64, requires_grad=True)
    assert mt.gradcheck(lambda x: x.amax(1), x) and mt.gradcheck(lambda x: x.max(1)[0], x)

    def each(x):
        ties = (x.detach() == x.detach().amax(1, keepdim=True)).to(x.dtype)
        return x.amax(1).detach() + (ties * (x - x.detach())).sum(1)

    report = mt.gradcheck(each, x, raise_exception=False)
    assert report.verdict == "FAIL" and report.hints[0].key == "ties"


def test_what_rounding_hides_is_not_called_wrong():
    """Saturated: the gradient is 1e-18, and no step moves the output."""
    for function in (mt.sigmoid, mt.tanh):
        x = mt.tensor([41.0, 0.5, -0.3], dtype=mt.float64, requires_grad=True)
        assert mt.gradcheck(function, x)
    x = mt.tensor([[50.0, 0.0, 1.0]], dtype=mt.float64, requires_grad=True)
    assert mt.gradcheck(lambda x: x.softmax(1), x, raise_exception=False).verdict != "FAIL"


def test_kinks_on_both_sides_do_not_hide_the_slope_between():
    """max(x^2, 1e-6) at 1e-4: flat between -1e-3 and 1e-3, and 2x to every step that is wider."""
    x = mt.tensor([1e-4, 1.0], dtype=mt.float64, requires_grad=True)
    assert mt.gradcheck(lambda x: mt.clamp(x * x, min=1e-6), x)
    wrong = mt.gradcheck(lambda x: half_cut(mt.clamp(x * x, min=1e-6)), x, raise_exception=False)
    assert wrong.verdict == "FAIL" and wrong.worst.index == (1,)


def test_memory_layout_must_not_matter(rng):
    report = mt.gradcheck(lambda x: x * (1 if x.is_contiguous() else 2), random_input(rng, 3, 4), raise_exception=False)
    assert {fault.check for fault in report.faults} == {"layout"} and "negative strides" in str(report)


@pytest.mark.parametrize("limit", [2.0, 1.99901])
def test_steps_stay_inside_a_domain_that_is_guarded(limit, rng):
    def function(x):
        if (x.detach() > limit).any():
            raise ValueError("out of range")
        return x.exp()

    x = mt.tensor([1.0, 1.999], dtype=mt.float64, requires_grad=True)
    report = mt.gradcheck(function, x)
    assert "func raised ValueError where an element was moved far" in str(report)
    assert not mt.gradcheck(lambda x: half_cut(function(x)), x, raise_exception=False)


def test_verdicts_that_are_no_success(rng):
    x = random_input(rng, 3)
    jump = mt.tensor([0.0], dtype=mt.float64, requires_grad=True)
    generator = mt.Generator(0)
    for verdict, function, at in (
        ("DISCONTINUOUS", lambda t: (t.detach() > 0).to(t.dtype) + t, jump),
        ("NONFINITE", lambda t: t / 0, x),
        ("NONFINITE", mt.sqrt, jump),
        ("NOISY", lambda t: t * mt.rand(3, generator=generator, dtype=mt.float64), x),
        ("PRECISION", lambda t: t.float().exp().double(), x),
        ("VACUOUS", lambda t: t * 0, x),
        ("WEAK", lambda t: (t + 1e7) - 1e7, x),
    ):
        report = mt.gradcheck(function, at, raise_exception=False)
        assert report.verdict == verdict and not report and verdict in str(report)
        with pytest.raises(GradcheckError, match=verdict):
            mt.gradcheck(function, at)


# -- settings --------------------------------------------------------------------------------------------------


def test_eps_and_tolerances(rng):
    x = random_input(rng, 4)
    # a step of 0.1 errs by h^2/6 f''' = 1.7e-3 for exp
    assert not mt.gradcheck(mt.exp, x, eps=0.1, raise_exception=False)
    assert mt.gradcheck(mt.exp, x, eps=0.1, rtol=3e-3)
    assert not mt.gradcheck(mt.exp, x, eps=0.1, rtol=1e-3, raise_exception=False)
    assert mt.gradcheck(half_cut, x, rtol=0.6) and mt.gradcheck(half_cut, x, atol=100)
    assert not mt.gradcheck(mt.exp, x, rtol=1e-15, atol=0, raise_exception=False)


def test_elements_are_chosen_by_seed(rng):
    x = random_input(rng, 20, 10)

    def chosen(seed, elements):
        """The elements that func sees changed."""
        seen, start = set(), x.detach().numpy().copy()

        def watching(t):
            moved = np.argwhere(t.detach().numpy() != start)
            if len(moved) == 1:                     # noise is measured by moving all
                seen.add(tuple(moved[0]))
            return t.exp()

        report = mt.gradcheck(watching, x, elements=elements, seed=seed)
        assert report.inputs[0].checked == min(elements, 200) == len(seen)
        return seen

    places = [chosen(seed, 15) for seed in (0, 0, 1)]
    assert places[0] == places[1] != places[2]
    assert len(chosen(0, 1000)) == 200
    assert not mt.gradcheck(half_cut, x, elements=3, raise_exception=False)


def test_float32_inputs_are_checked_in_double(rng):
    x, w = random_input(rng, 3, dtype=np.float32), random_input(rng, 3)
    before = x.detach().numpy().copy()
    seen = set()

    def function(x, w):
        seen.add(x.dtype)
        return (x * w).exp()

    report = mt.gradcheck(function, [x, w])
    assert report and seen == {mt.float64}
    assert len(report.notes) == 1 and report.notes[0] in str(report)
    assert "input 0 was float32" in report.notes[0]
    np.testing.assert_array_equal(x.detach().numpy(), before)
    assert x.dtype == mt.float32 and x.grad is None


# -- refusals --------------------------------------------------------------------------------------------------


def test_nothing_to_check_is_refused(rng):
    for inputs in (random_input(rng, 3, requires_grad=False), [], [mt.tensor([1, 2])]):
        with pytest.raises(ValueError, match="requires a gradient"):
            mt.gradcheck(lambda *inputs: inputs[0] * 2, inputs)


@pytest.mark.parametrize(
    "draw", [lambda: mt.rand(60, dtype=mt.float64), lambda: mt.dropout(mt.ones(60, dtype=mt.float64), 0.5)]
)
def test_default_generator_is_replayed(draw, rng):
    """Every evaluation draws the same numbers, and afterwards the stream is where it was."""
    x = random_input(rng, 60)
    state = mt.default_generator().get_state()
    assert mt.gradcheck(lambda x: x * draw(), x, zero_gradient=[])
    assert mt.default_generator().get_state() == state


def test_function_with_a_memory_is_noisy(rng):
    calls = []

    def function(x):
        calls.append(1)
        return x * (1 + 1e-3 * len(calls))

    report = mt.gradcheck(function, random_input(rng, 3), raise_exception=False)
    assert report.verdict == "NOISY" and "deterministic" in str(report)
    calls = []
    assert mt.gradcheck(lambda x: x * 1.0, random_input(rng, 3), nondet_tol=1e-3)


@pytest.mark.parametrize("index", [0, 1])
def test_function_that_changes_its_input_is_refused(index, rng):
    given = [random_input(rng, 3), random_input(rng, 3, requires_grad=False)]
    before = [x.detach().numpy().copy() for x in given]

    def function(*inputs):
        with mt.no_grad():
            inputs[index].detach().fill_(1)
        return inputs[0] * 2

    with pytest.raises(ValueError, match=f"changes its input {index} in place"):
        mt.gradcheck(function, given)
    for x, kept in zip(given, before, strict=True):
        np.testing.assert_array_equal(x.detach().numpy(), kept)


def test_shape_of_the_output_must_not_change(rng):
    calls = []

    def function(x):
        calls.append(1)
        return x[: 1 + len(calls) % 2]

    with pytest.raises(ValueError, match=r"returned shapes \[\(2,\)\] first and \[\(1,\)\] later"):
        mt.gradcheck(function, random_input(rng, 3))


def test_unknown_modes_are_refused(rng):
    for name in ("check_batched_grad", "check_batched_forward_grad", "check_forward_ad"):
        with pytest.raises(ValueError, match="neither batched gradients nor forward mode"):
            mt.gradcheck(mt.exp, random_input(rng, 3), **{name: True})


@pytest.mark.parametrize("result", [1.0, None, np.ones(3), "text", (mt.ones(3), 2.0)], ids=repr)
def test_func_must_return_tensors(result, rng):
    with pytest.raises(TypeError, match=type(result[1] if isinstance(result, tuple) else result).__name__):
        mt.gradcheck(lambda x: result, random_input(rng, 3))


def test_func_must_return_floats(rng):
    with pytest.raises(TypeError, match="int64"):
        mt.gradcheck(lambda x: x.argmax(), random_input(rng, 3))


def test_inputs_must_be_tensors_and_have_names(rng):
    x = random_input(rng, 3)
    with pytest.raises(TypeError, match="input 1 must be a Tensor, not ndarray"):
        mt.gradcheck(lambda x, y: x, [x, np.ones(3)])
    with pytest.raises(ValueError, match="1 inputs"):
        mt.gradcheck(mt.exp, x, names=["a", "b"])


# -- no trace --------------------------------------------------------------------------------------------------


def test_inputs_are_restored_bit_for_bit(rng):
    x, w = random_input(rng, 3, 4), random_input(rng, 4)
    x.grad = mt.ones(3, 4, dtype=mt.float64)
    before = [t.detach().numpy().tobytes() for t in (x, w)]
    kept = x.grad
    for function in (lambda x, w: (x * w).exp(), lambda x, w: half_cut(x) * w):
        mt.gradcheck(function, [x, w], raise_exception=False)
        assert [t.detach().numpy().tobytes() for t in (x, w)] == before
        assert x.grad is kept and kept.tolist() == [[1] * 4] * 3 and w.grad is None
    assert mt.is_grad_enabled()


@pytest.mark.parametrize("fatal", range(1, 15))
def test_inputs_are_restored_after_an_exception(fatal, rng):
    """From whichever call on func fails: recording, repeating, measuring noise, or with an element moved up or down."""
    x = random_input(rng, 3)
    before, calls = x.detach().numpy().tobytes(), []

    def function(x):
        calls.append(1)
        if len(calls) >= fatal:
            raise KeyError("planted")
        return x.exp()

    with pytest.raises(KeyError, match="planted"):
        mt.gradcheck(function, x)
    assert x.detach().numpy().tobytes() == before and x.grad is None
    assert mt.is_grad_enabled() and x.requires_grad


def test_gradcheck_works_under_no_grad(rng):
    with mt.no_grad():
        assert mt.gradcheck(mt.exp, random_input(rng, 3))
        assert not mt.gradcheck(half_cut, random_input(rng, 3), raise_exception=False)
        assert not mt.is_grad_enabled()


def test_graphs_of_the_inputs_notice_the_writes(rng):
    """A graph made before, which saved an input, gives a right gradient or an error, never a wrong one."""
    x = random_input(rng, 3)
    y = (x * x).sum()
    mt.gradcheck(mt.exp, x)
    try:
        y.backward()
    except RuntimeError as error:
        assert "written in place" in str(error)
    else:
        np.testing.assert_array_equal(x.grad.numpy(), 2 * x.detach().numpy())


def test_function_that_ignores_its_inputs_is_refused(rng):
    """A function that does not use what it is given would pass any check: its gradient and difference are both 0."""
    layer, x = mt.nn.Linear(3, 2), random_input(rng, 4, 3, dtype=np.float32)
    with pytest.raises(ValueError, match=r"nothing to check.*double\(\)"):
        mt.gradcheck(lambda *parameters: (layer(x) ** 3).sum(), list(layer.parameters()))
    with pytest.raises(ValueError, match="nothing to check"):
        mt.gradcheck(lambda x: x.detach() * 0 + 1, random_input(rng, 3))
    with pytest.raises(TypeError, match="no output"):
        mt.gradcheck(lambda x: (), random_input(rng, 3))


def test_leaf_that_is_not_contiguous_is_checked_in_place(rng):
    w = mt.from_numpy(rng.standard_normal((3, 4)).T).requires_grad_()
    assert mt.gradcheck(lambda *_: (w**3).sum(), w).worst.size > 0


@pytest.mark.parametrize("options", [{"eps": 0.0}, {"eps": float("nan")}, {"elements": 0}])
def test_options_without_meaning_are_refused(options, rng):
    with pytest.raises(ValueError, match=next(iter(options))):
        mt.gradcheck(mt.tanh, random_input(rng, 3), **options)


def test_function_that_is_infinite_on_one_side_is_nonfinite():
    report = check_function(lambda x: np.where(x > 1, np.inf, x), lambda g, x: g, [np.array([0.5, 1.0, 0.2])],
                            raise_exception=False)
    assert report.verdict == "NONFINITE"
    assert report.inputs[0].wrong == 1 and report.inputs[0].index == (1,)


def test_elements_compared_beside_a_kink_are_said_and_not_called_wrong():
    # relu's kink is so near to 1 that no step there is short enough to see much.
    x = mt.tensor([0.3, 1 + 2.0**-30, 2.0], dtype=mt.float64, requires_grad=True)
    report = mt.gradcheck(lambda x: mt.relu(x - 1) * 3 + x, [x], raise_exception=False)
    assert report, str(report)
    assert report.inputs[0].wrong == 0
