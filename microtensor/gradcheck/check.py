"""gradcheck: the gradients that backward gives against differences, with derived tolerances and a verdict.

For each element i of an input and each upstream gradient c, backward gives v = c dy/dx_i, and the numeric side
(difference.py) gives n with an estimated error E. The two agree if

    |v - n| <= 8 E + 16 alpha + 64 u max|n|

where alpha is how far v moves when all inputs move by one rounding, and u = 2^-53. Agreement is a PASS only where this
tolerance is at most 1e-7 of the gradient's size; otherwise the verdict is WEAK: nothing was shown. Upstream gradients
are Gaussian, never ones; if inputs times outputs are few, all rows of the Jacobian are compared as well.
"""

import numpy as np

from microtensor.core import Tensor, enable_grad, grad, is_grad_enabled
from microtensor.creation import randn
from microtensor.gradcheck import hygiene
from microtensor.gradcheck.case import Case
from microtensor.gradcheck.compare import check_input, check_ties
from microtensor.gradcheck.diagnosis import common_hints, likeliest
from microtensor.gradcheck.early import agree_early
from microtensor.gradcheck.fast import project
from microtensor.gradcheck.numpy_function import NumpyFunction
from microtensor.gradcheck.report import GradcheckError, InputReport, Report
from microtensor.gradcheck.run import FAST, Run, at_other_places
from microtensor.gradcheck.stages import first_wrong_stage
from microtensor.gradcheck.subject import TensorFunction
from microtensor.gradcheck.wider import compare_forward, find_wider_faults, note_degenerate


def gradcheck(
    func,
    inputs,
    *,
    eps=None,
    atol=None,
    rtol=None,
    raise_exception=True,
    nondet_tol=0.0,
    check_undefined_grad=True,
    check_grad_dtypes=True,
    check_batched_grad=False,
    check_batched_forward_grad=False,
    check_forward_ad=False,
    check_backward_ad=True,
    fast_mode=False,
    masked=None,
    names=None,
    elements=None,
    zero_gradient=(),
    precision=None,
    seed=0,
):
    """Compare the gradients that backward gives for a function with differences, and say what is wrong.

    Args:
        func: takes the inputs as tensors, and returns a float tensor or a tuple of them.
        inputs: a tensor or a sequence of tensors; those that require a gradient are checked. float64 tensors are
            changed in place while the function is evaluated, and restored, so that func may as well read them from
            elsewhere, as a model reads its parameters; float32 tensors are replaced by float64 copies.
        eps: take plain central differences with this step instead of extrapolating.
        atol, rtol: accept |analytic - numeric| <= atol + rtol |numeric| instead of the derived tolerance. As in
            PyTorch they are 1e-5 and 1e-3 if only the other one, or eps, is given.
        raise_exception: raise unless the check succeeds, instead of returning a report that is false.
        nondet_tol: how far two evaluations at the same inputs may differ.
        check_undefined_grad: if there are several outputs, also pull each one's gradient back alone.
        check_grad_dtypes, check_backward_ad, masked: for PyTorch's sake; dtypes and backward are always checked.
        check_batched_grad, check_batched_forward_grad, check_forward_ad: refused, as there is no vmap or forward mode.
        fast_mode: compare three random projections of each input's gradient and eight of its elements; on a
            disagreement halve the input until an element is named.
        names: what to call the inputs in the report.
        elements: compare this many randomly chosen elements of each input; by default all.
        zero_gradient: names of inputs whose gradient is 0, and rightly so; any other such input is VACUOUS.
        precision: how exactly func is computed, relative to its outputs, if that is less than float64: 1e-6 where it
            computes in float32. What agrees as far as such outputs can show is then a success.
        seed: of the upstream gradients, the projections and the choice of elements.

    Returns:
        A Report: true only on success.

    Raises:
        GradcheckError: if the check does not succeed and raise_exception is set; its message is the report.
        ValueError: if there is nothing to check, or func changes its inputs or the shapes of its outputs.
        TypeError: if func does not return float tensors.

    Formula: |v - n| <= 8 E + 16 alpha + 64 u max|n|; see the module

    >>> import microtensor as mt
    >>> x = mt.tensor([0.5, -1.0, 2.0], dtype=mt.float64, requires_grad=True)
    >>> bool(mt.gradcheck(mt.tanh, x))
    True
    >>> half = mt.gradcheck(lambda x: x * x.detach(), x, raise_exception=False)     # one factor is cut off
    >>> half.verdict, str(half.hints[0])
    ('FAIL', 'ratio 0.5 everywhere: a factor 2 is missing, or one of two equal paths')
    """
    if check_batched_grad or check_batched_forward_grad or check_forward_ad:
        raise ValueError("gradcheck: microtensor has neither batched gradients nor forward mode: leave out "
                         "check_batched_grad, check_batched_forward_grad and check_forward_ad")
    subject = TensorFunction(func, inputs, names)
    return check(subject, "gradcheck", eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception,
                 nondet_tol=nondet_tol, fast_mode=fast_mode, elements=elements, zero_gradient=zero_gradient, seed=seed,
                 precision=precision, each_output=check_undefined_grad)


