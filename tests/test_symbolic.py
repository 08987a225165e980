"""SymPy differentiates every formula; kernels and rules must agree to the rounding errors of their own arithmetic.

A formula is the one in the public function's docstring, parsed (where it cannot be, the table has it). Its derivative
is evaluated to 30 digits at float64 points, and compared with

    stated      what the op's derivation says the derivative is, in the order in which the kernel computes it: the same
                number, to 25 digits
    kernel      the gradient from the op's loop in float64: within the bound that running error analysis gives
    rule        the gradient from the op's rule: within the same bound, as it computes the same
"""

import re
from dataclasses import dataclass, field
from itertools import chain

import mpmath
import numpy as np
import pytest
import sympy as sp
from sympy.parsing import sympy_parser

import microtensor as mt
from microtensor.ops import base
from microtensor.ops.registry import registered_ops
from microtensor.ops.sample import Draw

mpmath.mp.dps = 30
ZERO, UNIT = mpmath.mpf(0), mpmath.mpf(2) ** -53        # a rounding in float64 is at most UNIT, relative; an ulp 2 UNIT
ELEMENTS = 100


# -- running error analysis -------------------------------------------------------------------------------------------
# Wilkinson's: beside each exact value v stands a bound e on how far a float64 computation may be from it. An operation
# passes the errors of its operands on, to first order, and adds its own rounding, at most UNIT |v|:
#     a + b: e_a + e_b      a b: |a| e_b + |b| e_a      a / b: (e_a + |a / b| e_b) / |b|      f(a): |f'(a)| e_a
# Terms of second order are some 1e-16 of that. Fusing a multiplication and an addition only leaves a rounding out.


@dataclass(frozen=True)
class Rounded:
    """A value to 30 digits, and a bound on the error of float64."""

    value: mpmath.mpf
    error: mpmath.mpf = ZERO

    def __add__(self, other):
        other = exactly(other)
        return rounding(self.value + other.value, self.error + other.error)

    def __neg__(self):
        return Rounded(-self.value, self.error)

    def __sub__(self, other):
        return self + -exactly(other)

    def __rsub__(self, other):
        return exactly(other) - self

    def __mul__(self, other):
        other = exactly(other)
        return rounding(self.value * other.value, abs(self.value) * other.error + abs(other.value) * self.error)

    def __truediv__(self, other):
        other = exactly(other)
        quotient = self.value / other.value
        return rounding(quotient, (self.error + abs(quotient) * other.error) / abs(other.value))

    def __rtruediv__(self, other):
        return exactly(other) / self

    def __gt__(self, other):
        return self.value > exactly(other).value

    __radd__, __rmul__ = __add__, __mul__


def exactly(x):
    """A number that float64 holds."""
    return x if isinstance(x, Rounded) else Rounded(mpmath.mpf(x))


def rounding(value, error, ulps=0.5):
    return Rounded(value, error + 2 * ulps * UNIT * abs(value))


def function(f, slope, ulps):
    """f as the kernels have it, whose own error is at most ulps (held by tests/test_simd.py)."""

    def rounded(a):
        a = exactly(a)
        return rounding(f(a.value), abs(slope(a.value)) * a.error, ulps)

    return rounded


def logistic(x):
    return 1 / (1 + mpmath.exp(-x))


exp = function(mpmath.exp, mpmath.exp, 2)
expm1 = function(mpmath.expm1, mpmath.exp, 2)
log = function(mpmath.log, lambda x: 1 / x, 2)
log1p = function(mpmath.log1p, lambda x: 1 / (1 + x), 3)       # a log of 2 ulp, a quotient and a product
tanh = function(mpmath.tanh, lambda x: 1 - mpmath.tanh(x) ** 2, 3)
sigmoid = function(logistic, lambda x: logistic(x) * logistic(-x), 3)
sqrt = function(mpmath.sqrt, lambda x: 1 / (2 * mpmath.sqrt(x)), 0.5)


def power(a, b):
    """a^b for exact a and b: one call of pow, within 2 ulp."""
    return rounding(exactly(a).value ** exactly(b).value, 0, 2)


