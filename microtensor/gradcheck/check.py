"""gradcheck: the gradients that backward gives, against central differences, element by element.

For outputs f(x) and a random upstream gradient c, backward gives v = dL/dx of L = sum c f(x). Each element of v is
compared with

    (c (f(x + h) - f(x - h))) / (x_+ - x_-),     h = (machine epsilon)^(1/3) max(1, |x|)

where x_+ and x_- are the two inputs as stored, and outputs are subtracted before they are weighted with c, so that no
large sum loses the digits of the difference. The error of such a difference is about h^2 from the curve and eps / h
from rounding, and this h makes them equal: about 4e-11 for functions of size 1.
"""

from dataclasses import dataclass

import numpy as np

from microtensor.core import Tensor, enable_grad, from_numpy, grad, no_grad

STEP = float(np.finfo(np.float64).eps) ** (1 / 3)


class GradcheckError(AssertionError):
    """A gradient disagrees with finite differences; the message is the report."""


@dataclass(frozen=True)
class Worst:
    """The element of one input whose two gradients differ most, relative to what is allowed.

    Attributes:
        name: which input.
        shape: its shape.
        index: the element's index.
        analytic: dL/dx from backward.
        numeric: dL/dx from differences.
        relative: |analytic - numeric| over the larger of |numeric| and the input's root mean square numeric gradient.
        size: the root mean square of the input's numeric gradient; 0 if the function does not depend on it.
        excess: |analytic - numeric| over the tolerance; above 1 is a failure.
        wrong: how many elements are above.
        checked: how many elements were compared.
    """

    name: str
    shape: tuple
    index: tuple
    analytic: float
    numeric: float
    relative: float
    size: float
    excess: float
    wrong: int
    checked: int

    def __str__(self):
        verdict = "ok  " if self.wrong == 0 else "FAIL"
        place = f"[{', '.join(map(str, self.index))}]" if self.index else ""
        return (
            f"{verdict} {self.name} {self.shape}: {self.wrong} of {self.checked} elements wrong; "
            f"worst {self.name}{place}: backward {self.analytic:.10g}, difference {self.numeric:.10g}, "
            f"relative error {self.relative:.1e}"
        )


@dataclass(frozen=True)
class Report:
    """What gradcheck found: true if all gradients agree, and readable with ``print``.

    Attributes:
        inputs: a Worst for each checked input.
        notes: what the reader should know of how it was checked.
        seed: of the upstream gradient and of the choice of elements: the same seed checks the same again.
    """

    inputs: list
    notes: list
    seed: int

    def __bool__(self):
        return all(worst.wrong == 0 for worst in self.inputs)

    @property
    def worst(self):
        """The Worst of the input that is closest to failing, or furthest beyond."""
        return max(self.inputs, key=lambda worst: worst.excess)

    def __str__(self):
        heading = "gradcheck passed" if self else "gradcheck FAILED"
        return "\n  ".join([f"{heading} (seed={self.seed})", *map(str, self.inputs), *self.notes])


def gradcheck(
    func,
    inputs,
    *,
    eps=None,
    atol=1e-8,
    rtol=1e-6,
    raise_exception=True,
    names=None,
    elements=None,
    seed=0,
):
    """Compare the gradients that backward gives for a function with central differences.

    Args:
        func: takes the inputs as tensors, and returns a tensor or a tuple of them; the same for the same inputs.
        inputs: a tensor or a sequence of tensors; those that require a gradient are checked. float64 tensors are
            changed in place while the function is evaluated, and restored, so that func may as well read them from
            elsewhere, as a model reads its parameters; float32 tensors are replaced by float64 copies.
        eps: the step of the differences; by default 6e-6 max(1, |x|) for each element x.
        atol, rtol: an element passes if |analytic - numeric| <= atol + rtol max(|numeric|, rms(numeric)).
        raise_exception: raise if a gradient is wrong, instead of returning a report that is false.
        names: what to call the inputs in the report.
        elements: compare this many randomly chosen elements of each input; by default all.
        seed: of the random upstream gradient and the choice of elements.

    Returns:
        A Report.

    Raises:
        GradcheckError: if a gradient is wrong and raise_exception is set.
        ValueError: if there is nothing to check, no output depends on the inputs, or func gives other outputs for the
            same inputs.
        TypeError: if func does not return float tensors.

    Formula: (c (f(x + h) - f(x - h))) / 2h against the vector-Jacobian product c J

    >>> import microtensor as mt
    >>> x = mt.tensor([0.5, -1.0], dtype=mt.float64, requires_grad=True)
    >>> bool(mt.gradcheck(mt.tanh, x))
    True
    """
    tensors, notes = _in_double([inputs] if isinstance(inputs, Tensor) else list(inputs))
    names = list(names) if names is not None else [f"input{i}" for i in range(len(tensors))]
    if len(names) != len(tensors):
        raise ValueError(f"gradcheck: {len(tensors)} inputs need as many names, got {len(names)}")
    if eps is not None and not eps > 0:
        raise ValueError(f"gradcheck: eps must be above 0, got {eps}")
    if elements is not None and elements < 1:
        raise ValueError(f"gradcheck: elements must be at least 1, got {elements}")
    checked = [i for i, x in enumerate(tensors) if x.requires_grad]
    if not checked:
        raise ValueError("gradcheck: no input requires a gradient: set requires_grad=True on those to check")

    random = np.random.default_rng([seed, 1])  # a stream of its own: inputs may come from default_rng(seed)
    with enable_grad():
        outputs = _outputs(func(*tensors))
    upstream = [random.standard_normal(y.shape).astype(y.dtype) for y in outputs]
    analytic = _vector_jacobian_product(outputs, [tensors[i] for i in checked], upstream)

    def evaluate():
        with no_grad():
            return [y.detach().numpy().copy() for y in _outputs(func(*tensors))]

    first = [y.detach().numpy() for y in outputs]
    if not all(np.array_equal(a, b, equal_nan=True) for a, b in zip(first, evaluate(), strict=True)):
        raise ValueError(
            "gradcheck: func gave other outputs for the same inputs: make it deterministic, for example by calling "
            "mt.manual_seed(0), or by giving dropout a new mt.Generator(0), inside it"
        )

    # Of a single number the gradient itself is shown, rather than c times it.
    scale = 1 / float(upstream[0].reshape(())) if sum(c.size for c in upstream) == 1 else 1.0
    found = []
    for i, gradient in zip(checked, analytic, strict=True):
        if tensors[i].numel() == 0:
            continue
        places = _places(tensors[i].shape, elements, random)
        numeric = _differences(evaluate, tensors[i].detach().numpy(), places, upstream, eps)
        found.append(_compare(names[i], tensors[i].shape, places, gradient * scale, numeric * scale, atol, rtol))
    report = Report(found, notes, seed)
    if raise_exception and not report:
        raise GradcheckError(str(report))
    return report