def gradgradcheck(func, inputs, grad_outputs=None, *, seed=0, names=None, **options):
    """Check second-order gradients: those of x, c -> c J(x), the vector-Jacobian product, in x and c.

    Args:
        func, inputs, names, seed: as in gradcheck.
        grad_outputs: the upstream gradients c, one for each output; by default random.
        options: those of gradcheck.

    Returns:
        A Report; one of its faults is "symmetric" if u H v and v H u differ, H being the second derivative of c y.

    >>> import microtensor as mt
    >>> x = mt.tensor([0.5, -1.0], dtype=mt.float64, requires_grad=True)
    >>> bool(mt.gradgradcheck(mt.tanh, x))
    True
    """
    given = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    inputs = TensorFunction(func, given, names).tensors
    with enable_grad():
        outputs = func(*inputs)
    outputs = list(outputs) if isinstance(outputs, (tuple, list)) else [outputs]
    if grad_outputs is None:
        from microtensor.random import Generator

        generator = Generator(seed)
        grad_outputs = [randn(*y.shape, dtype=y.dtype, generator=generator) for y in outputs]
    grad_outputs = [grad_outputs] if isinstance(grad_outputs, Tensor) else list(grad_outputs)
    grad_outputs = [c.detach().clone().requires_grad_() for c in grad_outputs]
    names = [*(names or [f"input{i}" for i in range(len(inputs))]), *[f"grad_output{i}" for i in range(len(outputs))]]

    def vjp(*arguments):
        # Differences are taken of what the kernels give; only what is differentiated runs through the rules.
        differentiable = is_grad_enabled()
        xs, cs = arguments[: len(inputs)], arguments[len(inputs) :]
        with enable_grad():
            ys = func(*xs)
            ys = list(ys) if isinstance(ys, (tuple, list)) else [ys]
            pairs = [(y, c.to(y.dtype)) for y, c in zip(ys, cs, strict=True) if y.requires_grad]
            wanted = [x for x in xs if x.requires_grad]
            found = grad([y for y, _ in pairs], wanted, [c for _, c in pairs], create_graph=differentiable,
                         allow_unused=True)
        return tuple(d if d is not None else x.detach() * 0 for d, x in zip(found, wanted, strict=True))

    subject = TensorFunction(vjp, [*inputs, *grad_outputs], names)
    return check(subject, "gradgradcheck", seed=seed, symmetric=len([x for x in inputs if x.requires_grad]), **options)


def check_function(forward, backward, inputs, *, names=None, outputs=1, edits=True, fast_mode=None,
                   stages=(), forward_reference=None, **options):
    """Check a hand-written backward pass against its forward pass, both in plain NumPy.

    Args:
        forward: called as ``forward(*inputs)``; returns the output, or ``(output, saved)``.
        backward: called as ``backward(upstream, saved)``, or as ``backward(upstream, *inputs)`` if forward returns the
            output alone, or as ``backward(upstream)`` if it takes no more; returns the gradient of L with respect to
            each float input, upstream being dL/d(output): one array, a tuple in the order of the inputs (None for an
            input that is not differentiated, such as labels), or a dictionary by name.
        inputs: an array or a sequence of them. Float arrays are checked; integer arrays are passed on as they are.
        names: what to call the inputs in the report, such as ("x", "W", "b").
        outputs: how many outputs forward returns, such as 2 for (h, c): first they, then what it saved; backward is
            called with as many upstream gradients.
        fast_mode: as in gradcheck; by default if the inputs have more than 2000 elements.
        edits: if the gradients are wrong and backward's source can be read, run every single edit of it, for three
            seconds at most, and name the first that makes all gradients right.
        stages: [(name, function), ...], which one after the other are forward, for one output: the first takes the
            inputs, each other what the one before returns. Backward then returns (gradients, by_stage), by_stage being
            a dictionary of the gradients of the stages' outputs, and the stage where it goes wrong first is named.
        forward_reference: a function of the inputs, such as a library's, that forward's outputs are compared with.
        options: as in gradcheck: eps, atol, rtol, raise_exception, nondet_tol, elements, zero_gradient, precision and
            seed.

    Returns:
        A Report: true only if the gradients are right.

    Raises:
        GradcheckError: if they are not, unless raise_exception=False; its message is the report.
        TypeError, ValueError: if forward or backward does not return what it should.

    >>> import numpy as np
    >>> x, W = np.random.default_rng(0).standard_normal((5, 3)), np.ones((3, 2))
    >>> report = check_function(lambda x, W: x @ W, lambda g, x, W: (g @ W.T, x.T @ g / len(x)), [x, W],
    ...                         names=["x", "W"], raise_exception=False)
    >>> report.verdict, report.repair.after
    ('FAIL', 'return (g @ W.T, x.T @ g)')
    """
    subject = NumpyFunction(forward, backward, inputs, names, outputs, stages)
    size = sum(point.size for point in subject.points)
    if fast_mode is None and size > FAST:
        subject.notes.append(f"fast mode, as there are {size} elements, more than {FAST}: fast_mode=False compares all")
    return check(subject, "check_function", edits=edits, fast_mode=size > FAST if fast_mode is None else fast_mode,
                 wider=True, forward_reference=forward_reference, **options)