def magnitude(x):
    return Rounded(abs(x.value), x.error)


# -- the table --------------------------------------------------------------------------------------------------------


@dataclass
class Row:
    """An elementwise op: what its derivation states, in Rounded arithmetic.

    Attributes:
        call: the op, of tensors.
        forward: y, of the inputs and the parameters.
        stated: dy/d(input) for each input, of the inputs, y and the parameters.
        documented: the function whose docstring has the formula; call by default.
        domain: how Draw makes each input, away from kinks.
        inputs: what the formula calls them.
        parameters: numbers by the names that the formula uses.
        formula: where the docstring's cannot be parsed.
    """

    call: object
    forward: object
    stated: object
    documented: object = None
    domain: tuple = (Draw.__call__,)
    inputs: tuple = ("x",)
    parameters: dict = field(default_factory=dict)
    formula: str | None = None


def binary(call, forward, stated, domain=(Draw.__call__, Draw.__call__), inputs=("a", "b"), **options):
    return Row(call, forward, stated, domain=domain, inputs=inputs, **options)


def loss(function, forward, stated, domain=(Draw.__call__, Draw.__call__)):
    return binary(lambda a, b: function(a, b, reduction="none"), forward, stated, domain, ("input", "target"),
                  documented=function)


def selu_constants():
    """scale and alpha from mean 0 and variance 1, as docs/derivations/elu-selu.md derives them."""

    def below(a):
        """E[e^(az); z <= 0] for a standard normal z."""
        return mpmath.exp(mpmath.mpf(a) ** 2 / 2) * mpmath.ncdf(-a)

    half = mpmath.mpf(1) / 2
    alpha = 1 / mpmath.sqrt(2 * mpmath.pi) / (half - below(1))
    return 1 / mpmath.sqrt(half + alpha**2 * (below(2) - 2 * below(1) + half)), alpha


SCALE, ALPHA = selu_constants()
scale, scale_alpha = rounding(SCALE, 0), rounding(SCALE, 0) * rounding(ALPHA, 0)
CONDITION = np.arange(ELEMENTS) % 3 == 0

