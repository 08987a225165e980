"""All single edits of a function's source: what one slip of the pen makes of it, and what may take one back.

Each edit replaces one expression or statement on Python's syntax tree. It has a kind, which says what sort of mistake
it would repair:

    sum         mean for sum, or sum for mean
    axis        another axis of a reduction
    sign        + for -, or a minus in front of a whole expression
    product     a factor of a matrix product transposed, or the two exchanged
    transposed  .T, there or not
    exchanged   two returned gradients
    overwritten += for =, or = for +=
    left out    an assignment to some elements
    name        another variable
    number      another number
    power       * for /, another exponent
    mask        another comparison
    places      another start, stop or step of a slice
    extra term, missing term       a term of a sum left out; a variable, or a product of two, added or subtracted
    extra factor, missing factor   a factor left out; one put in: a variable, a size, a number with a name
    derivative, mask               the derivative of an activation put in as a factor
    mean, variance, projection     the terms that normalisers have, put in
"""

import ast
import copy
from dataclasses import dataclass
from itertools import combinations

SIZES = ("len({0})", "{0}.shape[0]", "{0}.shape[1]", "{0}.shape[-1]", "{0}.size", "(len({0}) - 1)")
REDUCTIONS = ("sum", "mean", "max", "cumsum", "var", "std", "flip", "norm")
COMPARISONS = (ast.Gt, ast.GtE, ast.Lt, ast.LtE, ast.Eq, ast.NotEq)
COUNTS = ("range", "arange", "zeros", "ones", "empty", "full", "tile", "repeat", "pad", "eye", "linspace")
NUMBERS = ("2", "3", "4", "np.log(2)", "np.pi")
DERIVATIVES = ("(1 - {0} * {0})", "({0} * (1 - {0}))", "({0} > 0)", "(1 - np.tanh({0}) ** 2)")
NORMALISERS = (
    ("mean", "({1} - {1}.mean({2}, keepdims=True))"),
    ("variance", "({1} - {0} * ({1} * {0}).mean({2}, keepdims=True))"),
    ("projection", "({1} - ({1} * {0}).sum({2}, keepdims=True))"),
    ("projection", "({1} - {0} * ({1} * {0}).sum({2}, keepdims=True))"),
)


LEGIBLE = 90        # letters: the largest part of a statement of at most so many shows an edit


@dataclass(frozen=True)
class Edit:
    """One edit, as long as it is made.

    Attributes:
        kind: see the module.
        line: of the source, counted from 1.
        before: the statement, or as much around the edit as is legible, as it was.
        around: the Place of that.
    """

    kind: str
    line: int
    before: str
    around: object

    @property
    def after(self):
        """What ``before`` is with the edit."""
        return source_of(self.around.node)


def source_of(node):
    """The source of a node; of a statement that holds others its first line."""
    return ast.unparse(node).split("\n")[0]


class Place:
    """One place of a syntax tree: a field of a node, or one item of a field that is a list; and the place around it."""

    def __init__(self, parent, field, index=None, around=None):
        self.parent, self.field, self.index, self.around = parent, field, index, around

    @property
    def node(self):
        """What stands there."""
        value = getattr(self.parent, self.field)
        return value if self.index is None else value[self.index]

    @node.setter
    def node(self, node):
        if self.index is None:
            setattr(self.parent, self.field, node)
        else:
            getattr(self.parent, self.field)[self.index] = node

    @property
    def above(self):
        """The nodes that it is in, the innermost first."""
        return [self.parent, *(self.around.above if self.around else ())]

    @property
    def is_count(self):
        """Whether the expression says how often or how large: an edit of it may never end."""
        return any(isinstance(node, ast.Call) and called(node) in COUNTS for node in self.above)

    @property
    def in_product(self):
        """Whether the expression is a factor of a matrix product, perhaps inside of others."""
        return any((isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult))
                   or (isinstance(node, ast.Call) and called(node) in ("dot", "matmul", "einsum", "outer", "tensordot"))
                   for node in self.above)

    @property
    def legible(self):
        """The largest place around it, within its statement, that is short enough to be read; at least itself."""
        place = self
        while place.around and not isinstance(place.node, ast.stmt) and len(source_of(place.around.node)) <= LEGIBLE:
            place = place.around
        return place


def places(tree, around=None):
    """Every place of a tree, the outer ones first."""
    for field, value in ast.iter_fields(tree):
        for index, node in enumerate(value) if isinstance(value, list) else [(None, value)]:
            place = Place(tree, field, index, around)
            if isinstance(node, (ast.stmt, ast.expr)):
                yield place
            if isinstance(node, (ast.stmt, ast.expr, ast.keyword, ast.comprehension)):
                yield from places(node, place)


def called(node):
    """The name of the function or method that a call calls."""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def expression(text):
    """The syntax tree of an expression."""
    return ast.parse(text, mode="eval").body


