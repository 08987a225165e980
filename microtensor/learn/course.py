"""The list of exercises, in order, and where the files of each one are."""

import ast
import re
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path

FOLDER = Path(__file__).parent / "exercises"


@dataclass(frozen=True)
class Exercise:
    """One exercise; its files lie in ``exercises/NAME/``.

    Attributes:
        name: of the exercise, of its file, and in the commands.
        minutes: how long it takes.
        teaches: what, in a few words.
        page: where the mathematics is derived.
        seconds: how long grading may take.
        path: of its file in a workspace, such as "02_shapes/linear.py".
    """

    name: str
    minutes: int
    teaches: str
    page: str
    seconds: float = 10
    path: str = ""

    @property
    def title(self):
        """What it is called where it is shown."""
        return self.name

    @property
    def folder(self):
        """Its files in the package."""
        return FOLDER / self.name

    @property
    def patch(self):
        """The file with the changes to microtensor's own source that solve it; None for most exercises."""
        path = self.folder / "solution.patch"
        return path if path.exists() else None

    @property
    def solution(self):
        """The text of the solution, and of the patch that belongs to it if there is one."""
        return self.read("solution.py") + (f"\n\n{self.patch.read_text(encoding='utf-8')}" if self.patch else "")

    def read(self, name):
        """The text of one of its files, such as "solution.py"."""
        return (self.folder / name).read_text(encoding="utf-8")

    @property
    def task(self):
        """The text of the file that a learner begins with."""
        return self.read("exercise.py")

    @cached_property
    def asks_for(self):
        """The names of the functions and classes that the learner writes: those that the task leaves open."""
        return [node.name for node in ast.parse(self.task).body if isinstance(node, (ast.FunctionDef, ast.ClassDef))
                and "raise NotImplementedError" in map(ast.unparse, ast.walk(node))]

    @cached_property
    def hints(self):
        """The texts of the hints, levels 1 to 3: ``hints.md`` has a heading ``## 1``, ``## 2``, ``## 3`` for each."""
        return [text.split("\n", 1)[1].strip("\n") for text in ("\n" + self.read("hints.md")).split("\n## ")[1:]]


HUNTS = (
    ("soft maximum", 2),
    ("embedding lookup", 0),
    ("PReLU", 4),
    ("standard deviation", 0),
    ("layer norm", 0),
    ("scaled dot-product attention", 2),
    ("softmax regression with a penalty", 2),
    ("conv1d by loops", 1),
    ("rnn over a sequence", 5),
    ("gru over a sequence", 0),
)       # the rounds of the hunt that belong to the course: a pair of the corpus, and which of its slips


@dataclass(frozen=True)
class Round(Exercise):
    """One round of the hunt: its files are made from the corpus, and there are more rounds than the course lists.

    Attributes:
        number: counted from 1.
    """

    number: int = 0

    @property
    def title(self):
        """What it is called where it is shown."""
        return f"hunt {self.number}" + (f" of {len(HUNTS)}" if self.number <= len(HUNTS) else "")

    @property
    def folder(self):
        """What all rounds have in the package."""
        return FOLDER / "hunt"

    def read(self, name):
        """The text of exercise.py, solution.py or hints.md."""
        from microtensor.learn.hunt import text_of

        return text_of(self, name)

    @property
    def asks_for(self):
        """Nothing: what a learner repairs is there."""
        return []