ROWS = {
    "Add": binary(mt.add, lambda a, b: a + b, lambda a, b, y: (1, 1)),
    "Sub": binary(mt.sub, lambda a, b: a - b, lambda a, b, y: (1, -1)),
    "Mul": binary(mt.mul, lambda a, b: a * b, lambda a, b, y: (b, a)),
    "Div": binary(mt.div, lambda a, b: a / b, lambda a, b, y: (1 / b, -(a / b / b)), (Draw.__call__, Draw.nonzero)),
    "Pow": binary(mt.pow, power, lambda a, b, y: (b * power(a, b - 1), y * log(a)), (Draw.positive, Draw.__call__)),
    "Maximum": binary(mt.maximum, lambda a, b: a if a > b else b, lambda a, b, y: (1, 0) if a > b else (0, 1)),
    "Where": binary(lambda a, b: mt.where(mt.from_numpy(CONDITION), a, b), lambda a, b, c: a if c else b,
                    lambda a, b, y, c: (1, 0) if c else (0, 1), parameters={"c": CONDITION.astype(float)},
                    formula="c a + (1 - c) b"),
    "Neg": Row(mt.neg, lambda x: -x, lambda x, y: (-1,)),
    "Exp": Row(mt.exp, exp, lambda x, y: (y,)),
    "Log": Row(mt.log, log, lambda x, y: (1 / x,), domain=(Draw.positive,)),
    "Sqrt": Row(mt.sqrt, sqrt, lambda x, y: (1 / (2 * y),), domain=(Draw.positive,)),
    "Abs": Row(mt.abs, magnitude, lambda x, y: (1 if x > 0 else -1,), domain=(Draw.nonzero,)),
    "Clamp": Row(lambda x: mt.clamp(x, -0.5, 0.75),
                 lambda x, low, high: low if low > x.value else high if x > high else x,
                 lambda x, y, low, high: (1 if x > low and high > x.value else 0,), mt.clamp,
                 parameters={"low": -0.5, "high": 0.75}),
    "ReLU": Row(mt.relu, lambda x: x if x > 0 else 0, lambda x, y: (1 if y > 0 else 0,), domain=(Draw.nonzero,)),
    "LeakyReLU": Row(lambda x: mt.leaky_relu(x, 0.1), lambda x, negative_slope: x if x > 0 else negative_slope * x,
                     lambda x, y, negative_slope: (1 if x > 0 else negative_slope,), mt.leaky_relu, (Draw.nonzero,),
                     parameters={"negative_slope": 0.1}),
    "Sigmoid": Row(mt.sigmoid, sigmoid, lambda x, y: (y * (1 - y),)),
    "Tanh": Row(mt.tanh, tanh, lambda x, y: (1 - y * y,)),
    "ELU": Row(lambda x: mt.elu(x, 1.3), lambda x, alpha: x if x > 0 else alpha * expm1(x),
               lambda x, y, alpha: (1 if y > 0 else y + alpha,), mt.elu, (Draw.nonzero,), parameters={"alpha": 1.3}),
    "SELU": Row(mt.selu, lambda x, **_: scale * x if x > 0 else scale_alpha * expm1(x),
                lambda x, y, **_: (scale if y > 0 else y + scale_alpha,), domain=(Draw.nonzero,),
                parameters={"scale": SCALE, "alpha": ALPHA}),
    "Softplus": Row(lambda x: mt.softplus(x, 1.5),
                    lambda x, beta: ((beta * x if x > 0 else 0) + log1p(exp(-magnitude(beta * x)))) / beta,
                    lambda x, y, beta: (sigmoid(beta * x),), mt.softplus, parameters={"beta": 1.5}),
    "SquaredError": loss(mt.mse_loss, lambda a, b: (a - b) * (a - b), lambda a, b, y: (2 * (a - b), -(2 * (a - b)))),
    "AbsoluteError": loss(mt.l1_loss, lambda a, b: magnitude(a - b),
                          lambda a, b, y: (1, -1) if a > b else (-1, 1)),
    "BinaryCrossEntropy": loss(
        mt.binary_cross_entropy, lambda a, b: -(b * log(a) + (1 - b) * log1p(-a)),
        lambda a, b, y: ((a - b) / (a * (1 - a)), log1p(-a) - log(a)), (Draw.probability, Draw.probability)),
    "BinaryCrossEntropyWithLogits": loss(
        mt.binary_cross_entropy_with_logits,
        lambda a, b: (a if a > 0 else 0) - a * b + log1p(exp(-magnitude(a))),
        lambda a, b, y: (sigmoid(a) - b, -a), (Draw.__call__, Draw.probability)),
}


# -- formulas ---------------------------------------------------------------------------------------------------------

TRANSFORMATIONS = (*sympy_parser.standard_transformations, sympy_parser.convert_xor,
                   sympy_parser.implicit_multiplication, sympy_parser.implicit_application)


def parse(text, symbols):
    """A formula as docstrings write them, in SymPy: products without *, ^ for powers, |x|, e and ln."""
    names = {"e": sp.E, "ln": sp.log, "max": sp.Max, "min": sp.Min, "mean": lambda x: x, **symbols}
    text = re.sub(r"\|([^|]*)\|", r"Abs(\1)", text)
    return sympy_parser.parse_expr(text, names, TRANSFORMATIONS)


def documented_formula(function, symbols):
    """The docstring's ``Formula: y = ...``; of a loss what its mean is taken of.

    "A for C, B elsewhere" has two branches; behind a comma may stand definitions (s = ...) and words.
    """
    text = " ".join(re.search(r"Formula: (.*?)(?:\n\s*\n|$)", function.__doc__, re.DOTALL)[1].split())
    text = re.sub(r" \([A-Z][^()]*\d{4}[^()]*\)", "", text)                         # the source
    first, *rest = (part.strip() for part in re.split(r"[,;](?![^(]*\))", text))
    formula = first.partition("=")[2]
    if rest and rest[0].endswith(" elsewhere"):
        above, condition = formula.split(" for ")
        below = rest.pop(0).removesuffix(" elsewhere")
        return sp.Piecewise((parse(above, symbols), parse(condition, symbols)), (parse(below, symbols), True))
    definitions = [part.split(" = ") for part in rest if " = " in part]
    known = symbols | {name: parse(definition, symbols) for name, definition in definitions}
    return parse(formula, known)


