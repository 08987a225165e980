"""Verdicts on gradients that the checker was not tuned to: what must fail, what must pass, and what must be said."""

import numpy as np
import pytest

from microtensor.gradcheck import check_function, diagnosis


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
    report = verdict_of(square, lambda g, x: (g * 2 * x).swapaxes(-1, -2), rng.standard_normal((2, 3, 5, 5)))
    assert report.hints[0].key == "transposed" and not report.notes, report


def test_hints_that_fail_cost_nothing_but_themselves(monkeypatch, rng):
    def broken(case):
        raise ZeroDivisionError("a slip in a hint")

    monkeypatch.setattr(diagnosis, "of_masks", broken)
    report = verdict_of(square, lambda g, x: -2 * g * x, rng.standard_normal((3, 5)))
    assert report.verdict == "FAIL" and report.hints[0].key == "sign", report
    assert ["broken failed with ZeroDivisionError: a slip in a hint" in note for note in report.notes] == [True]