CERTAIN, VAGUE = 0.5, 1     # hints of a lower rank name a formula that nothing else has; those of a higher, a place

# -- the check itself ----------------------------------------------------------------------------------------------


def check(subject, title, *, eps=None, atol=None, rtol=None, raise_exception=True, nondet_tol=0.0, fast_mode=False,
          elements=None, zero_gradient=(), precision=None, seed=0, each_output=True, symmetric=0, edits=False,
          wider=False, shuffled=False, forward_reference=None, early=True):
    """Check a Subject; the options are those of gradcheck and check_function. Points and state are left as they were.

    Args:
        wider, shuffled: whether to look at other points and layouts as well, if all is right; of a NumpyFunction.
        early: whether agreement may be decided with two evaluations for each element; the ledger measures all.
    """
    if eps is not None and not eps > 0:
        raise ValueError(f"gradcheck: eps must be above 0, got {eps}")
    if precision is not None and not 0 < precision < 1:
        raise ValueError(f"gradcheck: precision must be between 0 and 1, such as 1e-6, got {precision}")
    if elements is not None and elements < 1:
        raise ValueError(f"gradcheck: elements must be at least 1, got {elements}")
    if isinstance(zero_gradient, (str, bool)):
        raise TypeError(f"gradcheck: zero_gradient takes a list of names, such as [{subject.names[0]!r}], got "
                        f"{zero_gradient!r}")
    unknown = set(zero_gradient) - set(subject.names)
    if unknown:
        raise ValueError(f"gradcheck: zero_gradient names {sorted(unknown)[0]!r}; the inputs are "
                         f"{', '.join(subject.names)}")
    # A step may leave the domain of a function, and NumPy would warn; what is not finite there is dealt with here.
    with subject.unchanged(), np.errstate(all="ignore"):
        centre = subject.evaluate()
        verdict, text = _cannot_be_checked(centre, subject.evaluate(), nondet_tol)
        if verdict:
            inputs = [InputReport(name, point.shape, verdict, text=[text])
                      for name, point in zip(subject.names, subject.points, strict=True)]
            report = Report(title, inputs, [], list(subject.notes), seed)
        else:
            run = Run(subject, centre, eps, atol, rtol, fast_mode, elements, zero_gradient, seed, precision)
            inputs = _check_inputs(run, early)
            check_ties(run, inputs)
            for k, found in enumerate(inputs):
                if fast_mode and found and found.checked:
                    project(run, k, found)
            faults = hygiene.find_faults(run, each_output, symmetric)
            if forward_reference is not None:
                faults += compare_forward(subject, forward_reference)
            if wider:
                note_degenerate(subject)
                if run.derived and not faults and all(inputs):
                    faults += find_wider_faults(run, shuffled)
            report = Report(title, inputs, faults, list(subject.notes), seed)
            if not report:
                _explain(run, report)
                if getattr(subject, "stages", ()):
                    report.notes.append(first_wrong_stage(run))
                if edits and any(found.verdict == "FAIL" for found in inputs):
                    _repair(run, report)
    if raise_exception and not report:
        raise GradcheckError(report)
    return report


def _cannot_be_checked(centre, again, nondet_tol):
    """A verdict and a sentence if the function, evaluated twice, cannot be checked at all; else two empty strings."""
    if not np.all(np.isfinite(centre)):
        return "NONFINITE", (f"the function gives {centre[~np.isfinite(centre)][0]} at these inputs: it can be checked "
                             "only where its values are finite")
    if not np.array_equal(centre, again) and not np.max(np.abs(centre - again)) <= nondet_tol:
        return "NOISY", ("two evaluations at the same inputs differ: make the function deterministic, for example by "
                         "drawing from a new mt.Generator(0) inside it")
    return "", ""