def formula_of(row):
    """The row's formula, and its symbols by name."""
    symbols = {name: sp.Symbol(name, real=True) for name in (*row.inputs, *row.parameters)}
    if row.formula is not None:
        return parse(row.formula, symbols), symbols
    return documented_formula(row.documented or row.call, symbols), symbols


def evaluators(expressions, symbols):
    """Functions of 30-digit numbers; of max and min only one branch is evaluated."""
    branched = [sp.sympify(expression).rewrite(sp.Piecewise) for expression in expressions]
    return [sp.lambdify(symbols, expression, "mpmath") for expression in branched]


def agrees(stated, exact):
    """To 25 digits of what it is computed from: an error bound is about 1e-16 of that."""
    return abs(stated.value - exact) <= stated.error * mpmath.mpf(10) ** (16 - 25)


def gradients(y, inputs, g):
    """As arrays, by kernel and by rule."""
    for create_graph in (False, True):
        found = mt.grad(y, inputs, mt.from_numpy(g), retain_graph=True, create_graph=create_graph)
        yield [dx.detach().numpy() for dx in found]


# -- elementwise ------------------------------------------------------------------------------------------------------


def check_elementwise(row, seed, rng):
    """Assert all that the module's docstring says, at ELEMENTS points."""
    formula, symbols = formula_of(row)
    derivatives = [formula.rewrite(sp.Piecewise).diff(symbols[name]) for name in row.inputs]
    value, *slopes = evaluators([formula, *derivatives], list(symbols.values()))

    draw = Draw(seed)
    arrays = [make(draw, ELEMENTS) for make in row.domain]
    tensors = [mt.from_numpy(array.copy()).requires_grad_() for array in arrays]
    y = row.call(*tensors)
    g = rng.standard_normal(ELEMENTS)
    found = list(gradients(y, tensors, g))

    looseness = []
    for i in range(ELEMENTS):
        parameters = {name: p[i] if np.ndim(p) else p for name, p in row.parameters.items()}
        inputs = [exactly(array[i]) for array in arrays]
        point = [x.value for x in inputs] + [mpmath.mpf(p) for p in parameters.values()]
        expected = exactly(row.forward(*inputs, **parameters))
        assert agrees(expected, value(*point)), f"the stated y at {point}"
        assert abs(y.detach().numpy()[i] - expected.value) <= expected.error, f"y at {point}"
        for k, stated in enumerate(row.stated(*inputs, expected, **parameters)):
            dx, exact = exactly(g[i]) * stated, mpmath.mpf(g[i]) * slopes[k](*point)
            assert agrees(dx, exact), f"the stated derivative for input {k} at {point}"
            for gradient, by in zip(found, ("kernel", "rule"), strict=True):
                assert abs(gradient[k][i] - exact) <= dx.error, f"the {by} for input {k} at {point}"
            looseness += [float(dx.error / (2 * UNIT * abs(exact)))] if exact else []
    assert np.median(looseness) <= 10           # a few ulp, but where the derivative is a small difference


@pytest.mark.parametrize("name", ROWS)
def test_elementwise_derivative_equals_that_of_the_formula(name, seed, rng):
    check_elementwise(ROWS[name], seed, rng)


def test_every_elementwise_op_has_a_row():
    kinds = (base.Unary, base.Binary)
    assert set(ROWS) == {name for name, op in registered_ops().items() if issubclass(op, kinds)} | {"Where"}


