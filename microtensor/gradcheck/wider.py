"""Checks of a pair in NumPy beyond the sampled point, which look where people's code breaks.

    stale         another forward pass before backward changes nothing, as where a layer is used twice in a net
    float32       inputs that were given in float32 give nearly the same gradient as in float64
    layout        Fortran order, and an upstream gradient with gaps, give the same gradient
    elsewhere     at another point, well away from the first, the gradient is right as well
    batch         and for a batch of one
    forward       the outputs are those of a reference

What cannot be run elsewhere, or is not finite there, is left out: it may lie outside of the function's domain.
"""

import inspect
import sys

import numpy as np

from microtensor.gradcheck.difference import Ladder, hidden, output_noise, rms
from microtensor.gradcheck.hygiene import Fault, granted
from microtensor.gradcheck.numpy_function import NumpyFunction
from microtensor.gradcheck.run import GUARD, UNIT, at_other_places, two_probes

MOVED = 2.0**-5     # how far inputs are moved, relative to their size, for another forward pass
NEARLY = 1e-6       # elements that are smaller are moved away from 0
SINGLE = 2.0**-7    # the share of a gradient that may be lost in float32: 17 of its 24 bits


def find_wider_faults(run, shuffled=False):
    """The faults of a NumpyFunction whose gradients are right at the sampled point.

    Args:
        run: the Run.
        shuffled: whether to look as well where each input's numbers are at other places, which may lie outside of what
            a backward is meant for, such as boxes that overlap.
    """
    _note_differences(run)
    if run.subject.narrow:
        names = ", ".join(name for name in run.subject.names if name in run.subject.narrow)
        run.subject.notes.append(f"the gradient of {names} comes in float32, which keeps 7 digits of 16")
    faults = _after_another_forward(run) or _layout(run) + _single(run) + (_elsewhere(run, False) or _batch_of_one(run))
    return faults or (_elsewhere(run, True) if shuffled else [])


def note_degenerate(subject):
    """Say of inputs that are all equal, have equal rows or are symmetric, that mistakes may hide there."""
    for name, x in zip(subject.names, subject.points, strict=True):
        what = None
        if x.size > 1 and np.ptp(x) == 0:
            what = "all elements are equal"
        elif x.ndim > 1 and len(x) > 1 and x[0].size > 1 and np.all(x == x[:1]):
            what = "all rows are equal"
        elif is_symmetric(x):
            what = "it is symmetric"
        if what is not None:
            subject.notes.append(f"of {name} {what}: a wrong gradient may be right there, so check random inputs too")


def is_symmetric(x):
    """Whether an array is a symmetric matrix, or several."""
    return x.ndim > 1 and x.shape[-1] == x.shape[-2] > 1 and np.array_equal(x, x.swapaxes(-1, -2))


def compare_forward(subject, reference):
    """The fault of a forward pass whose outputs are not those of a reference, called as ``reference(*inputs)``."""
    ours, _ = subject.run()
    theirs = reference(*[x.copy() for x in subject.inputs])
    theirs = [np.asarray(y) for y in (theirs if isinstance(theirs, tuple) else (theirs,))][: len(ours)]
    if len(theirs) < len(ours):
        raise TypeError(f"check_function: forward_reference must return {len(ours)} outputs, got {len(theirs)}")
    for number, (y, right) in enumerate(zip(ours, theirs, strict=True)):
        which = f"output {number}" if len(ours) > 1 else "the output"
        if y.shape != right.shape:
            return [Fault("forward", "", f"{which} has shape {y.shape}, that of forward_reference has {right.shape}")]
        off = np.abs(y - right) > 1e-9 * (np.abs(right) + np.max(np.abs(right), initial=0)) + 1e-300
        if np.any(off):
            place = tuple(map(int, np.argwhere(off)[0]))
            return [Fault("forward", "", f"{which} differs from forward_reference at {np.sum(off)} of {off.size} "
                                         f"elements, such as {list(place)}: {y[place]:.10g}, not {right[place]:.10g}")]
    return []


