"""SymPy differentiates every formula; kernels and rules must agree to the rounding errors of their own arithmetic.

A formula is the one in the public function's docstring, parsed (where it cannot be, FORMULAS has it). Its derivative
is evaluated to 30 digits at float64 points, and compared with

    stated      what the op's samples state (microtensor/ops/sample.py), in the order in which the kernel computes it:
                the same number, to 25 digits
    kernel      the gradient from the op's loop in float64: within the bound that running error analysis gives
    rule        the gradient from the op's rule: within the same bound, as it computes the same
"""

import re
from dataclasses import dataclass
from functools import reduce
from itertools import chain
from operator import mul
from types import SimpleNamespace

import mpmath
import numpy as np
import pytest
import sympy as sp
from sympy.parsing import sympy_parser

import microtensor as mt
from microtensor.ops import base
from microtensor.ops.registry import registered_ops, statements_of
from microtensor.ops.sample import NUMPY, Draw, Sample, Stated

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

    def __pow__(self, power):
        return reduce(mul, [self] * power)

    def __gt__(self, other):
        return self.value > exactly(other).value

    def __lt__(self, other):
        return self.value < exactly(other).value

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
normal_cdf = function(mpmath.ncdf, mpmath.npdf, 5)
sqrt = function(mpmath.sqrt, lambda x: 1 / (2 * mpmath.sqrt(x)), 0.5)


def power(a, b):
    """a^b for exact a and b: one call of pow, within 2 ulp."""
    return rounding(exactly(a).value ** exactly(b).value, 0, 2)


def magnitude(x):
    return Rounded(abs(x.value), x.error)


def softplus(x):
    rest = log1p(exp(-magnitude(x)))
    return x + rest if x > 0 else rest


def where(condition, a, b):
    return a if condition else b


# Stands for NUMPY.
FUNCTIONS = SimpleNamespace(
    abs=magnitude, exp=exp, expm1=expm1, log=log, log1p=log1p, normal_cdf=normal_cdf, power=power, sigmoid=sigmoid,
    sign=lambda x: (x > 0) - (x < 0), softplus=softplus, sqrt=sqrt, tanh=tanh, where=where)


# -- what there is to check -------------------------------------------------------------------------------------------

REGISTERED = registered_ops()
FOUND = {name: op for op in REGISTERED.values() for name in statements_of(op, Draw(0))}

# What is elementwise and states nothing in samples of its own.
CONDITION = np.arange(ELEMENTS) % 3 == 0
OTHERS = {
    "Where": lambda draw: Sample(
        lambda a, b: mt.where(mt.from_numpy(CONDITION), a, b), [], None,
        stated=Stated(lambda a, b, f, c: f.where(c, a, b), lambda a, b, y, f, c: (f.where(c, 1, 0), f.where(c, 0, 1)),
                      (draw, draw), {"c": CONDITION.astype(float)})),
    "mse_loss": lambda draw: composite(draw, mt.mse_loss, lambda a, b, f: (a - b) * (a - b),
                                       lambda a, b, y, f: (2 * (a - b), -(2 * (a - b)))),
    "l1_loss": lambda draw: composite(draw, mt.l1_loss, lambda a, b, f: f.abs(a - b),
                                      lambda a, b, y, f: (f.sign(a - b), f.sign(b - a))),
}
FORMULAS = {
    "Where": "c a + (1 - c) b",
    "NormalCDF": "(1 + erf(x / 2^(1/2))) / 2",
    "GELUTanh": "x (1 + tanh((2 / pi)^(1/2) (x + 44715 x^3 / 1000000))) / 2",
}


def composite(draw, loss, value, derivative):
    return Sample(lambda a, b: loss(a, b, reduction="none"), [], None, stated=Stated(value, derivative, (draw, draw)))


def statement(name, draw):
    """A sample that states something, by the name of what it is of."""
    return OTHERS[name](draw) if name in OTHERS else statements_of(FOUND[name], draw)[name]