PARTS = {
    "00_report": ("Read a report", [
        Exercise("verdicts", 10, "what each verdict of the checker means", "docs/gradcheck.md"),
        Exercise("differences", 20, "central differences: order, rounding, the upstream gradient",
                 "docs/derivations/index.md"),
    ]),
    "01_elementwise": ("Element by element", [
        Exercise("sigmoid", 15, "what to save; a form that does not overflow", "docs/derivations/activations.md"),
        Exercise("tanh", 10, "the gradient from the output alone", "docs/derivations/activations.md"),
        Exercise("rectifiers", 20, "masks and kinks", "docs/derivations/max.md"),
        Exercise("elu_selu", 35, "the derivative from the output; a fixed point", "docs/derivations/elu-selu.md"),
    ]),
    "02_shapes": ("Shapes", [
        Exercise("two_paths", 25, "one input on several paths: contributions add up", "docs/derivations/indexing.md"),
        Exercise("unbroadcast", 25, "sum over what was repeated", "docs/derivations/broadcasting.md"),
        Exercise("reduce", 25, "repeat what was reduced; divide; share among ties", "docs/derivations/max.md"),
        Exercise("linear", 40, "matrix products: which side, which transpose", "docs/derivations/matmul.md"),
    ]),
    "03_losses": ("Losses", [
        Exercise("mse", 15, "where 1/N belongs", "docs/derivations/index.md"),
        Exercise("softmax", 25, "a full Jacobian, never formed", "docs/derivations/softmax-cross-entropy.md"),
        Exercise("cross_entropy", 30, "p - q, and log-sum-exp", "docs/derivations/softmax-cross-entropy.md"),
    ]),
    "04_regularisation": ("Regularisation", [
        Exercise("penalties", 30, "the half; the sign at 0; exact zeros", "docs/derivations/penalties.md"),
        Exercise("dropout", 20, "inverted scaling, and one mask for both passes", "docs/derivations/dropout.md"),
    ]),
    "05_batchnorm": ("Batch normalisation", [
        Exercise("batchnorm_steps", 45, "the chain rule, node by node", "docs/derivations/batch-norm.md"),
        Exercise("batchnorm", 40, "the closed form, and its three terms", "docs/derivations/batch-norm.md"),
        Exercise("batchnorm_eval", 25, "running statistics; what a check can show", "docs/derivations/batch-norm.md"),
    ]),
    "06_training": ("Training", [
        Exercise("sgd", 30, "velocity, decay, look-ahead", "docs/derivations/momentum.md"),
        Exercise("clip", 15, "one norm for all gradients", "docs/derivations/clipping.md"),
        Exercise("init", 20, "variance through a layer", "docs/derivations/initialisation.md"),
        Exercise("signal", 40, "how signals and gradients grow or die", "docs/derivations/initialisation.md"),
    ]),
    "07_hunt": ("Bug hunt", [
        *(Round(f"round{number}", 5, f"one wrong statement: {pair}", "docs/gradcheck.md", seconds=30, number=number)
          for number, (pair, _) in enumerate(HUNTS, 1)),
        Exercise("forge", 25, "what each mistake looks like in a report", "docs/gradcheck.md", seconds=30),
        Exercise("fool", 25, "why upstream gradients are random, and sizes prime", "docs/derivations/index.md"),
    ]),
    "08_source": ("The engine's source", [
        Exercise("graph", 30, "what a graph keeps, and how a pass goes through it", "microtensor/core.pyx"),
        Exercise("mutant", 30, "why each check of a gradient exists", "docs/mutation.md"),
    ]),
    "09_capstone": ("Capstone", [
        Exercise("engine", 120, "topological order, and sums over all uses", "docs/derivations/index.md", 30),
        Exercise("train", 90, "layers, an optimiser, a loop: all of it together", "docs/derivations/index.md", 120),
        Exercise("op", 60, "a new op in microtensor's own source", "CONTRIBUTING.md", 600),
    ]),
}       # by folder in a workspace: the title of a part, and its exercises


def _in_order():
    for part, (_, exercises) in PARTS.items():
        for exercise in exercises:
            yield exercise.name, replace(exercise, path=f"{part}/{exercise.name}.py")


EXERCISES = dict(_in_order())       # by name; rounds of the hunt beyond those of the course are not in it


def round_of_hunt(number):
    """A round by its number, which is counted from 1."""
    name, first = f"round{number}", EXERCISES["round1"]
    return EXERCISES.get(name) or replace(first, name=name, number=number, teaches="one wrong statement",
                                          path=first.path.replace(first.name, name))


def is_round(name):
    """Whether a name is that of a round of the hunt."""
    return re.fullmatch(r"round[1-9]\d*", name) is not None


def find(name):
    """An exercise by its name, or by the path of its file.

    Raises:
        LookupError: if there is none.
    """
    wanted = Path(name).stem
    if is_round(wanted):
        return round_of_hunt(int(wanted.removeprefix("round")))
    if wanted not in EXERCISES:
        like = get_close_matches(wanted, EXERCISES, 1, 0.5)
        raise LookupError(f"there is no exercise {wanted!r}: " + (f"did you mean {like[0]}?" if like else
                          "`microtensor learn list` shows all that there are"))
    return EXERCISES[wanted]


def named(name):
    """The exercises that a name stands for: one, or all of a part.

    Raises:
        LookupError: if there is none.
    """
    part = [exercise for exercise in EXERCISES.values() if exercise.path.split("/")[0].partition("_")[2] == name]
    return part if part and name not in EXERCISES else [find(name)]


def beside(exercise, step):
    """The exercise so many places after another, or before it; None at an end. After rounds of the hunt come others."""
    if exercise.name not in EXERCISES:
        return round_of_hunt(exercise.number + step)
    names = list(EXERCISES)
    place = names.index(exercise.name) + step
    return EXERCISES[names[place]] if 0 <= place < len(names) else None
