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
import linecache
import textwrap
import time
import types
from dataclasses import dataclass

import numpy as np

from microtensor.gradcheck.case import Hint, allowed
from microtensor.gradcheck.edits import called, edits, names_in

EDITS = 4000        # that are tried at most
SECONDS = 3.0       # of the processor that all may take, so that what is found is the same beside other programs, ...
WAITED = 12.0       # ... and that all may last


@dataclass
class Repair(Hint):
    """One edit of backward's source that makes all gradients right.

    Attributes:
        line: of the file, counted from 1.
        before, after: the statement, or what matters of it, as it is and as it should be.
        source: the whole function with the edit.
    """

    line: int
    before: str
    after: str
    source: str


class Source:
    """A function's syntax tree, and how to make a function of it again.

    Raises:
        OSError, TypeError, SyntaxError: if its source cannot be read.
    """

    def __init__(self, function):
        self.bound = getattr(function, "__self__", None)
        self.function = getattr(function, "__func__", function)
        code = getattr(self.function, "__code__", None)
        if code is None:
            raise TypeError("an object that is called has no source of its own")
        if code.co_name == "<lambda>":
            self.first, self.tree = 1, lambda_in_file(code)
        else:
            lines, self.first = inspect.getsourcelines(self.function)
            tree = ast.parse(textwrap.dedent("".join(lines)))
            self.tree = next(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
            self.tree.decorator_list = []
        if any(isinstance(node, (ast.While, ast.Yield, ast.Await)) for node in ast.walk(self.tree)):
            raise SyntaxError("a loop without a bound is not edited")

    def names(self, forward):
        """What an edit may put in: variables and attributes of the function, numbers and arrays that it or forward
        reads from around it."""
        found = names_in(self.tree)
        forward = getattr(forward, "__func__", forward)
        for function in (self.function, forward) if isinstance(forward, types.FunctionType) else (self.function,):
            around = {**function.__globals__, **inspect.getclosurevars(function).nonlocals}
            found += [name for name in function.__code__.co_names + function.__code__.co_freevars
                      if isinstance(around.get(name), (int, float, np.ndarray))]
        if self.bound is not None:
            own = self.tree.args.args[0].arg
            found.remove(own)
            found += [f"{own}.{name}" for name, value in vars(self.bound).items()
                      if isinstance(value, (int, float, np.ndarray)) and not name.startswith("__")]
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


def lambda_in_file(code):
    """The syntax tree of a lambda as that of a function, found in its file by where it starts and what it compiles to.

    Raises:
        OSError: if it is not found.
    """
    for node in ast.walk(ast.parse("".join(linecache.getlines(code.co_filename)))):
        if isinstance(node, ast.Lambda) and node.lineno == code.co_firstlineno:
            made = compile(ast.Expression(node), code.co_filename, "eval").co_consts[0]
            if made.co_code == code.co_code and made.co_consts == code.co_consts and made.co_names == code.co_names \
                    and made.co_varnames == code.co_varnames:
                body = ast.copy_location(ast.Return(node.body), node.body)
                return ast.copy_location(ast.FunctionDef("backward", node.args, [body], []), node)
    raise OSError("the source of a lambda was not found")


def repair_of(edit, source):
    """The Repair for an edit, while the source's tree holds it."""
    line = source.first + edit.line - 1
    after = edit.after
    text = f"line {line}: `{edit.before}` should be `{after}`: with this edit all gradients are right" \
        if after != "pass" else f"line {line}: without `{edit.before}` all gradients are right"
    return Repair("edit", text, "backward with this edit", 0.0, -2, line, edit.before, after, ast.unparse(source.tree))


def find_repair(subject, probes, numeric, tolerances, is_right):
    """A Repair: the first single edit of backward that makes all gradients right; None if there is none.

    Args:
        subject: a NumpyFunction.
        probes: two upstream gradients, (2, m).
        numeric: the numeric gradients for them: for each point (2, *shape), nan where it is not known.
        tolerances: likewise.
        is_right: takes a backward and says whether the whole check succeeds with it; asked for what fits the numbers.
    """
    try:
        source = Source(subject.backward)
    except (OSError, TypeError, SyntaxError, StopIteration):        # the last where it is no plain function
        return None
    names = source.names(subject.forward)
    given, kept = subject.backward, [x.copy() for x in subject.inputs]
    start, started, tried = time.thread_time(), time.monotonic(), 0
    with contextlib.redirect_stdout(io.StringIO()), np.errstate(all="ignore"):
        try:
            for edit in edits(source.tree, names):
                tried += 1
                if tried > EDITS or time.thread_time() - start > SECONDS or time.monotonic() - started > WAITED:
                    break
                try:
                    subject.backward = source.compiled()
                    if all(fits(subject, probe, [n[p] for n in numeric], [t[p] for t in tolerances])
                           for p, probe in enumerate(probes)) and is_right(subject.backward):
                        return repair_of(edit, source)
                except Exception:
                    pass
                finally:
                    for x, value in zip(subject.inputs, kept, strict=True):
                        x[...] = value
        finally:
            subject.backward = given
    return None


def calls_alone(backward):
    """Whether all that a backward does is to return what one function gives, which is not NumPy's."""
    try:
        body = Source(backward).tree.body
    except (OSError, TypeError, SyntaxError, StopIteration):
        return False
    only = body[0].value if len(body) == 1 and isinstance(body[0], ast.Return) else None
    return isinstance(only, ast.Call) and not hasattr(np, called(only)) and not hasattr(np.ndarray, called(only))


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