def names_in(function):
    """The variables of a function but counters of loops, as they appear: arguments, and what is assigned."""
    arguments = [argument.arg for argument in function.args.args]
    stored = [node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    counters = [node.id for loop in ast.walk(function) if isinstance(loop, (ast.For, ast.comprehension))
                for node in ast.walk(loop.target) if isinstance(node, ast.Name)]
    return [name for name in dict.fromkeys([*arguments, *stored]) if name not in counters]


def edits(function, names, makers=None):
    """Make each edit of a function's tree in turn, in place; yield it while it is made.

    Args:
        function: the syntax tree of a function, changed and restored.
        names: of the variables, attributes and constants that may stand for another.
        makers: of edits, functions of a place and the names; by default all, from ``structure`` on.
    """
    everywhere = [place for place in places(function) if not place.is_count]
    makers = makers or (structure, substitutes, insertions, normaliser_terms, products, matrix_products)
    for make in makers:
        for place in everywhere:
            old, around = place.node, place.legible
            if not hasattr(old, "lineno"):
                continue
            before = source_of(around.node)
            for kind, new in make(place, names):
                place.node = ast.fix_missing_locations(ast.copy_location(new, old))
                try:
                    yield Edit(kind, old.lineno, before, around)
                finally:
                    place.node = old


def structure(place, _names):
    """Edits that put nothing in: signs, axes, transposes, reductions, order, comparisons, slices."""
    node = place.node
    if isinstance(node, ast.Call) and called(node) in ("sum", "mean") and isinstance(node.func, ast.Attribute):
        other = "mean" if called(node) == "sum" else "sum"
        yield "sum", changed(node, func=changed(node.func, attr=other))
    if isinstance(node, ast.Call) and called(node) in REDUCTIONS:
        yield from other_axes(node)
    if isinstance(node, ast.BinOp):
        yield from of_operator(node)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield "sign", node.operand
    elif is_result(place) and isinstance(node, ast.expr) and not isinstance(node, ast.Tuple):
        yield "sign", ast.UnaryOp(ast.USub(), node)
    if isinstance(node, ast.Attribute) and node.attr == "T":
        yield ("product" if place.in_product else "transposed"), node.value
    elif isinstance(node, (ast.Name, ast.Subscript)) and isinstance(node.ctx, ast.Load) and is_side(place, ast.MatMult):
        yield "product", ast.Attribute(node, "T", ast.Load())
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.ops[0], COMPARISONS):
        for operator in COMPARISONS:
            if not isinstance(node.ops[0], operator):
                yield "mask", changed(node, ops=[operator()])
    if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add):
        yield "overwritten", ast.Assign([node.target], node.value)
    if isinstance(node, ast.Assign):
        target = node.targets[0]
        if isinstance(target, ast.Subscript):
            yield "left out", ast.Pass()
        if len(node.targets) > 1:
            for i in range(len(node.targets)):
                yield "left out", changed(node, targets=node.targets[:i] + node.targets[i + 1:])
        elif isinstance(target, (ast.Subscript, ast.Name)) and not isinstance(node.value, ast.Constant):
            yield "overwritten", ast.AugAssign(target, ast.Add(), node.value)
    if isinstance(node, ast.Slice):
        yield from other_slices(node)
    if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple):
        gradients = node.value.elts
        for i in range(len(gradients)):
            for j in range(i):
                order = list(gradients)
                order[i], order[j] = order[j], order[i]
                yield "exchanged", ast.Return(ast.Tuple(order, ast.Load()))


def of_operator(node):
    """+ for -, * for /, one side left out; the factors of a matrix product exchanged."""
    left, right, operator = node.left, node.right, type(node.op)
    if operator in (ast.Add, ast.Sub):
        yield "sign", changed(node, op=ast.Sub() if operator is ast.Add else ast.Add())
        yield "extra term", left
        yield "extra term", right if operator is ast.Add else ast.UnaryOp(ast.USub(), right)
    elif operator in (ast.Mult, ast.Div):
        yield "power", changed(node, op=ast.Div() if operator is ast.Mult else ast.Mult())
        yield "extra factor", left
        yield "extra factor", right
    elif operator is ast.MatMult:
        yield "product", ast.BinOp(right, ast.MatMult(), left)
    elif operator is ast.Pow:
        yield "power", left
        for exponent in (2, 3):
            yield "power", changed(node, right=ast.Constant(exponent))


def other_axes(node):
    """A reduction along another axis, or along all."""
    keywords = {keyword.arg: keyword for keyword in node.keywords}
    current = keywords["axis"].value if "axis" in keywords else \
        node.args[-1] if node.args and isinstance(node.args[-1], (ast.Constant, ast.UnaryOp, ast.Tuple)) else None
    was = ast.unparse(current) if current is not None else ""
    for axis in ("0", "1", "2", "-1", "(0, 1)", "(0, 2)", "(1, 2)", "(0, 1, 2)", "(0, 2, 3)", "(2, 3)"):
        if axis == was:
            continue
        new = copy.deepcopy(node)
        value = expression(axis)
        if current is None:
            new.args.append(value)
        elif "axis" in keywords:
            next(keyword for keyword in new.keywords if keyword.arg == "axis").value = value
        else:
            new.args[-1] = value
        yield "axis", new
    if current is not None and "keepdims" not in keywords:
        new = copy.deepcopy(node)
        new.args = new.args if "axis" in keywords else new.args[:-1]
        new.keywords = [keyword for keyword in new.keywords if keyword.arg != "axis"]
        yield "axis", new