def test_formulas_come_from_docstrings():
    assert [name for name, row in ROWS.items() if row.formula is not None] == ["Where"]


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        (Row(mt.tanh, tanh, lambda x, y: (1 - x * x,)), "the stated derivative"),
        (Row(lambda x: mt.tanh(x) * (1 + 2e-14), tanh, lambda x, y: (1 - y * y,), mt.tanh), "^y at"),
        (Row(lambda x: mt.tanh(x) + 1e-12 * (x.detach() - x), tanh, lambda x, y: (1 - y * y,), mt.tanh), "the kernel"),
        (Row(mt.tanh, tanh, lambda x, y: (1 - y * y,), mt.sigmoid), "the stated y"),
    ],
)
def test_planted_errors_are_caught(row, complaint, seed, rng):
    with pytest.raises(AssertionError, match=complaint):
        check_elementwise(row, seed, rng)


def test_selu_constants_are_the_fixed_point():
    assert mpmath.nstr(SCALE, 28) == "1.050700987355480493419334985"
    assert mpmath.nstr(ALPHA, 28) == "1.673263242354377284817042992"
    y = mt.selu(mt.tensor([1.0, -100.0], dtype=mt.float64)).numpy()
    limit = 4 * np.finfo(np.float64).eps            # two rounded constants, their product, and 2 ulp of expm1
    np.testing.assert_allclose(y, [float(SCALE), -float(SCALE * ALPHA)], rtol=limit)


# -- closed forms along a dimension, of three elements -----------------------------------------------------------------
# Docstrings write sums with an ellipsis, so the formulas are here; what is stated is derived in docs/derivations.

N = 3
TARGET, SMOOTHING = 1, 0.1
WEIGHTS = (0.5, 1.25, 2.0)
EPS = 1e-5


@dataclass
class ClosedForm:
    """A function of vectors.

    Attributes:
        call: of tensors of the given sizes.
        formula: the outputs, of lists of symbols.
        stated: the gradient for each input, of g and the inputs as lists of Rounded.
        sizes: of the inputs.
    """

    call: object
    formula: object
    stated: object
    sizes: tuple = (N,)


def exponentials(x):
    """e^(x - m) with m the largest, and their sum."""
    m = max(x, key=lambda x_l: x_l.value)
    e = [exp(x_l - m) for x_l in x]
    return e, sum(e), m


def softmax_formula(x):
    return [sp.exp(x_k) / sum(map(sp.exp, x)) for x_k in x]


def softmax_stated(g, x):
    e, total, _ = exponentials(x)
    y = [e_l / total for e_l in e]
    dot = sum(g_k * y_k for g_k, y_k in zip(g, y, strict=True))
    return [[y_l * (g_l - dot) for g_l, y_l in zip(g, y, strict=True)]]


def log_softmax_stated(g, x):
    _, total, m = exponentials(x)
    return [[g_l - exp((x_l - m) - log(total)) * sum(g) for g_l, x_l in zip(g, x, strict=True)]]


def logsumexp_stated(g, x):
    _, total, m = exponentials(x)
    y = m + log(total)
    return [[g[0] * exp(x_l - y) for x_l in x]]


def cross_entropy_formula(x):
    """-sum w q ln p over w_t, with q smoothed."""
    e, w = sp.Rational(SMOOTHING), [sp.Rational(w_c) for w_c in WEIGHTS]
    q = [(1 - e if c == TARGET else 0) + e / N for c in range(N)]
    return [-sum(w[c] * q[c] * sp.log(softmax_formula(x)[c]) for c in range(N)) / w[TARGET]]


def cross_entropy_stated(g, x):
    e, total, _ = exponentials(x)
    share, target = exactly(SMOOTHING) / N, (1 - exactly(SMOOTHING)) * WEIGHTS[TARGET]
    row = g[0] / WEIGHTS[TARGET]
    of_all = target + share * sum(WEIGHTS)
    dx = [row * of_all / total * e_c - row * share * w for e_c, w in zip(e, WEIGHTS, strict=True)]
    dx[TARGET] -= row * target
    return [dx]


