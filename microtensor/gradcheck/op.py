"""Verify every registered op on its own samples: formula = kernel = difference.

    kernel     the gradient from the fused kernels, against differences, float64
    rule       the gradient from the rule in Tensor language, against the kernels
    single     outputs and gradients in float32, against float64 at the same (float32) inputs
    second     the gradient of the gradient, through the rule, against differences of the kernel's gradient

Each figure is the largest difference over all samples and inputs, relative to the size of what is compared: the
larger of the element and the root mean square of its array. It is infinite where a check did not succeed at all.
"""

import time
from dataclasses import dataclass

import numpy as np

from microtensor.core import enable_grad, from_numpy, grad
from microtensor.gradcheck.check import check, gradgradcheck
from microtensor.gradcheck.subject import TensorFunction
from microtensor.ops.registry import samples_of
from microtensor.random import numpy_stream

LINEAR_STEP = 2.0**-10  # a power of two that float32 holds: no rounding, and a linear function has no curve

LIMITS = {"kernel": 1e-7, "rule": 1e-12, "single": 1e-5, "second": 1e-6}


@dataclass(frozen=True)
class OpResult:
    """How far an op's gradients are apart; see the module for what each figure is.

    Attributes:
        name: of the op.
        samples: how many were verified.
        kernel, rule, single, second: the figures.
        estimates: the kernel's largest error, in units of the error that the differences estimate for themselves.
        seconds: how long it took.
    """

    name: str
    samples: int
    kernel: float
    rule: float
    single: float
    second: float
    estimates: float
    seconds: float

    @property
    def failures(self):
        """The figures beyond their limit."""
        return [figure for figure, limit in LIMITS.items() if not getattr(self, figure) <= limit]


def check_op(op, seed=0):
    """Verify one op class on all its samples, on inputs and upstream gradients drawn from a seed."""
    start = time.perf_counter()
    samples = samples_of(op, seed)
    figures = []
    for sample in samples:
        report = kernel_report(sample, seed)
        figures.append((relative_error(report), rule_error(sample, seed), single_error(sample, seed),
                        second_error(sample, seed), max(8 * found.excess for found in report.inputs)))
    columns = [float(max(column)) for column in zip(*figures, strict=True)]
    return OpResult(op.__name__, len(samples), *columns, time.perf_counter() - start)


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
    c = np.asarray(numpy_stream(seed, 2).standard_normal(y.shape))
    if sample.linear:
        c = np.round(c * 256) / 256  # with room for the step in float32's digits
    return from_numpy(np.asarray(c.astype(y.dtype)))


def _distance(found, expected, size=None):
    """The largest difference, relative to the larger of the element and the root mean square."""
    if expected.size == 0:
        return 0.0
    size = np.maximum(np.abs(expected), np.sqrt(np.mean(expected.astype(np.float64) ** 2))) if size is None else size
    error = np.abs(found - expected)
    relative = np.where(error == 0, 0.0, error / np.maximum(size, np.finfo(np.float64).tiny))
    return float(np.max(np.where(np.isnan(relative), np.inf, relative)))  # max() would pass over nan


def _options(sample, seed):
    """How to take differences of a sample's function."""
    # Through a linear function in float32 only one wide step is exact, and there the gradient must be, too.
    exact = {"eps": LINEAR_STEP, "atol": 1e-12, "rtol": 1e-12} if sample.linear else {}
    return {"seed": seed, "raise_exception": False, "early": False, **exact}


def kernel_report(sample, seed=0):
    """The Report of the kernels' gradient against differences."""
    names = [f"input{i}" for i in range(len(sample.inputs))]
    return check(TensorFunction(sample.function, leaves(sample), names), "gradcheck",
                 zero_gradient=names if sample.zero_gradient else (), **_options(sample, seed))


def kernel_error(sample, seed=0):
    """The kernels' gradient against differences."""
    return relative_error(kernel_report(sample, seed))


def second_error(sample, seed=0):
    """d(v vjp(x, c))/dx and d/dc through the rule, against differences of the kernels' vjp."""
    report = gradgradcheck(sample.function, leaves(sample), [_upstream(sample, seed)], **_options(sample, seed))
    return relative_error(report, may_be_zero=True)


def relative_error(report, may_be_zero=False):
    """The largest relative error in a Report; infinity if it found anything wrong.

    may_be_zero: whether a gradient that is 0 everywhere is in order, as second derivatives of linear functions are.
    """
    passing = ("PASS", "KINK", "VACUOUS", "WEAK") if may_be_zero else ("PASS", "KINK")
    compared = [found for found in report.inputs if found.checked]
    if report.faults or any(found.verdict not in passing for found in compared):
        return float("inf")
    # A gradient declared to be 0 has no size to be relative to; it passed.
    return max([found.relative for found in compared if found.verdict != "VACUOUS" and np.isfinite(found.relative)],
               default=0.0)


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
