"""Verify every registered op on its own samples: formula = kernel = finite difference.

    kernel     the gradient from the fused kernels, against central differences, float64
    rule       the gradient from the rule in Tensor language, against the kernels
    single     outputs and gradients in float32, against float64 at the same (float32) inputs
    second     the gradient of the gradient, through the rule, against central differences of the kernel's gradient

Each figure is the largest difference over all samples and inputs, relative to the size of what is compared: the
larger of the element and the root mean square of its array.
"""

from dataclasses import dataclass

import numpy as np

from microtensor.core import enable_grad, from_numpy, grad
from microtensor.gradcheck.check import STEP, gradcheck
from microtensor.ops.registry import registered_ops, samples_of

LINEAR_STEP = 2.0**-10  # a power of two that float32 holds: no rounding, and a linear function has no curve

LIMITS = {"kernel": 1e-7, "rule": 1e-12, "single": 1e-5, "second": 1e-6}


@dataclass(frozen=True)
class OpResult:
    """How far an op's gradients are apart; see the module for what each figure is."""

    name: str
    samples: int
    kernel: float
    rule: float
    single: float
    second: float

    @property
    def failures(self):
        """The figures beyond their limit."""
        return [figure for figure, limit in LIMITS.items() if not getattr(self, figure) <= limit]


def check_op(op, seed=0):
    """Verify one op class on all its samples, on inputs and upstream gradients drawn from a seed."""
    samples = samples_of(op, seed)
    figures = [
        (kernel_error(sample, seed), rule_error(sample, seed), single_error(sample, seed), second_error(sample, seed))
        for sample in samples
    ]
    return OpResult(op.__name__, len(samples), *(float(max(column)) for column in zip(*figures, strict=True)))


def leaves(sample, dtype=np.float64):
    """The sample's inputs as tensors that require gradients."""
    return [from_numpy(np.array(x, dtype)).requires_grad_() for x in sample.inputs]


def gradients(sample, inputs, upstream, create_graph=False):
    """The vector-Jacobian product of a sample's function, by kernels or (create_graph) by rules."""
    with enable_grad():
        y = sample.function(*inputs)
        return grad(y, inputs, upstream, create_graph=create_graph, allow_unused=True)


def _upstream(sample, seed):
    """A random gradient for the sample's output, float64."""
    y = sample.function(*leaves(sample))
    c = np.asarray(np.random.default_rng([seed, 2]).standard_normal(y.shape))
    if sample.linear:
        c = np.round(c * 256) / 256  # with room for the step in float32's digits
    return from_numpy(np.asarray(c.astype(y.dtype)))


def _distance(found, expected, size=None):
    """The largest difference, relative to the larger of the element and the root mean square."""
    if expected.size == 0:
        return 0.0
    size = np.maximum(np.abs(expected), np.sqrt(np.mean(expected.astype(np.float64) ** 2))) if size is None else size
    error = np.abs(found - expected)
    return float(np.max(np.where(error == 0, 0.0, error / np.maximum(size, np.finfo(np.float64).tiny))))


def kernel_error(sample, seed=0):
    """The kernels' gradient against central differences."""
    report = gradcheck(
        sample.function, leaves(sample), eps=LINEAR_STEP if sample.linear else None, seed=seed, raise_exception=False
    )
    errors = [0.0]
    for worst in report.inputs:
        if sample.zero_gradient:
            errors.append(max(abs(worst.analytic), abs(worst.numeric)))
        elif worst.size == 0:
            errors.append(float("inf"))  # the gradient was never there: nothing was verified
        else:
            errors.append(worst.relative)
    return max(errors)


def rule_error(sample, seed=0):
    """The rule's gradient against the kernels'."""
    upstream = _upstream(sample, seed)
    by_kernel = gradients(sample, leaves(sample), upstream)
    by_rule = gradients(sample, leaves(sample), upstream, create_graph=True)
    return max(
        _distance(rule.detach().numpy(), kernel.numpy(), size=1.0 if sample.zero_gradient else None)
        for rule, kernel in zip(by_rule, by_kernel, strict=True)
    )


