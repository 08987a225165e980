"""What a backward pass must do besides giving right numbers: each check returns the faults that it found.

    linear        the gradient of L = (a + 2b) y is that of a y plus twice that of b y
    constant      an upstream gradient of 0 gives a gradient of 0
    dtype         gradients are floats
    upstream      another upstream gradient gives another gradient
    repeat        a second backward gives the same bits, and accumulates exactly twice into .grad
    unchanged     inputs, outputs and upstream gradients keep their bytes
    aliasing      gradients of different inputs share no memory with each other or with what they were made from
    layout        Fortran order, gaps, negative and zero strides give the same gradient as contiguous inputs
    fan-out       outputs that are used twice have twice the gradient, and f(x, x) has the sum of both
    outputs       the gradients of several outputs add up to that of all
    symmetric     u H v = v H u for a second derivative H
"""

from dataclasses import dataclass

import numpy as np

from microtensor.core import enable_grad, from_numpy, grad
from microtensor.gradcheck.numpy_function import NumpyFunction
from microtensor.gradcheck.subject import TensorFunction

HALF = 2.0**-8      # what rounding to half precision, of 11 bits, may leave of being linear


@dataclass(frozen=True)
class Fault:
    """Something besides the numbers that backward does wrong: which check, of which input ("" for all), in words."""

    check: str
    name: str
    text: str


def find_faults(run, each_output=True, symmetric=0):
    """All faults of the subject of a Run.

    Args:
        run: the Run, its probes and analytic gradients measured.
        each_output: whether to pull the outputs' gradients back one by one as well, if there are several.
        symmetric: if the outputs are the gradients in this many first points: compare u H v with v H u.
    """
    if run.centre.size == 0:
        return []
    faults = _linear(run)
    if isinstance(run.subject, TensorFunction):
        faults += _backward_twice(run) + _elsewhere_in_memory(run) + _same_input_twice(run)
    if isinstance(run.subject, NumpyFunction):
        faults += [Fault("dtype", name, f"the gradient of {name} is an array of integers, which cuts off fractions: "
                                        "make it of floats, as np.zeros_like of a float array does")
                   for name in run.subject.names if name in run.subject.integers]
        again = _numpy_backward_twice(run)
        explained = {fault.name for fault in [*faults, *again] if fault.check in ("dtype", "repeat")}
        faults = [fault for fault in faults if fault.check == "dtype" or fault.name not in explained] + again
    if each_output and len(run.subject.shapes) > 1:
        faults += _outputs_alone(run)
    if symmetric:
        faults += _asymmetric(run, symmetric)
    return faults


def granted(run, k):
    """How far two ways to compute the gradient of point k may be apart: by rounding, also that of sums that cancel."""
    size, largest = (max(np.max(np.abs(d[:2]), initial=0, where=np.isfinite(d[:2])) for d in gradients)
                     for gradients in ([run.analytic[k]], run.analytic))
    terms = np.max(np.abs(run.probes[:2]), initial=0) * 2.0**-47
    return 1e-9 * size + 1e-12 * largest + 64 * np.max(run.alpha[k], initial=0) + terms