def _in_double(inputs):
    """The inputs as float64 leaves, and notes about those that had to be converted."""
    tensors, notes = [], []
    for i, x in enumerate(inputs):
        if not isinstance(x, Tensor):
            raise TypeError(f"gradcheck: input {i} must be a Tensor, not {type(x).__name__}")
        if x.dtype == np.float32:
            notes.append(f"input {i} was float32: checked in float64 at the same values")
            x = x.detach().double().requires_grad_(x.requires_grad)
        elif x.requires_grad and not (x.is_leaf and _steppable(x.detach().numpy())):
            x = x.detach().clone().requires_grad_()
        tensors.append(x)
    return tensors, notes


def _steppable(array):
    """Whether each element has memory of its own that may be written."""
    repeated = any(stride == 0 and size > 1 for stride, size in zip(array.strides, array.shape, strict=True))
    return array.flags.writeable and not repeated


def _outputs(result):
    """What func returned as a list of float tensors."""
    outputs = list(result) if isinstance(result, (tuple, list)) else [result]
    if not outputs:
        raise TypeError("gradcheck: func returned no output at all")
    for y in outputs:
        if not isinstance(y, Tensor):
            raise TypeError(f"gradcheck: func must return a Tensor or a tuple of them, not {type(y).__name__}")
        if y.dtype.kind != "f":
            raise TypeError(f"gradcheck: func must return float tensors, got one of dtype {y.dtype}")
    return outputs


def _vector_jacobian_product(outputs, inputs, upstream):
    """dL/dx of L = sum c f(x), for every input, as arrays; zeros for an input without influence."""
    recorded = [(y, c) for y, c in zip(outputs, upstream, strict=True) if y.requires_grad]
    gradients = [None] * len(inputs) if not recorded else grad(
        [y for y, _ in recorded],
        inputs,
        [from_numpy(np.asarray(c)) for _, c in recorded],
        allow_unused=True,
    )
    if all(d is None for d in gradients):
        raise ValueError(
            "gradcheck: no output depends on any of the inputs, so there is nothing to check: func must use the "
            "tensors it is given (float32 inputs are replaced by copies: convert a model with .double() first)"
        )
    return [np.zeros(x.shape) if d is None else d.detach().numpy() for x, d in zip(inputs, gradients, strict=True)]


def _places(shape, elements, random):
    """The indices to compare: all, or a random choice."""
    size = int(np.prod(shape))
    chosen = np.arange(size) if elements is None or elements >= size else random.choice(size, elements, replace=False)
    return [tuple(int(k) for k in np.unravel_index(place, shape)) for place in np.sort(chosen)]


def _differences(evaluate, x, places, upstream, eps):
    """The numeric gradient at each place; x is changed in place and restored."""
    numeric = np.empty(len(places))
    for number, place in enumerate(places):
        before = x[place]
        h = eps if eps is not None else STEP * max(1.0, abs(before))
        try:
            x[place] = above = before + h
            y_above = evaluate()
            x[place] = below = before - h
            y_below = evaluate()
        finally:
            x[place] = before
        change = sum(np.sum(c * (a - b)) for c, a, b in zip(upstream, y_above, y_below, strict=True))
        numeric[number] = change / (above - below)
    return numeric


def _compare(name, shape, places, gradient, numeric, atol, rtol):
    analytic = np.array([gradient[place] for place in places])
    rms = float(np.sqrt(np.mean(numeric**2)))
    size = np.maximum(np.abs(numeric), rms)
    error = np.abs(analytic - numeric)
    with np.errstate(invalid="ignore", divide="ignore"):
        excess = error / (atol + rtol * size)
        relative = np.where(error == 0, 0.0, error / size)
    excess = np.where(np.isnan(excess), np.inf, excess)  # nan or inf in either gradient never passes
    worst = int(np.argmax(excess))
    return Worst(
        name,
        tuple(shape),
        places[worst],
        float(analytic[worst]),
        float(numeric[worst]),
        float(relative[worst]),
        rms,
        float(excess[worst]),
        int(np.sum(excess > 1)),
        len(places),
    )
