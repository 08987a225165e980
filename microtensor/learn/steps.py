"""What graders are made of: an answer, and the steps that it is taken through.

The ``check.py`` of an exercise has a function ``check(answer, draw)`` that yields steps, such as

    yield forward(answer, "sigmoid", reference, Case(draw(3, 5)), Case(np.array([1000.0]), why="..."))
    yield gradient(answer, "sigmoid", "sigmoid_backward", [draw(3, 5)], ("x",))

Every step runs the learner's code and reports in a few lines; an exception in that code is a result like any other.
"""

import contextlib
import copy
import sys
import traceback
import types
from dataclasses import dataclass, field

import numpy as np

from microtensor.gradcheck import check_function
from microtensor.gradcheck.compare import place_of

LEAST, LARGEST = 1e-9, 1e-12       # relative to the number itself, and to the largest number of the array


@dataclass
class Step:
    """What one step found.

    Attributes:
        name: "forward", "gradient", ...
        passed: whether the answer is right as far as this step sees.
        text: what was found, on one line.
        lines: what else the learner should see.
        input: of which input, if it is about one.
        hint: the key of the checker's first hint, if there is one.
    """

    name: str
    passed: bool
    text: str
    lines: list = field(default_factory=list)
    input: str = ""
    hint: str = ""


class Wrong(Exception):  # noqa: N818 -- an answer is wrong, the program is not
    """An answer is wrong: the text, and further lines, are shown to the learner."""

    def __init__(self, text, *lines, input="", hint=""):
        super().__init__(text)
        self.lines, self.input, self.hint = list(lines), input, hint


class Answer:
    """A learner's module, and what is in it by name.

    Args:
        module: as it was imported.
        path: of its file, as in tracebacks.
        announce: called with the name of every step that begins.

    Attributes:
        seed: of the upstream gradients.
        source: the text of the file.
    """

    def __init__(self, module, path, announce=lambda name: None):
        self.module, self.path, self.announce, self.seed, self.source = module, str(path), announce, 0, ""
        self.known = {}         # steps that need no seed, by name: see once

    def __getitem__(self, name):
        """What the file calls by a name.

        Raises:
            Wrong: if nothing.
        """
        try:
            return getattr(self.module, name)
        except AttributeError:
            raise Wrong(f"the file defines no {name}: keep the names that the task gives") from None

    def with_functions(self, **functions):
        """The same Answer, but that the file defines these functions and nothing else."""
        other = copy.copy(self)
        other.module = types.SimpleNamespace(**functions)
        return other


def step(answer, name, run):
    """A Step from a function that returns its text or raises Wrong; exceptions of the learner's code are caught."""
    answer.announce(name)
    try:
        with np.errstate(all="ignore"):
            return Step(name, True, run() or "")
    except Wrong as wrong:
        return Step(name, False, str(wrong), [*wrong.lines, *why_of(wrong)], wrong.input, wrong.hint)
    except NotImplementedError as error:
        return Step(name, False, NOT_WRITTEN, [str(error)] if str(error) else [])
    except (Exception, SystemExit) as error:
        return Step(name, False, in_words(error), [*raised_at(error, answer.path), *why_of(error)])


def once(answer, name, run):
    """As ``step``, for what does not depend on the seed: it runs at the first one, and is yielded again at others."""
    if name not in answer.known:
        answer.known[name] = step(answer, name, run)
    return answer.known[name]


NOT_WRITTEN = "not written yet"
CHANGED = "the output of {} is changed by the next call: make a new array in every call"
BETWEEN = "between this forward pass and its backward pass came another forward pass, as in a network of two layers"


@contextlib.contextmanager
def explained(why):
    """Tell with an exception what is special about the inputs that it came from."""
    try:
        yield
    except Exception as error:
        error.why = why
        raise


def why_of(error):
    """What ``explained`` tells with an exception, in a list; an empty one if nothing, or if it is said already."""
    why = getattr(error, "why", "")
    return [why] if why and why not in getattr(error, "lines", ()) else []