def _linear(run):
    faults = []
    a, b = run.probes[:2]
    pulled = run.subject.pull_back(np.array([b, a + 2 * b, -a, 0 * a]))
    for k, (name, ours, gradients) in enumerate(zip(run.subject.names, run.analytic, pulled, strict=True)):
        of_a, (of_b, of_sum, of_minus, of_zero) = ours[0], gradients
        if of_a.shape != of_sum.shape or not np.all(np.isfinite(of_sum)) or of_a.size == 0:
            continue
        if np.array_equal(of_a, of_b) and np.array_equal(of_a, of_sum) and np.any(of_a):
            faults.append(Fault("upstream", name, f"the gradient of {name} is the same whatever the upstream gradient "
                                                  "is: multiply by it"))
            continue
        size = np.max(np.abs(of_sum))
        if np.max(np.abs(of_zero)) > 1e-6 * size + 4 * granted(run, k):
            faults.append(Fault("constant", name, f"the gradient of {name} is not 0 for an upstream gradient of 0: a "
                                                  "term of it is not multiplied by the upstream gradient"))
            continue
        error = max(np.max(np.abs(of_sum - of_a - 2 * of_b)), np.max(np.abs(of_minus + of_a)))
        if not error <= 1e-6 * size + 4 * granted(run, k):     # 1e-6: the upstream gradient may be rounded to float32
            rounded = error <= HALF * size
            why = "it is rounded, to half precision perhaps" if rounded else \
                "a mask or a condition looks at the upstream gradient instead of the input"
            faults.append(Fault("rounded" if rounded else "linear", name,
                                f"the gradient of {name} is not linear in the upstream gradient: off by {error:.1e} "
                                f"where the gradient is of size {size:.1e}; {why}"))
    return faults


def _numpy_backward_twice(run):
    """A second backward with the same saved values; bytes of all that backward was given."""
    subject = run.subject
    outputs, saved = subject.run()
    upstreams = subject.upstreams(run.probes[0])
    watched = (*upstreams, *outputs, *subject.inputs)
    kept = [array.copy() for array in watched]
    first = [d.copy() for d in subject.gradients(upstreams, saved)]
    faults, count = [], len(outputs)
    described = [*["the upstream gradient"] * count, *["the output of forward"] * count,
                 *["an input"] * len(subject.inputs)]
    for what, array, before in zip(described, watched, kept, strict=True):
        if array.tobytes() != before.tobytes():
            faults.append(Fault("unchanged", "", f"backward changes {what} in place: others still need it"))
    for x, before in zip(subject.inputs, kept[2 * count :], strict=True):
        x[...] = before
    try:
        second = subject.gradients(subject.upstreams(run.probes[0]), saved)
    except Exception as error:
        subject.notes.append(f"a second backward with the same saved values raises {type(error).__name__}, as where "
                             "backward empties what forward saved: whether it gives the same was not checked")
        return faults
    for name, d, again in zip(subject.names, first, second, strict=True):
        if not np.array_equal(d, again, equal_nan=True):
            faults.append(Fault("repeat", name, SECOND_BACKWARD.format(name)))
    return faults


SECOND_BACKWARD = ("a second backward gives another gradient of {}: backward changes what forward saved, adds to an "
                   "array that it kept from the call before, or draws new random numbers")


def _gradients(subject, row, tensors=None, leaves=None):
    """A graph's leaves, outputs, upstream gradients, and a function that goes back; tensors replace inputs."""
    subject.reset()
    tensors = subject.tensors if tensors is None else tensors
    leaves = [x for x in tensors if x.requires_grad] if leaves is None else leaves
    with enable_grad():
        result = subject.func(*tensors)
    outputs = list(result) if isinstance(result, (tuple, list)) else [result]
    rows = [from_numpy(np.array(c, y.dtype)) for c, y in zip(subject.split(row), outputs, strict=True)]
    pairs = [(y, c) for y, c in zip(outputs, rows, strict=True) if y.requires_grad]
    outputs, rows = [y for y, _ in pairs], [c for _, c in pairs]

    def go_back(times=1):
        if not outputs:
            return [None] * len(leaves)
        found = grad(outputs * times, leaves, rows * times, retain_graph=True, allow_unused=True)
        return [None if d is None else d.detach().numpy() for d in found]

    return leaves, outputs, rows, go_back