def documented(name):
    """The public function whose docstring has the formula of what is stated under a name: leaky_relu of LeakyReLU."""
    functions = {function.replace("_", ""): getattr(mt.ops, function) for function in mt.ops.__all__}
    return functions[name.split()[0].lower().replace("_", "")]


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


def formula_of(name, stated):
    """The formula of what is stated, the symbols of its inputs, and those of its numbers."""
    inputs = [sp.Symbol(letter, real=True) for letter in ("a", "b")[: len(stated.domain)]]
    numbers = [sp.Symbol(letter, real=True) for letter in stated.numbers]
    names = ("x", "input"), ("a", "input"), ("b", "target")
    letters = names[:1] if len(inputs) == 1 else names[1:]
    symbols = {letter: symbol for symbol, known in zip(inputs, letters, strict=True) for letter in known}
    symbols |= dict(zip(stated.numbers, numbers, strict=True))
    if name in FORMULAS:
        return parse(FORMULAS[name], symbols), inputs, numbers
    return documented_formula(documented(name), symbols), inputs, numbers


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


def check_elementwise(name, call, stated, rng):
    """Assert all that the module's docstring says, at ELEMENTS points."""
    formula, inputs, numbers = formula_of(name, stated)
    derivatives = [formula.rewrite(sp.Piecewise).diff(symbol) for symbol in inputs]
    value, *slopes = evaluators([formula, *derivatives], [*inputs, *numbers])

    arrays = [make(ELEMENTS) for make in stated.domain]
    tensors = [mt.from_numpy(array.copy()).requires_grad_() for array in arrays]
    y = call(*tensors)
    g = rng.standard_normal(ELEMENTS)
    found = list(gradients(y, tensors, g))

    looseness = []
    for i in range(ELEMENTS):
        numbers = {letter: number[i] if np.ndim(number) else number for letter, number in stated.numbers.items()}
        inputs = [exactly(array[i]) for array in arrays]
        point = [x.value for x in inputs] + [mpmath.mpf(number) for number in numbers.values()]
        numbers = {letter: rounding(mpmath.mpf(number), 0) if isinstance(number, str) else number
                   for letter, number in numbers.items()}
        expected = exactly(stated.value(*inputs, FUNCTIONS, **numbers))
        assert agrees(expected, value(*point)), f"the stated y at {point}"
        assert abs(y.detach().numpy()[i] - expected.value) <= expected.error, f"y at {point}"
        derivative = stated.derivative(*inputs, expected, FUNCTIONS, **numbers)
        derivative = derivative if isinstance(derivative, tuple) else (derivative,)
        for k, dy in enumerate(derivative):
            dx, exact = exactly(g[i]) * dy, mpmath.mpf(g[i]) * slopes[k](*point)
            assert agrees(dx, exact), f"the stated derivative for input {k} at {point}"
            for gradient, by in zip(found, ("kernel", "rule"), strict=True):
                assert abs(gradient[k][i] - exact) <= dx.error, f"the {by} for input {k} at {point}"
            looseness += [float(dx.error / (2 * UNIT * abs(exact)))] if exact else []
        assert len(derivative) == len(arrays)
    assert np.median(looseness) <= 10           # a few ulp, but where the derivative is a small difference


@pytest.mark.parametrize("name", [*FOUND, *OTHERS])
def test_elementwise_derivative_equals_that_of_the_formula(name, seed, rng):
    found = statement(name, Draw(seed))
    check_elementwise(name, found.function, found.stated, rng)


def unstated(names):
    """What to do about the elementwise ops that are not among these."""
    return [f"{name} states no derivative for SymPy to confirm: yield from unary_samples or binary_samples "
            "(microtensor/ops/sample.py) in its `samples`, with value and derivative as text"
            for name, op in REGISTERED.items() if issubclass(op, (base.Unary, base.Binary)) and name not in names]


def test_every_elementwise_op_states_its_derivative():
    assert unstated(FOUND) == []
    assert len(unstated({"Tanh"})) == len(unstated(())) - 1 and "Tanh states no derivative" in " ".join(unstated(()))