def in_words(error):
    """The class of an exception, and the first line of its message."""
    message = (str(error).splitlines() or [""])[0][:300].removeprefix("check_function: ")
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def raised_at(error, path):
    """The line of a file from which an exception came, with its text, in a list; an empty one if it was elsewhere."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    return [f"line {frames[-1].lineno}: {frames[-1].line}"] if frames else []


# -- forward -------------------------------------------------------------------------------------------------------


@dataclass
class Case:
    """Inputs of a function whose output is compared.

    Attributes:
        inputs: arrays and other arguments.
        why: what is special about them: a sentence, shown where the answer fails there.
    """

    inputs: tuple
    why: str = ""

    def __init__(self, *inputs, why=""):
        self.inputs, self.why = inputs, why


def forward(answer, name, reference, *cases, saves=True, step_name="forward"):
    """Compare a function's output with a reference.

    Args:
        answer: the Answer.
        name: of the function.
        reference: called with the same inputs.
        cases: Case, each.
        saves: whether the function returns ``(output, saved)``.
        step_name: what the step is called.
    """

    def run():
        outputs = []
        for case in cases:
            with explained(case.why):
                outputs.append(_output(answer, name, reference, case.inputs, saves))
        answer[name](*(np.flip(x).copy() if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x
                       for x in cases[0].inputs))
        if not all(np.array_equal(y, before, equal_nan=True) for y, before in outputs):
            raise Wrong(CHANGED.format(name))
        return f"{len(cases)} check{'s' * (len(cases) > 1)}"

    return step(answer, step_name, run)


def _output(answer, name, reference, inputs, saves):
    """What a function returns for some inputs, and a copy of it.

    Raises:
        Wrong: if it is not what the reference returns, or if an input is changed.
    """
    given = [_copy(x) for x in inputs]
    y = output_of(answer[name](*given), name, saves)
    for x, before in zip(given, inputs, strict=True):
        if isinstance(x, np.ndarray) and not np.array_equal(x, before, equal_nan=x.dtype.kind == "f"):
            raise Wrong(f"{name} changes its input in place: work on a new array")
    _compare(name, y, reference(*map(_copy, inputs)), inputs)
    return y, y.copy()


def _copy(x):
    return x.copy(order="K") if isinstance(x, np.ndarray) else x


def output_of(found, name, saves):
    """The output of what a function returned, an array.

    Raises:
        Wrong: if it returned something else than it should.
    """
    if saves:
        if not (isinstance(found, tuple) and len(found) == 2):
            raise Wrong(f"{name} returns {kind_of(found)}, and should return a pair: (output, saved)")
        found = found[0]
    if isinstance(found, (float, np.floating)):
        found = np.asarray(found)
    if not isinstance(found, np.ndarray) or found.dtype.kind != "f":
        raise Wrong(f"{name} returns {kind_of(found)}, and should return an array of floats")
    return found


def kind_of(value):
    """What a value is, in words."""
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype}"
    if value is None:
        return "None (is there a `return`?)"
    return f"a tuple of {len(value)}" if isinstance(value, tuple) else f"{type(value).__name__}"


def _compare(name, y, right, inputs):
    right = np.asarray(right)
    if y.shape != right.shape:
        raise Wrong(f"{name} returns shape {y.shape}, should be {right.shape}")
    finite = np.isfinite(right)
    largest = np.max(np.abs(right[finite]), initial=0)
    with np.errstate(all="ignore"):
        good = np.where(finite, np.abs(y - right) <= LEAST * np.abs(right) + LARGEST * largest, y == right)
    if good.all():
        return
    place = tuple(map(int, np.argwhere(~good)[0]))
    arrays = [x for x in inputs if isinstance(x, np.ndarray)]
    at = f" at x = {arrays[0][place]:.6g}" if len(arrays) == 1 and arrays[0].shape == y.shape else ""
    raise Wrong(f"{name}: {place_of('y', place)} = {_number(y[place])}{at}, should be {_number(right[place])}", *(
        [f"y is an array of {y.dtype}, which has fewer digits than float64"] if y.dtype.itemsize < 8 else []))


def _number(x):
    return f"{x:.10g}"


# -- gradient ------------------------------------------------------------------------------------------------------


def gradient(answer, forward_name, backward_name, inputs, names, *, others=(), between=None, why="", told=None,
             step_name="gradient", **options):
    """Compare the gradients of a backward pass with differences of the learner's own forward pass.

    Args:
        answer: the Answer.
        forward_name, backward_name: of the functions.
        inputs, names: of the forward pass, as ``check_function`` takes them.
        others: arguments of forward after the inputs, such as a number; or a function that makes them anew.
        between: arguments of another call of forward between forward and backward, as where a layer is used twice; or
            a function that makes them anew.
        why: what is special about the inputs: a sentence, shown where the answer fails there.
        told: makes the Wrong of a Report that is no success, and of why; by default ``wrong_by``, which tells all.
        step_name: what the step is called.
        options: of ``check_function``.
    """

    def run():
        own = _Counted(answer[forward_name])
        backward = answer[backward_name]

        def watched(*arguments):
            with own.watched(answer.module, forward_name):
                return _gradients_of(backward(*arguments), backward_name, wanted)

        def called(*xs):
            found = own(*xs, *_made(others))
            if between is not None:
                kept = output_of(found, forward_name, saves=True).copy()
                answer[forward_name](*_made(between))
                if not np.array_equal(output_of(found, forward_name, saves=True), kept, equal_nan=True):
                    raise Wrong(CHANGED.format(forward_name))
            return found

        wanted = [f"d{name}" if x.dtype.kind == "f" else None for name, x in zip(names, inputs, strict=True)]
        with explained(why):
            report = check_function(called, watched, inputs, names=names, seed=answer.seed, raise_exception=False,
                                    edits=False, **options)
        if not report:
            raise (told or wrong_by)(report, why)
        return f"{', '.join(f'd{found.name}' for found in report.inputs)}: " \
               f"{sum(found.checked for found in report.inputs)} elements"

    return step(answer, step_name, run)


def _made(arguments):
    return arguments() if callable(arguments) else arguments


def _gradients_of(found, name, wanted):
    """What a backward pass returned, if it is one array of floats for each gradient that is wanted.

    Where none is wanted, as of labels, there may be None, or nothing.

    Raises:
        Wrong: if it is something else.
    """
    if isinstance(found, dict) and {f"d{name}" for name in found} == set(wanted):
        return found
    gradients = found if isinstance(found, (tuple, list)) else (found,)
    if len(gradients) == len(wanted):
        gradients = [d for d, what in zip(gradients, wanted, strict=True) if what or d is not None]
    wanted = [what for what in wanted if what]
    should = f"should return {' and '.join(wanted)}" if len(wanted) < 3 else f"should return ({', '.join(wanted)})"
    if len(gradients) != len(wanted):
        raise Wrong(f"{name} returns {kind_of(found)}, and {should}")
    for d, what in zip(gradients, wanted, strict=True):
        if not isinstance(d, (np.ndarray, float, np.floating)) or np.asarray(d).dtype.kind not in "fiub":
            raise Wrong(f"{name} returns {kind_of(d)} for {what}, and should return an array of floats")
    return found


class _Counted:
    """A forward function that refuses to be called twice within one backward pass: that is numeric differentiation."""

    def __init__(self, function):
        self.function, self.calls = function, None

    def __call__(self, *arguments, **named):
        if self.calls is not None:
            self.calls += 1
            if self.calls > 1:
                raise Wrong(f"line {sys._getframe(1).f_lineno}: backward calls the forward pass more than once: it "
                            "should compute the gradient from a formula, not from differences of forward")
        return self.function(*arguments, **named)

    @contextlib.contextmanager
    def watched(self, module, name):
        """While a backward pass runs: calls through the module's name of the function are counted."""
        self.calls = 0
        setattr(module, name, self)
        try:
            yield
        finally:
            self.calls = None
            setattr(module, name, self.function)