def _backward_twice(run):
    """Bytes, shapes, memory; a second backward; one from outputs that are used twice."""
    faults, subject = [], run.subject
    leaves, outputs, rows, go_back = _gradients(subject, run.probes[0])
    watched = [t.detach().numpy() for t in (*leaves, *outputs, *rows)]
    before = [array.tobytes() for array in watched]
    first, second, twice = go_back(), go_back(), go_back(2)
    if [array.tobytes() for array in watched] != before:
        faults.append(Fault("unchanged", "", "backward writes into an input, an output or an upstream gradient"))
    seen = []
    for name, x, d, again, doubled in zip(subject.names, leaves, first, second, twice, strict=True):
        if d is None:
            continue
        if (d.shape, d.dtype) != (x.shape, x.dtype):
            faults.append(Fault("shape", name, f"the gradient of {name} has shape {d.shape} and dtype {d.dtype}, "
                                               f"{name} itself {x.shape} and {x.dtype}"))
            continue
        if not np.array_equal(d, again, equal_nan=True):
            faults.append(Fault("repeat", name, SECOND_BACKWARD.format(name)))
        elif np.max(np.abs(doubled - 2 * d), initial=0) > 1e-12 * np.max(np.abs(d), initial=0):
            faults.append(Fault("fan-out", name, f"the gradient of {name} is not doubled where the outputs are used "
                                                 "twice: accumulate with += instead of ="))
        if any(np.shares_memory(d, other) for other in seen):
            faults.append(Fault("aliasing", name, f"the gradient of {name} shares memory with that of another input"))
        seen.append(d)
    return faults


def _gapped(x):
    padded = np.full(tuple(2 * n + 1 for n in x.shape), np.nan)
    view = padded[(slice(1, None, 2),) * x.ndim]
    view[...] = x
    return view


def _reversed(x):
    backwards = (slice(None, None, -1),) * x.ndim
    return np.ascontiguousarray(x[backwards])[backwards]


def _repeated(x):
    """The first row, repeated without copying; other values than x, so the contiguous gradient is computed as well."""
    return np.broadcast_to(x[:1], x.shape)


LAYOUTS = {"Fortran order": np.asfortranarray, "gaps between elements": _gapped, "negative strides": _reversed,
           "strides of 0": _repeated}


def _leaf(array):
    return from_numpy(array).requires_grad_()


def _rounded_anew(x):
    """x, every element moved by one rounding: what a gradient changes by under this, it may change by in other ways."""
    return np.asarray(x * (1 + np.where(np.arange(x.size).reshape(x.shape) % 2, 2.0**-52, -(2.0**-52))))


def _tried(subject, row, tensors, leaves=None):
    """The gradients at other values than the inputs', or None if func refuses them."""
    try:
        return _gradients(subject, row, tensors, leaves)[3]()
    except Exception:
        return None


def _elsewhere_in_memory(run):
    """The gradients of inputs in other layouts; where func does not use what it is given, nothing is compared."""
    faults, subject = [], run.subject
    if any(x.numel() > 4096 for x in subject.leaves) or all(x.ndim == 0 for x in subject.leaves):
        return faults
    for layout, move in LAYOUTS.items():
        inputs = [move(x.detach().numpy()) if x.requires_grad and x.ndim else None for x in subject.tensors]
        plain, near, moved = ([x if array is None else _leaf(make(array))
                               for x, array in zip(subject.tensors, inputs, strict=True)]
                              for make in (np.array, _rounded_anew, lambda array: array))
        plain, near = _tried(subject, run.probes[0], plain), _tried(subject, run.probes[0], near)
        if plain is None or near is None:
            continue
        moved = _gradients(subject, run.probes[0], moved)[3]()
        for k, (name, d, d_near, d_moved) in enumerate(zip(subject.names, plain, near, moved, strict=True)):
            if d is None or d_near is None or d_moved is None or not np.all(np.isfinite(d + d_near)) or not d.size:
                continue
            error = np.max(np.abs(d - d_moved))
            if not error <= granted(run, k) + 1e-9 * np.max(np.abs(d)) + 64 * np.max(np.abs(d - d_near)):
                faults.append(Fault("layout", name, f"the gradient of {name} changes by {error:.1e} for inputs with "
                                                    f"{layout}: the loop steps wrongly through memory"))
    return faults