def _note_differences(run):
    """Note a backward that calls forward again and again, as one that takes differences itself does."""
    code = getattr(getattr(run.subject.forward, "__func__", run.subject.forward), "__code__", None)
    _, saved = run.subject.run()
    calls = 0

    def count(frame, event, _):
        nonlocal calls
        calls += event == "call" and frame.f_code is code

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        run.subject.gradients(run.subject.upstreams(run.probes[0]), saved)
    except Exception:
        return
    finally:
        sys.setprofile(before)
    if calls > max(2, sum(x.size for x in run.subject.points) // 2):
        run.subject.notes.append(f"backward calls forward {calls} times: it takes differences itself, so that what is "
                                 "checked is not a derivation")


def _gradients(run, inputs, upstream):
    """The first gradients for the same inputs in another form, and for upstream(g, y) in place of each g."""
    subject, given = run.subject, run.subject.inputs
    try:
        subject.inputs = inputs
        outputs, saved = subject.run()
        return subject.gradients(list(map(upstream, subject.upstreams(run.probes[0]), outputs)), saved)
    finally:
        subject.inputs = given


def _after_another_forward(run):
    """Backward with what one forward pass saved, after another one at other inputs.

    A method that finds what it needs in its object is meant for the last forward pass, which is only noted.
    """
    subject, given = run.subject, run.subject.inputs
    _, saved = subject.run()
    for form in (lambda x: x * (1 + MOVED), lambda x: at_other_places(run.random, x)):      # sizes and signs
        try:
            subject.inputs = [form(x) if x.dtype.kind == "f" else x for x in given]
            subject.run()
        except Exception:
            continue            # outside of the function's domain
        finally:
            subject.inputs = given
    gradients = subject.gradients(subject.upstreams(run.probes[0]), saved)
    stale = [name for k, (name, d) in enumerate(zip(subject.names, gradients, strict=True))
             if not np.all(np.abs(d - run.analytic[k][0]) <= granted(run, k))]
    if stale and (not subject.takes_saved or inspect.ismethod(subject.backward)):
        subject.notes.append("backward reads what the last forward pass left in the object: used twice in a net, the "
                             "object needs a forward pass right before each backward pass")
        return []
    return [Fault("stale", name, f"after another forward pass the gradient of {name} is another one: backward reads "
                                 "what the last forward pass left in a variable, and should read what it is given")
            for name in stale]


def _layout(run):
    """Fortran-ordered inputs, and upstream gradients that lie in memory with gaps."""
    subject = run.subject

    def with_gaps(g, _):
        wide = np.full((*g.shape, 2), np.nan)
        wide[..., 0] = g
        return wide[..., 0]

    try:
        gradients = _gradients(run, [np.array(x, order="F") for x in subject.inputs], with_gaps)
    except Exception as error:
        return [Fault("layout", "", f"with inputs in Fortran order and an upstream gradient with gaps, {_told(error)}")]
    return [Fault("layout", name, f"the gradient of {name} is another one where inputs lie in Fortran order and the "
                                  "upstream gradient has gaps: it depends on how arrays lie in memory")
            for k, (name, d) in enumerate(zip(subject.names, gradients, strict=True))
            if not np.all(np.abs(d - run.analytic[k][0]) <= granted(run, k))]


def _single(run):
    """In float32, where that was given: one rounding of an input is 2^29 times what alpha was measured for."""
    subject = run.subject
    if np.float32 not in subject.dtypes:
        return []
    try:
        gradients = _gradients(run, [x.astype(dtype) for x, dtype in zip(subject.inputs, subject.dtypes, strict=True)],
                               lambda g, y: g.astype(y.dtype))
    except Exception as error:
        return [Fault("float32", "", f"with inputs in float32, as given, {_told(error)}")]
    finally:
        subject.narrow.clear()
    faults = []
    for k, (name, d) in enumerate(zip(subject.names, gradients, strict=True)):
        right = run.analytic[k][0]
        room = SINGLE * np.fmax(np.abs(right), rms(right, axis=None)) + 2.0**29 * 64 * run.alpha[k][0]
        off = ~(np.abs(d - right) <= room)
        if np.any(off):
            place = tuple(map(int, np.argwhere(off)[0]))
            faults.append(Fault("float32", name, f"in float32, as it was given, the gradient of {name} is "
                                f"{d[place]:.6g} at {list(place)}, and in float64 {right[place]:.6g}: something "
                                "overflows, cancels, or is added that float32 cannot hold, such as an eps of 1e-12"))
    return faults


def _elsewhere(run, shuffled):
    """One more point, where each element is another by up to a half; symmetric matrices stay what they are."""
    subject = run.subject
    if any(is_symmetric(x) for x in subject.points):
        return []
    found = _disagrees_twice(run, lambda: _moved(run, shuffled))
    return [Fault("elsewhere", "", f"at other inputs of the same shapes the gradient is wrong: {found}; something is "
                                   "kept from the first call, or holds at the given inputs alone")] if found else []


def _batch_of_one(run):
    """The first of each input that is as long as the first one, if the outputs are as long, too."""
    subject = run.subject
    length = len(subject.inputs[0]) if subject.inputs[0].ndim else 0
    if length < 2 or any(shape[:1] != (length,) for shape in subject.shapes):
        return []
    shapes = [(1, *shape[1:]) for shape in subject.shapes]
    found = _disagrees_twice(run, lambda: [x[:1].copy() if x.ndim and len(x) == length else x for x in _moved(run)],
                             shapes)
    return [Fault("batch", "", f"for a batch of one the gradient is wrong: {found}")] if found else []


def _moved(run, shuffled=False):
    """Other inputs: other numbers by up to a half, at other places if shuffled; none is nearly 0, where kinks are."""
    points = {id(x) for x in run.subject.points}

    def other(x):
        x = at_other_places(run.random, x) if shuffled else x
        near = np.abs(x) < NEARLY
        scale = 1.0 if np.all(near) else np.sqrt(np.mean(x * x))
        away = np.where(near, 0.1 * scale * run.random.standard_normal(x.shape), 0)
        return x * run.random.uniform(0.5, 1.5, x.shape) + away

    return [other(x) if id(x) in points else x.copy() for x in run.subject.inputs]


def _disagrees_twice(run, draw, shapes=None):
    """As ``_disagreement``, if it is so at inputs that are drawn a second time, too: the first may lie at a kink."""
    found = _disagreement(run, draw(), shapes)
    return found if found and _disagreement(run, draw(), shapes) else ""


def _disagreement(run, inputs, shapes=None):
    """How the gradient at other inputs differs from differences along one direction, in words; "" if it does not.

    Args:
        run: the Run.
        inputs: the other inputs.
        shapes: those that the outputs must have, or nothing is compared.
    """
    given = run.subject
    subject = NumpyFunction(given.forward, given.backward, inputs, given.all_names, given.count, given.stages)
    subject.undifferentiated = set(given.undifferentiated)
    try:
        centre = subject.evaluate()
    except Exception:
        return ""                   # outside of the function's domain
    if not np.all(np.isfinite(centre)) or centre.size == 0 or (shapes is not None and subject.shapes != shapes):
        return ""
    probes = two_probes(run.random, centre.size)
    try:
        gradients = subject.leave_out(subject.pull_back(probes))
    except Exception as error:
        return _told(error)
    for name, d, x in zip(subject.names, gradients, subject.points, strict=True):
        if d.shape[1:] != x.shape:
            return f"that of {name} has shape {d.shape[1:]}, not {x.shape}"
    try:
        directions = [run.random.standard_normal(x.shape) for x in subject.points]
        ladder = Ladder(subject, directions, probes, centre, output_noise(subject, centre, run.random)[1])
        terms = [d.reshape(2, -1) * u.ravel() for d, u in zip(gradients, directions, strict=True)]
        expected, size = sum(t.sum(1) for t in terms), np.sqrt(sum((t * t).sum(1) for t in terms))
        value, error = ladder.refine(0.01 * GUARD * np.fmax(np.abs(expected), size))
        unsure = np.fmax(8 * error, hidden(ladder)) + 64 * UNIT * np.fmax(np.abs(expected), size) + 1e-6 * size
    except Exception:
        return ""
    far = np.abs(expected - value) > unsure
    if not np.any(far) or not np.all(np.isfinite(value)):
        return ""
    p = int(np.argmax(far))
    return f"along a random direction it gives {expected[p]:.8g}, and differences {value[p]:.8g} +- {unsure[p]:.0e}"


def _told(error):
    """An exception that backward raised, in words."""
    return f"backward raises {type(error).__name__}: {error}"