def test_statements_are_of_elementwise_ops():
    assert [name for name, op in FOUND.items() if not issubclass(op, (base.Unary, base.Binary))] == []


def test_numpy_and_rounded_arithmetic_have_the_same_functions():
    assert set(vars(FUNCTIONS)) == set(vars(NUMPY))


def stated_tanh(derivative=lambda x, y, f: 1 - y * y):
    return Stated(lambda x, f: f.tanh(x), derivative, (Draw(0),))


@pytest.mark.parametrize(
    ("name", "call", "stated", "complaint"),
    [
        ("Tanh", mt.tanh, stated_tanh(lambda x, y, f: 1 - x * x), "the stated derivative"),
        ("Tanh", lambda x: mt.tanh(x) * (1 + 2e-14), stated_tanh(), "^y at"),
        ("Tanh", lambda x: mt.tanh(x) + 1e-12 * (x.detach() - x), stated_tanh(), "the kernel"),
        ("Sigmoid", mt.tanh, stated_tanh(), "the stated y"),
    ],
)
def test_planted_errors_are_caught(name, call, stated, complaint, rng):
    with pytest.raises(AssertionError, match=complaint):
        check_elementwise(name, call, stated, rng)


def selu_constants():
    """scale and alpha from mean 0 and variance 1, as docs/derivations/elu-selu.md derives them."""

    def below(a):
        """E[e^(az); z <= 0] for a standard normal z."""
        return mpmath.exp(mpmath.mpf(a) ** 2 / 2) * mpmath.ncdf(-a)

    half = mpmath.mpf(1) / 2
    alpha = 1 / mpmath.sqrt(2 * mpmath.pi) / (half - below(1))
    return 1 / mpmath.sqrt(half + alpha**2 * (below(2) - 2 * below(1) + half)), alpha


def test_selu_constants_are_the_fixed_point():
    scale, alpha = selu_constants()
    assert mpmath.nstr(scale, 28) == "1.050700987355480493419334985"
    assert mpmath.nstr(alpha, 28) == "1.673263242354377284817042992"
    stated = statement("SELU", Draw(0)).stated.numbers
    for name, constant in (("scale", scale), ("alpha", alpha), ("scale_alpha", scale * alpha)):
        assert mpmath.nstr(mpmath.mpf(stated[name]), 28) == mpmath.nstr(constant, 28)
    y = mt.selu(mt.tensor([1.0, -100.0], dtype=mt.float64)).numpy()
    limit = 4 * np.finfo(np.float64).eps            # two rounded constants, their product, and 2 ulp of expm1
    np.testing.assert_allclose(y, [float(scale), -float(scale * alpha)], rtol=limit)


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


def layer_norm_formula(x, w, b):
    mean = sum(x) / N
    r = 1 / sp.sqrt(sum((x_i - mean) ** 2 for x_i in x) / N + sp.Rational(EPS))
    return [w_i * (x_i - mean) * r + b_i for x_i, w_i, b_i in zip(x, w, b, strict=True)]


def layer_norm_stated(g, x, w, b):
    d = [x_i - sum(x) / N for x_i in x]
    r = 1 / sqrt(sum(d_i * d_i for d_i in d) / N + EPS)
    h, u = [d_i * r for d_i in d], [g_i * w_i for g_i, w_i in zip(g, w, strict=True)]
    sum_u, sum_uh = sum(u), sum(u_i * h_i for u_i, h_i in zip(u, h, strict=True))
    dx = [r * u_i - r * (sum_u / N) - r * h_i * (sum_uh / N) for u_i, h_i in zip(u, h, strict=True)]
    return [dx, [g_i * h_i for g_i, h_i in zip(g, h, strict=True)], g]


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
    "layer_norm": ClosedForm(lambda x, w, b: mt.layer_norm(x, N, w, b, EPS), layer_norm_formula, layer_norm_stated,
                             (N, N, N)),
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