def _same_input_twice(run):
    """f(x, x) has the sum of both gradients of f(x, x') where x' = x: for the first two inputs of one shape."""
    subject = run.subject
    checked = [i for i, x in enumerate(subject.tensors) if x.requires_grad]
    pairs = [(i, j) for i in checked for j in checked if i < j and subject.tensors[i].shape == subject.tensors[j].shape]
    if not pairs or subject.tensors[pairs[0][0]].numel() == 0:
        return []
    i, j = pairs[0]
    start = subject.tensors[i].detach().numpy()

    def gradients(first, second, leaves):
        tensors = list(subject.tensors)
        tensors[i], tensors[j] = first, second
        return _tried(subject, run.probes[0], tensors, leaves)

    x, y, x_near, y_near = _leaf(start.copy()), _leaf(start.copy()), _leaf(_rounded_anew(start)), _leaf(start.copy())
    each, near = gradients(x, y, [x, y]), gradients(x_near, y_near, [x_near, y_near])
    with enable_grad():
        both = gradients(x.clone(), x.clone(), [x])     # two tensors, for a func that looks at which it is given
    if any(found is None or any(d is None for d in found) for found in (each, near, both)):
        return []
    if not all(np.all(np.isfinite(d)) for d in (*each, *near, *both)):
        return []
    error = np.max(np.abs(both[0] - each[0] - each[1]))
    sensitivity = max(np.max(np.abs(d - d_near)) for d, d_near in zip(each, near, strict=True))
    if error <= 1e-9 * max(np.max(np.abs(d)) for d in each) + 64 * sensitivity:
        return []
    names = f"{subject.names[checked.index(i)]} and {subject.names[checked.index(j)]}"
    return [Fault("fan-out", "", f"with one tensor for {names} its gradient is not the sum of theirs, but off by "
                                 f"{error:.1e}: accumulate with += instead of =")]


def _outputs_alone(run):
    """The gradients of the outputs one by one must add up to that of all."""
    sizes = [int(np.prod(shape)) for shape in run.subject.shapes]
    rows, start = np.zeros((len(sizes), run.centre.size)), 0
    for row, size in zip(rows, sizes, strict=True):
        row[start : start + size] = run.probes[0, start : start + size]
        start += size
    faults = []
    try:
        alone = run.subject.pull_back(rows[[size > 0 for size in sizes]])
    except ValueError:
        return faults
    for k, (name, parts, ours) in enumerate(zip(run.subject.names, alone, run.analytic, strict=True)):
        if parts.shape[1:] == ours.shape[1:] and ours.size and np.all(np.isfinite(ours[0])):
            error = np.max(np.abs(parts.sum(0) - ours[0]))
            if not error <= granted(run, k):
                faults.append(Fault("outputs", name, f"the gradient of {name} for all outputs together is off by "
                                                     f"{error:.1e} from the sum of those for each"))
    return faults


def _asymmetric(run, count):
    """u H v = v H u for the second derivative H of c y in the inputs alone: the Jacobian of x -> c J is symmetric."""
    shapes = [point.shape for point in run.subject.points[:count]]
    u, v = ([run.random.standard_normal(shape) for shape in shapes] for _ in range(2))
    rows = np.array([np.concatenate([part.ravel() for part in w]) for w in (u, v)])
    by_u, by_v = ([d[p] for d in run.subject.pull_back(rows)[:count]] for p in range(2))
    uhv = sum(np.sum(d * w) for d, w in zip(by_u, v, strict=True))
    vhu = sum(np.sum(d * w) for d, w in zip(by_v, u, strict=True))
    size = sum(np.sum(np.abs(d * w)) for d, w in zip(by_u, v, strict=True))
    room = 64 * sum(float(np.sum(s)) for s in run.alpha)
    if np.isfinite(uhv) and not abs(uhv - vhu) <= 1e-9 * size + room:
        return [Fault("symmetric", "", f"the second derivative is not symmetric: uHv = {uhv:.10g}, vHu = {vhu:.10g}")]
    return []
