"""The list of exercises, in order, and where the files of each one are."""

import ast
from dataclasses import dataclass
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
    def folder(self):
        """Its files in the package."""
        return FOLDER / self.name

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
    "08_source": ("The engine's source", [
        Exercise("graph", 30, "what a graph keeps, and how a pass goes through it", "microtensor/core.pyx"),
        Exercise("mutant", 30, "why each check of a gradient exists", "docs/mutation.md"),
    ]),
}       # by folder in a workspace: the title of a part, and its exercises


def _in_order():
    for part, (_, exercises) in PARTS.items():
        for exercise in exercises:
            yield exercise.name, Exercise(**{**vars(exercise), "path": f"{part}/{exercise.name}.py"})


EXERCISES = dict(_in_order())       # by name


def find(name):
    """An exercise by its name, or by the path of its file.

    Raises:
        LookupError: if there is none.
    """
    wanted = Path(name).stem
    if wanted not in EXERCISES:
        like = get_close_matches(wanted, EXERCISES, 1, 0.5)
        raise LookupError(f"there is no exercise {wanted!r}: " + (f"did you mean {like[0]}?" if like else
                          "`microtensor learn list` shows all that there are"))
    return EXERCISES[wanted]