def other_slices(node):
    """Bounds one further or nearer, and the other direction."""
    for field in ("lower", "upper"):
        bound = getattr(node, field)
        if bound is None:
            candidates = ("1",) if field == "lower" else ("-1",)
        else:
            text = ast.unparse(bound)
            candidates = (f"{text} + 1", f"{text} - 1")
            yield "places", changed(node, **{field: None})
        for text in candidates:
            yield "places", changed(node, **{field: expression(text)})
    yield "places", changed(node, step=expression("-1") if node.step is None else None)


def substitutes(place, names):
    """One variable, attribute or number for another."""
    node = place.node
    if isinstance(node, (ast.Name, ast.Attribute)) and is_read(node) and ast.unparse(node) in names:
        for name in names:
            if name != ast.unparse(node):
                yield "name", expression(name)
                if place.in_product or isinstance(place.parent, ast.BinOp):
                    yield "name", expression(f"{name}.T")
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        for value in dict.fromkeys((node.value + 1, node.value - 1, -node.value, 2 * node.value, node.value / 2)):
            if value != node.value:
                yield "number", expression(repr(value))


def insertions(place, names):
    """A factor or a term put in: at the value of a statement, a returned gradient, or a term of a sum."""
    node = place.node
    if not isinstance(node, ast.expr) or isinstance(node, (ast.Tuple, ast.Constant, ast.Starred)) or \
            (isinstance(node, ast.Call) and called(node) in COUNTS) or \
            not is_read(node) or not (
                is_result(place) or is_side(place, ast.Add, ast.Sub, ast.MatMult) or is_reduced(place)):
        return
    text = ast.unparse(node)
    inside = [name for name in names if name in text]
    factors = [*names, *dict.fromkeys(size.format(name) for name in names for size in SIZES[:1]),
               *dict.fromkeys(size.format(name) for name in inside for size in SIZES[1:]), *NUMBERS]
    for factor in factors:
        for form in ("({}) * {}", "({}) / {}"):
            yield "missing factor", expression(form.format(text, factor))
        if factor.startswith("len(") or ".shape" in factor:
            for form in ("({}) * np.sqrt({})", "({}) / np.sqrt({})"):
                yield "missing factor", expression(form.format(text, factor))
    for name in names:
        yield "missing factor", expression(f"({text}) * (1 - {name})")
        for form in ("({}) + {}", "({}) - {}"):
            yield "missing term", expression(form.format(text, name))
        for form in DERIVATIVES:
            kind = "mask" if ">" in form else "derivative"
            yield kind, expression(f"({text}) * {form.format(name)}")


def normaliser_terms(place, names):
    """The terms that normalisers have, put in where an expression is a factor or a whole value."""
    node = place.node
    if isinstance(node, (ast.Name, ast.BinOp)) and is_read(node):
        for kind, form in NORMALISERS:
            for name in names if "{0}" in form else ("",):
                for axis in ("0", "1", "-1"):
                    yield kind, expression(form.format(name, f"({ast.unparse(node)})", axis))


def products(place, names, forms=("{0} * {1}",)):
    """A term that is a product of two variables, as of a path that was forgotten, added to a whole value or a term."""
    node = place.node
    if isinstance(node, ast.expr) and not isinstance(node, (ast.Tuple, ast.Constant)) and is_read(node) and \
            is_result(place):
        text = ast.unparse(node)
        for first, second in combinations(names, 2):
            for form in forms:
                for sign in "+-":
                    yield "missing term", expression(f"({text}) {sign} {form.format(first, second)}")


def matrix_products(place, names):
    """The same of a matrix product."""
    forms = ("{0} @ {1}", "{1} @ {0}", "{0} @ {1}.T", "{1} @ {0}.T", "{0}.T @ {1}", "{1}.T @ {0}")
    yield from products(place, names, forms)


def is_read(node):
    """Whether an expression is read, and not assigned to."""
    return isinstance(getattr(node, "ctx", ast.Load()), ast.Load)


def is_result(place):
    """Whether an expression is what a statement assigns, or one of the returned gradients."""
    return (place.field == "value" and isinstance(place.parent, (ast.Assign, ast.AugAssign, ast.Return))) or \
        (isinstance(place.parent, ast.Tuple) and place.around is not None and
         isinstance(place.around.parent, ast.Return))


def is_side(place, *operators):
    """Whether an expression is a side of one of some operators."""
    return isinstance(place.parent, ast.BinOp) and isinstance(place.parent.op, operators)


def is_reduced(place):
    """Whether an expression is what a method reduces, or an argument of a function."""
    parent = place.parent
    return place.field == "args" or (isinstance(parent, ast.Attribute) and parent.attr in ("sum", "mean", "dot"))


def changed(node, **fields):
    """A node with other fields."""
    new = copy.copy(node)
    for name, value in fields.items():
        setattr(new, name, value)
    return new
