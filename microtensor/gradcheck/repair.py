"""Which single edit of a backward pass makes its gradients right: the hint that names a line.

A wrong backward is mostly a right one with one slip. Where its source can be read, each single edit of it (edits.py) is
run with one upstream gradient, on copies; one whose gradients are the numeric ones, at every element of every input,
is tried with a second upstream gradient, and then goes through the whole check. So an edit may be another one than the
author's, but not one that leaves the gradient wrong.
"""

import ast
import contextlib
import inspect
import io
import textwrap
import time
import types

import numpy as np

from microtensor.gradcheck.case import allowed
from microtensor.gradcheck.edits import edits, expression, names_in

EDITS = 4000        # that are tried at most
SECONDS = 3.0       # that all may take, estimated from one


class Source:
    """A function's syntax tree, and how to make a function of it again.

    Raises:
        OSError, TypeError, SyntaxError: if its source cannot be read.
    """

    def __init__(self, function):
        self.bound = getattr(function, "__self__", None)
        self.function = getattr(function, "__func__", function)
        lines, self.first = inspect.getsourcelines(self.function)
        tree = ast.parse(textwrap.dedent("".join(lines)))
        self.tree = next(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
        self.tree.decorator_list = []
        if any(isinstance(node, (ast.While, ast.Yield, ast.Await)) for node in ast.walk(self.tree)):
            raise SyntaxError("a loop without a bound is not edited")

    @property
    def upstream(self):
        """The name of the upstream gradient."""
        return self.tree.args.args[self.bound is not None].arg

    def names(self, forward):
        """The variables that an edit may put in: its own, and numbers and arrays that it or forward reads."""
        found = names_in(self.tree)
        forward = getattr(forward, "__func__", forward)
        for function in (self.function, forward) if isinstance(forward, types.FunctionType) else (self.function,):
            around = {**function.__globals__, **inspect.getclosurevars(function).nonlocals}
            found += [name for name in function.__code__.co_names + function.__code__.co_freevars
                      if isinstance(around.get(name), (int, float, np.ndarray))]
        return list(dict.fromkeys(found))

    def compiled(self):
        """The function that the tree is now."""
        code = self.function.__code__
        free = code.co_freevars
        cells = ast.arguments([], [ast.arg(name) for name in free], None, [], [], None, [])
        outer = ast.FunctionDef("outer", cells, [self.tree, ast.Return(ast.Name(self.tree.name, ast.Load()))], [])
        module = ast.fix_missing_locations(ast.Module([outer], []))
        scope = dict(self.function.__globals__)
        exec(compile(module, code.co_filename, "exec"), scope)
        made = scope["outer"](*[None] * len(free))
        cells = dict(zip(free, self.function.__closure__ or (), strict=True))
        function = types.FunctionType(
            made.__code__, self.function.__globals__, self.function.__name__, self.function.__defaults__,
            tuple(cells[name] for name in made.__code__.co_freevars))
        function.__kwdefaults__ = self.function.__kwdefaults__
        return function if self.bound is None else types.MethodType(function, self.bound)


def hint_of(edit, source, inputs):
    """(key, sentence) of an edit; the key is "" where the edit does not say which mistake it repairs.

    Args:
        edit: that makes the gradients right.
        source: the Source that it edits.
        inputs: the names of backward's arguments that are inputs or come from forward.
    """
    line = source.first + edit.line - 1
    return key_of(edit, source, inputs), \
        f"line {line}: yours is {edit.before}; with {edit.after} all gradients are right"


ALWAYS = {"sum": "size", "product": "product", "transposed": "transposed", "exchanged": "exchanged",
          "left out": "mask", "mask": "mask", "mean": "mean", "variance": "variance", "projection": "projection",
          "derivative": "derivative"}


def key_of(edit, source, inputs):
    """The key of the mistake that an edit repairs, or "" where the same edit may repair several."""
    if edit.in_index:
        return "shifted" if edit.kind == "places" and edit.detail != "reversed" else ""
    if edit.kind in ALWAYS:
        return ALWAYS[edit.kind]
    detail = edit.detail
    if edit.kind == "axis":
        return "unreduced" if axes_of(edit.after) > axes_of(edit.before) > set() else "axis"
    if edit.kind == "overwritten":
        return "overwritten" if detail == "+=" else "path"
    if edit.kind == "sign":
        return "path" if detail == "of a term" else "sign" if edit.is_whole else ""
    if edit.kind in ("missing factor", "extra factor"):
        if detail.startswith("np.sqrt(") and is_size(detail[8:-1]):
            return "constant"
        if is_size(detail):
            return "size"
        if edit.kind == "extra factor" and any(isinstance(node, ast.Compare) for node in ast.walk(expression(detail))):
            return "mask"
        if edit.kind == "missing factor" and detail == source.upstream:
            return "upstream"
        if detail in inputs and "/" not in edit.after[len(edit.before) :]:
            return "scale"
    if edit.kind == "extra term":
        names = {node.id for node in ast.walk(expression(detail)) if isinstance(node, ast.Name)}
        if not names:
            return "ddof" if detail == "1" and is_size(edit.after) else ""
        return "mean" if ".mean(" in detail else "decay" if names <= inputs else "path"
    if edit.kind == "missing term":
        return "path"
    return ""


def is_size(text):
    """Whether an expression is the size of an axis or of an array."""
    return text.startswith(("len(", "(len(")) or ".shape[" in text or text.endswith(".size")


def axes_of(text):
    """The axes that a reduction names in its source."""
    node = expression(text)
    values = [*node.args, *(keyword.value for keyword in node.keywords if keyword.arg == "axis")]
    return {number.value for value in values for number in ast.walk(value)
            if isinstance(number, ast.Constant) and type(number.value) is int}


def find_repair(subject, probes, numeric, tolerances, is_right):
    """A (key, sentence) of the first single edit of backward that makes all gradients right, or None.

    Args:
        subject: a NumpyFunction.
        probes: two upstream gradients, (2, m).
        numeric: the numeric gradients for them: for each point (2, *shape), nan where it is not known.
        tolerances: for each point an array of its shape.
        is_right: takes a backward and says whether the whole check succeeds with it; asked for what fits the numbers.
    """
    try:
        source = Source(subject.backward)
    except (OSError, TypeError, SyntaxError, StopIteration):
        return None
    names = source.names(subject.forward)
    given, kept = subject.backward, [x.copy() for x in subject.inputs]
    start, tried = time.perf_counter(), 0
    with contextlib.redirect_stdout(io.StringIO()), np.errstate(all="ignore"):
        try:
            for edit in edits(source.tree, names):
                tried += 1
                if tried > EDITS or time.perf_counter() - start > SECONDS:
                    break
                try:
                    subject.backward = source.compiled()
                    if all(fits(subject, probes[p], [n[p] for n in numeric], tolerances) for p in range(len(probes))) \
                            and is_right(subject.backward):
                        return hint_of(edit, source, known_names(source, subject))
                except Exception:
                    pass
                finally:
                    for x, value in zip(subject.inputs, kept, strict=True):
                        x[...] = value
        finally:
            subject.backward = given
    return None


def known_names(source, subject):
    """The names in backward of inputs, and of the numbers around it."""
    arguments = [argument.arg for argument in source.tree.args.args]
    around = source.function.__globals__
    constants = [name for name in source.names(subject.forward)
                 if name not in names_in(source.tree) and not isinstance(around.get(name), int)]    # ints count things
    return {*arguments, *subject.names, *subject.others, *constants} - {source.upstream}


def fits(subject, probe, numeric, tolerances):
    """Whether the gradients for an upstream gradient are the numeric ones."""
    _, saved = subject.run()
    gradients = subject.gradients(subject.upstreams(probe), saved)
    for d, n, tolerance in zip(gradients, numeric, tolerances, strict=True):
        if d.shape != n.shape:
            return False
        known = np.isfinite(n)
        room = allowed(tolerance[known], np.max(np.abs(n[known]), initial=0))
        if not np.all(np.abs(d - n)[known] <= room):
            return False
    return True