def also_wrong(found):
    """What is said of a further wrong input, on a line: its hint, or what else there is."""
    if found.hints or found.text:
        return (found.hints or found.text)[0]
    return f"{found.wrong} of {found.checked} wrong, such as d{found.place}: yours {found.analytic:.6g}, numeric " \
           f"{found.numeric:.6g}"


def wrong_by(report, why=""):
    """A Wrong from a Report of the checker that failed: which inputs, the worst element, what it means."""
    special = [why] if why else []
    bad = [found for found in report.inputs if not found]
    if not bad:
        fault = report.faults[0]
        return Wrong(f"the numbers are right, but {fault.text}", *(other.text for other in report.faults[1:]), *special,
                     input=fault.name, hint=fault.check)
    first = report.hints[0] if report.hints else None
    worst = next((found for found in bad if first in found.hints), bad[0])
    good = [f"d{found.name}" for found in report.inputs if found]
    also = f"; {', '.join(good)} ok" if good else ""
    shape = f"d{worst.name} {worst.shape}"
    if worst.verdict == "FAIL" and worst.checked:
        text = f"{shape}: {worst.wrong} of {worst.checked} wrong{also}"
    else:
        text = f"{shape}: {worst.verdict}{also}"
    lines = []
    if worst.gradient is not None and np.shape(worst.gradient) == worst.shape and worst.checked:
        ratio = f", ratio {worst.analytic / worst.numeric:.6f}" if worst.numeric else ""
        lines.append(f"worst d{worst.place}: yours {worst.analytic:.10g}, numeric {worst.numeric:.10g}{ratio}")
    lines += [line.split("; if zero is right")[0] for line in worst.text if worst.verdict != "FAIL" or not worst.hints]
    lines += dict.fromkeys(f"-> {hint}" for hint in worst.hints)
    lines += [f"also d{found.name}: {also_wrong(found)}" for found in bad if found is not worst]
    return Wrong(text, *lines, *special, input=worst.name, hint=first.key if first else "")
