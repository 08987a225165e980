"""Grade one file: read it, import it, take it through the steps of its exercise, and say what was found.

    imports -> the steps of check.py, at seeds 0, 1 and one from the file itself -> Result

The seed from the file's own bytes is another one after every edit, so that numbers cannot be typed in. ``grade`` runs
in the process that calls it; ``child.py`` calls it in another one, which may end in any way.
"""

import ast
import hashlib
import html
import importlib.util
import io
import linecache
import sys
import types
from dataclasses import asdict, dataclass, field

from microtensor.learn.course import EXERCISES, find
from microtensor.learn.screens import Screen
from microtensor.learn.steps import NOT_WRITTEN, Answer, Wrong, in_words, raised_at, step
from microtensor.ops.sample import Draw

SCHEMA = 1                      # of what to_dict gives
AUTOGRAD = {"torch", "jax", "autograd", "tensorflow", "mygrad", "micrograd", "tinygrad", "numdifftools"}


@dataclass(repr=False)
class Result:
    """What grading a file found.

    Attributes:
        exercise: its name.
        path: of the file.
        sha256: of the file.
        seed: the one that the steps belong to.
        steps: Step, each, in order.
        printed: what the file printed.
        attempt: its number; 0 if it was not counted.
        notes: what else the learner should know.
    """

    exercise: str
    path: str
    sha256: str = ""
    seed: int = 0
    steps: list = field(default_factory=list)
    printed: str = ""
    attempt: int = 0
    notes: list = field(default_factory=list)

    def add(self, step):
        """Take a step in; of several of one name, such as for inputs of other shapes, only the first that fails."""
        for i, known in enumerate(self.steps):
            if known.name == step.name:
                self.steps[i] = step if known.passed and not step.passed else known
                return
        self.steps.append(step)

    @property
    def passed(self):
        """Whether the file is a right answer."""
        return bool(self.steps) and all(step.passed for step in self.steps)

    @property
    def written(self):
        """Whether the learner has begun."""
        return any(step.text != NOT_WRITTEN for step in self.steps)

    def to_dict(self):
        """All of it, in plain Python."""
        return {"schema": SCHEMA, "passed": self.passed, **asdict(self)}

    def __str__(self):
        return "\n".join(Screen(io.StringIO()).result(self))

    __repr__ = __str__

    def _repr_html_(self):
        """What a notebook shows."""
        colour = "#2a7" if self.passed else "#c33"
        return f'<pre style="border-left: 4px solid {colour}; padding-left: 8px">{html.escape(str(self))}</pre>'


def grade(exercise, path, seeds=None, tell=lambda event, value: None, text=None, all_steps=True):
    """Take a file through the steps of an exercise, at several seeds until one fails.

    Args:
        exercise: the Exercise.
        path: of the file.
        seeds: by default 0, 1 and one from the file's bytes.
        tell: called with ("sha256", s), ("seed", n), ("begin", name of a step), ("step", Step), as they come.
        text: the source, if it is not what the file holds.
        all_steps: whether to go on after a step that fails.

    Returns:
        A Result; exceptions of the learner's code are in it.
    """
    if text is None:
        with open(path, "rb") as file:
            content = file.read()
    else:
        content = text.encode()
    result = Result(exercise.name, str(path), hashlib.sha256(content).hexdigest())
    tell("sha256", result.sha256)
    answer = Answer(types.ModuleType(exercise.name), path, lambda name: tell("begin", name))
    limit = sys.getrecursionlimit()
    imported = step(answer, "import", lambda: _import(answer, content))
    if not imported.passed:
        result.add(imported)
        tell("step", imported)
        return result
    check = load_check(exercise)
    for seed in seeds if seeds is not None else seeds_of(result.sha256):
        result.seed, result.steps, answer.seed = seed, [], seed
        tell("seed", seed)
        for found in check(answer, Draw(seed)):
            result.add(found)
            tell("step", found)
            if not found.passed and not all_steps:
                break
        if not result.passed:
            break
    sys.setrecursionlimit(limit)        # the file may have raised it
    return result


def seeds_of(sha256):
    """The seeds at which a file is graded."""
    return 0, 1, 2 + int(sha256[:6], 16)


def load_check(exercise):
    """The function ``check`` of an exercise's check.py."""
    spec = importlib.util.spec_from_file_location(f"microtensor.learn.exercises.{exercise.name}.check",
                                                  exercise.folder / "check.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.check


def _import(answer, content):
    """Run a learner's file as the answer's module."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise Wrong(f"line {line} is not UTF-8: save the file in that encoding") from None
    answer.source, lines = text, text.splitlines(keepends=True)
    linecache.cache[answer.path] = len(text), None, lines, answer.path
    try:
        tree = ast.parse(text, answer.path)
        code = compile(tree, answer.path, "exec")
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        shown = [lines[line - 1].strip()] if line and line <= len(lines) else []
        raise Wrong((f"line {line}: " if line else "") + getattr(error, "msg", str(error)), *shown) from None
    _refuse_imports(find(answer.module.__name__), tree)
    answer.module.__file__ = answer.path
    try:
        exec(code, vars(answer.module))
    except NotImplementedError:
        raise
    except (Exception, SystemExit) as error:
        raise Wrong(in_words(error), *raised_at(error, answer.path)) from None


GIVEN = "microtensor.learn.given"


def _refuse_imports(exercise, tree):
    """Refuse what would compute gradients in the learner's place, and other exercises."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            first = name.split(".")[0]
            if first in AUTOGRAD or (first == "microtensor" and name != "microtensor.learn" and
                                     not name.startswith(GIVEN)):
                raise Wrong(f"line {node.lineno} imports {name}: the exercise is to be written in NumPy alone")
            if name.startswith(GIVEN) and name.rpartition(".")[2] in exercise.asks_for:
                raise Wrong(f"line {node.lineno} imports {name}: this is what the exercise asks you to write")
            if first in EXERCISES:
                names = EXERCISES[first].asks_for
                raise Wrong(f"line {node.lineno} imports {first}: an exercise stands alone" + (
                    f", and its parts come from {GIVEN}, as in `from {GIVEN} import {names[0]}`" if names else ""))