def single_error(sample, seed=0):
    """Output and gradients in float32 against float64, at inputs that float32 holds."""
    upstream = _upstream(sample, seed).float()
    singles = leaves(sample, np.float32)
    doubles = [x.detach().double().requires_grad_() for x in singles]
    y_single, y_double = sample.function(*singles), sample.function(*doubles)
    by_single = grad(y_single, singles, upstream.to(y_single.dtype))
    by_double = grad(y_double, doubles, upstream.to(y_double.dtype))
    pairs = [(y_single, y_double), *zip(by_single, by_double, strict=True)]
    size = 1.0 if sample.zero_gradient else None
    return max(_distance(s.detach().double().numpy(), d.detach().numpy(), size) for s, d in pairs)


def second_error(sample, seed=0):
    """d(v vjp(x, c))/dx and d/dc through the rule, against central differences of the kernels' vjp."""
    random = np.random.default_rng([seed, 3])
    upstream = _upstream(sample, seed).requires_grad_()
    inputs = leaves(sample)
    directions = [random.standard_normal(x.shape) for x in inputs]
    first = gradients(sample, inputs, upstream, create_graph=True)
    recorded = [(d, v) for d, v in zip(first, directions, strict=True) if d.requires_grad]
    variables = [*inputs, upstream]
    if recorded:
        analytic = grad(
            [d for d, _ in recorded], variables, [from_numpy(np.asarray(v)) for _, v in recorded], allow_unused=True
        )
    else:
        analytic = [None] * len(variables)

    def projected():
        values = gradients(sample, inputs, upstream.detach())
        return [v * d.numpy() for d, v in zip(values, directions, strict=True)]

    worst = 0.0
    for variable, found in zip(variables, analytic, strict=True):
        array = variable.detach().numpy()
        if array.size == 0:
            continue
        found = np.zeros(array.shape) if found is None else found.detach().numpy()
        numeric, noise = np.empty(array.shape), 0.0
        for place in np.ndindex(array.shape):
            before = array[place]
            h = LINEAR_STEP if sample.linear else STEP * max(1.0, abs(before))
            array[place] = above = before + h
            high = projected()
            array[place] = below = before - h
            low = projected()
            array[place] = before
            numeric[place] = sum(np.sum(a - b) for a, b in zip(high, low, strict=True)) / (above - below)
            noise = max(noise, sum(np.sum(np.abs(a)) for a in high))
        size = max(float(np.sqrt(np.mean(numeric**2))), noise, 1e-3)
        worst = max(worst, _distance(found, numeric, np.maximum(np.abs(numeric), size)))
    return worst


def registry_table(names=(), seed=0):
    """Verify the named ops (all by default), print a line for each, and return whether all passed."""
    ops = registered_ops()
    unknown = [name for name in names if name not in ops]
    if unknown:
        raise ValueError(f"no op is called {unknown[0]!r}; there are {', '.join(ops)}")
    width = max(map(len, ops))
    print(f"{'op':{width}}  samples  " + "  ".join(f"{figure:>7}" for figure in LIMITS))
    print(f"{'limit':{width}}           " + "  ".join(f"{limit:7.0e}" for limit in LIMITS.values()))
    failed = []
    for name in names or ops:
        result = check_op(ops[name], seed)
        figures = "  ".join(f"{getattr(result, figure):7.0e}" for figure in LIMITS)
        verdict = "FAIL " + ", ".join(result.failures) if result.failures else "ok"
        print(f"{name:{width}}  {result.samples:7}  {figures}  {verdict}")
        failed += [name] if result.failures else []
    count = len(names or ops)
    print(f"{count - len(failed)} of {count} ops verified" + (f"; failed: {', '.join(failed)}" if failed else ""))
    return not failed