def batch_norm_formula(x, w, b):
    mean = sum(x) / N
    r = 1 / sp.sqrt(sum((x_i - mean) ** 2 for x_i in x) / N + sp.Rational(EPS))
    return [w[0] * (x_i - mean) * r + b[0] for x_i in x]


def batch_norm_stated(g, x, w, b):
    """Mean and variance are found from the distances to the first x."""
    d = [x_i - x[0] for x_i in x]
    shift = sum(d) / N
    r = 1 / sqrt(sum(d_i * d_i for d_i in d) / N - shift * shift + EPS)
    h = [(x_i - (shift + x[0])) * r for x_i in x]
    sum_g, sum_gh = sum(g), sum(g_i * h_i for g_i, h_i in zip(g, h, strict=True))
    wr = w[0] * r
    dx = [wr * g_i - wr * (sum_g / N) - wr * h_i * (sum_gh / N) for g_i, h_i in zip(g, h, strict=True)]
    return [dx, [sum_gh], [sum_g]]


def var_stated(g, x):
    mean = sum(x) / N
    return [[(x_l - mean) * (2 * g[0] / (N - 1)) for x_l in x]]


CLOSED_FORMS = {
    "softmax": ClosedForm(lambda x: mt.softmax(x, 0), softmax_formula, softmax_stated),
    "log_softmax": ClosedForm(lambda x: mt.log_softmax(x, 0), lambda x: [sp.log(y) for y in softmax_formula(x)],
                              log_softmax_stated),
    "logsumexp": ClosedForm(lambda x: mt.logsumexp(x, 0), lambda x: [sp.log(sum(map(sp.exp, x)))], logsumexp_stated),
    "cross_entropy": ClosedForm(
        lambda x: mt.cross_entropy(x.reshape((1, N)), mt.tensor([TARGET]), mt.tensor(WEIGHTS, dtype=mt.float64),
                                   label_smoothing=SMOOTHING), cross_entropy_formula, cross_entropy_stated),
    "var": ClosedForm(lambda x: mt.var(x, 0), lambda x: [sum((x_l - sum(x) / N) ** 2 for x_l in x) / (N - 1)],
                      var_stated),
    "batch_norm": ClosedForm(
        lambda x, w, b: mt.batch_norm(x.reshape((N, 1)), None, None, w, b, training=True, eps=EPS).reshape((N,)),
        batch_norm_formula, batch_norm_stated, (N, 1, 1)),
}


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_closed_form_equals_the_jacobian_of_the_formula(name, rng):
    form = CLOSED_FORMS[name]
    symbols = [[sp.Symbol(f"x{k}_{i}", real=True) for i in range(size)] for k, size in enumerate(form.sizes)]
    flat = [*chain(*symbols)]
    jacobian = sp.lambdify(flat, sp.Matrix(form.formula(*symbols)).jacobian(flat), "mpmath")
    looseness = []
    for _ in range(20):
        arrays = [rng.standard_normal(size) for size in form.sizes]
        tensors = [mt.from_numpy(array.copy()).requires_grad_() for array in arrays]
        y = form.call(*tensors)
        g = np.asarray(rng.standard_normal(y.shape))
        inputs = [[exactly(x) for x in array] for array in arrays]
        exact = mpmath.matrix(g.reshape(1, -1)) * jacobian(*(x.value for x in chain(*inputs)))
        stated = chain(*form.stated([exactly(g_k) for g_k in g.reshape(-1)], *inputs))
        kernel, rule = (np.concatenate(found) for found in gradients(y, tensors, g))
        for i, dx in enumerate(stated):
            assert agrees(dx, exact[i]), f"the stated derivative {i} at {arrays}"
            assert abs(kernel[i] - exact[i]) <= dx.error, f"the kernel's derivative {i} at {arrays}"
            assert abs(rule[i] - exact[i]) <= dx.error, f"the rule's derivative {i} at {arrays}"
            looseness.append(float(dx.error / (2 * UNIT * abs(exact[i]))))
    assert np.median(looseness) <= 100          # sums and exponentials on the way, but not a bound that holds nothing