def _check_inputs(run, early):
    """An InputReport for each point; if one is no success, all are as exact as it gets, for the diagnosis."""
    agreed = [agree_early(run, k) if early else None for k in range(len(run.subject.points))]
    inputs = [found or check_input(run, k) for k, found in enumerate(agreed)]
    if not all(inputs):
        run.kinks = [kink for kink in run.kinks if not agreed[kink.input]]      # they are found again
        inputs = [check_input(run, k) if agreed[k] else found for k, found in enumerate(inputs)]
    return inputs


def _explain(run, report):
    """Add the hints to the inputs that failed: the likeliest of those that hold at other inputs as well."""
    here = _hints(run, report.inputs, report.faults, report.notes)
    there = [None] * len(here)
    for _ in range(3):
        # Hints of faults alone, where no number is wrong, need no second look.
        if any(hints and again is None and found.verdict == "FAIL"
               for hints, again, found in zip(here, there, report.inputs, strict=True)):
            there = [found if again is None else again
                     for again, found in zip(there, _hints_elsewhere(run, report.faults), strict=True)]
    for found, hints, again in zip(report.inputs, here, there, strict=True):
        kept = hints if again is None else [hint for hint in hints if any(map(hint.is_like, again))]
        found.hints = likeliest(found.hints + kept)
    if any(hint.rank < CERTAIN for hint in report.hints):       # mostly, one slip made all of them wrong
        for found in report.inputs:
            found.hints = [hint for hint in found.hints if hint.rank < VAGUE]


def _hints(run, inputs, faults, notes):
    """For each input of a Run all hints that explain its gradient; notes get what went wrong on the way."""
    subject = run.subject
    arrays = dict(zip(subject.names, subject.points, strict=True)) | subject.others
    every = [[] for _ in inputs]
    for k, (found, ours) in enumerate(zip(inputs, run.analytic, strict=True)):
        checks = {fault.check for fault in faults if fault.name in (found.name, "")}
        if found.gradient is not None and (found.verdict == "FAIL" or checks):
            cases = []
            for probe in range(2):
                others = {other.name: other.differences[probe] for other in inputs
                          if other is not found and other.differences is not None}
                cases.append(Case(found, probe, ours[probe], arrays, subject.split(run.centre),
                                  subject.split(run.probes[probe]), ours[2:] if run.full else None, checks, others))
                for _, place in (bent for bent in run.bent if bent[0] == k):
                    cases[-1].forget(place)     # at a kink the difference is no gradient: no ratio to it says anything
            every[k] = common_hints(cases)
            notes += cases[0].troubles
    return every


def _hints_elsewhere(run, faults):
    """The hints where all numbers of each input lie at other places of it; None for an input that is not wrong there.

    A row, a sign or a mask that explains an error by chance, or that values decide, does not do so a second time.
    """
    subject = run.subject
    unknown = [None] * len(subject.points)
    if run.fast_mode or not run.derived:
        return unknown
    try:
        with subject.unchanged():
            for point in subject.points:
                point[...] = at_other_places(run.random, point)
            centre = subject.evaluate()
            again = Run(subject, centre, None, None, None, False, run.elements, run.zero_gradient, 1, run.precision)
            inputs = [check_input(again, k) for k in range(len(subject.points))]
            return [hints if found.verdict == "FAIL" else None
                    for found, hints in zip(inputs, _hints(again, inputs, faults, []), strict=True)]
    except Exception:
        return unknown              # outside of the function's domain


def _is_right(run, report, backward):
    """Whether the check of a NumpyFunction succeeds with another backward."""
    subject = run.subject
    inputs = [x.copy() for x in subject.inputs]
    another = NumpyFunction(subject.forward, backward, inputs, subject.all_names, subject.count, subject.stages)
    return bool(check(another, "", fast_mode=run.fast_mode, elements=run.elements, zero_gradient=run.zero_gradient,
                      precision=run.precision or None, raise_exception=False, seed=report.seed, wider=True,
                      shuffled=True))


def _repair(run, report):
    """Name the line of backward, one edit of which makes all gradients right."""
    inputs = report.inputs
    if any(found.differences is None for found in inputs) or \
            {fault.check for fault in report.faults} & {"repeat", "unchanged", "linear", "upstream"}:
        return
    from microtensor.gradcheck.repair import calls_alone, find_repair  # on first use, as it reads sources

    try:
        report.repair = find_repair(run.subject, run.probes[:2], [found.differences for found in inputs],
                                    [found.tolerances for found in inputs],
                                    lambda backward: _is_right(run, report, backward))
    except Exception as error:
        report.notes.append(f"the search for an edit failed with {type(error).__name__}: {error}; the verdict does not "
                            "depend on it, please report this")
        return
    if report.repair is None and not report.hints and calls_alone(run.subject.backward):
        report.notes.append("backward calls another function alone, whose source was not searched for an edit: pass "
                            "that function itself")
    if report.repair is not None:       # it says all, and a hint may say another thing
        for found in inputs:
            found.hints = []
