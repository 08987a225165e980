"""The command line reads its options and runs a command: ``microtensor train``, ``evaluate``, ``predict``,
``gradcheck``, ``learn`` or ``info``.

Each command is a module of its name in this folder, with a function ``run(options)`` that returns the exit code. The
module is imported when its command runs, so that ``microtensor --help`` and the other commands need not wait for it.
"""

import argparse
import importlib
import os
import sys
from pathlib import Path

from microtensor._version import __version__
from microtensor.cli.options import (
    OPTIMIZERS,
    delimiter,
    not_negative,
    not_negative_integer,
    positive,
    positive_integer,
    seed,
    share,
    width,
)
from microtensor.nn.perceptron import ACTIVATIONS


def main(arguments=None):
    """Run one command and return its exit code."""
    _prepare_output()
    options = make_parser().parse_args(arguments)
    try:
        code = importlib.import_module(f"microtensor.cli.{options.command}").run(options)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:                 # as by `| head`: nobody reads on
        _end_output()
        return 141
    except OSError as error:                # of a disk that is full, a folder where a file should be, ...
        print(f"microtensor {options.command}: error: {error}", file=sys.stderr)
        _end_output()
        return 1


def _prepare_output():
    """See to it that anything can be printed: also if a stream is closed, and letters that its encoding lacks."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.open(os.devnull, os.O_WRONLY), "w", closefd=False))    # noqa: SIM115
        if hasattr(getattr(sys, name), "reconfigure"):
            getattr(sys, name).reconfigure(errors="backslashreplace")


def _end_output():
    """Print what is still in the buffer, or forget it, as Python would complain of it at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Parser(argparse.ArgumentParser):
    """Takes no abbreviations, and tells what is wrong in one sentence, without the list of all options."""

    def __init__(self, **options):
        super().__init__(**options, allow_abbrev=False)

    def error(self, message):
        """End the program."""
        self.exit(2, f"{self.prog}: error: {message}\n")


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows the default of every option that has one."""

    def _get_help_string(self, action):
        return action.help if action.default in (None, []) else super()._get_help_string(action)


def make_parser():
    """The commands and their options."""
    parser = Parser(prog="microtensor", description="An autograd engine in Cython on NumPy.")
    parser.add_argument("--version", action="version", version=f"microtensor {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(name, text):
        command = commands.add_parser(name, help=text, description=text, formatter_class=HelpFormatter)
        command.set_defaults(command=name, parser=command)
        return command.add_argument

    option = add("train", "train a classifier or a regression, on a table, arrays or, without DATA, handwritten digits")
    option("data", nargs="?", type=Path, metavar="DATA",
           help="a table (CSV, text with a column for each quantity), or an .npz file with arrays x_train (N, ...), "
           "y_train (N,), x_test, y_test, whose numbers are used as they are; by default the digits")
    option("--target", metavar="NAME", help="the column of the table to predict")
    option("--drop", nargs="+", metavar="COLUMN", help="columns of the table that must not be used")
    option("--categories", nargs="+", metavar="COLUMN", help="columns whose numbers are names of categories")
    option("--task", choices=("classification", "regression"), help="whether it holds classes or quantities; "
           "by default as it looks, which is said")
    _add_reading(option)
    option("--layers", type=width, nargs="*", metavar="WIDTH", default=[128, 64],
           help="widths of the hidden layers")
    option("--activation", choices=list(ACTIVATIONS), default="relu", help="after each hidden layer")
    option("--batch-norm", action=argparse.BooleanOptionalAction, default=True,
           help="normalise each hidden layer over the batch")
    option("--dropout", type=share, metavar="P", default=0.1,
           help="probability that a hidden activation is dropped")
    option("--optimizer", choices=list(OPTIMIZERS), default="adamw",
           help="how the weights are moved")
    option("--lr", type=positive, metavar="RATE", help="learning rate of the first epoch; by default 0.1 for sgd, "
           "0.003 for the others")
    option("--momentum", type=share, metavar="SHARE", default=0.9, help="how much of the velocity sgd keeps")
    option("--weight-decay", type=not_negative, metavar="LAMBDA", help="how much the weights are drawn to "
           "0, as the optimiser defines it; by default 0.01 for adamw, 0 for the others")
    option("--clip", type=positive, metavar="NORM", help="largest norm of the whole gradient")
    option("--epochs", type=positive_integer, metavar="N", help="passes over the training data; by "
           "default 60, but from 1000 to 20000 steps")
    option("--patience", type=positive_integer, metavar="N", default=20,
           help="epochs to wait for a better loss on the validation data; the weights of the best are kept")
    option("--batch-size", type=positive_integer, metavar="N", help="examples per step; by default 32, of large data "
           "as many as make 500 steps an epoch, up to 512")
    option("--seed", type=seed, metavar="N", default=0, help="chooses the validation examples, of a "
           "table the test rows too, the first weights, the order of the examples and what is dropped")
    option("--out", type=Path, metavar="FOLDER",
           help="where model.npz and curves.png go (default: runs/digits, or runs/NAME for NAME.csv)")
    option("--overwrite", action="store_true", help="replace a model there of other data or for another target")
    option("--resume", action="store_true", help="go on where a training with these options was interrupted or killed")

    trained = "a file model.npz that train wrote"
    option = add("evaluate", "measure a trained model on data with known answers")
    option("model", type=Path, metavar="MODEL", help=trained)
    option("data", nargs="?", type=Path, metavar="DATA", help="a table with the columns of that which the model was "
           "trained on, or an .npz file as for train, whose x_test and y_test are used; by default the digits")
    _add_reading(option)

    option = add("predict", "write what a trained model finds for new rows, as a table")
    option("model", type=Path, metavar="MODEL", help=trained)
    option("data", type=Path, metavar="DATA", help="a table with the columns of that which the model was trained "
           "on, or an .npy file with an array (N, ...)")
    _add_reading(option)
    option("--out", type=Path, metavar="FILE", help="where the predictions (CSV) go; by default they are printed")

    option = add("gradcheck", "verify every op, layer, loss and optimiser: kernels against finite differences, rules "
                 "against kernels, float32 against float64, second order against differences")
    option("--op", action="append", metavar="NAME", default=[],
           help="only this op, layer, ..., such as Tanh (may be repeated)")
    option("--write", type=Path, metavar="FILE", help="write the ledger as a page, such as docs/ledger.md")
    option("--check", type=Path, metavar="FILE", help="fail if this page lacks a row or holds a stale one")
    option("--seed", type=seed, metavar="N", default=0, help="of the inputs and upstream gradients")
    _add_learn(commands)
    add("info", "print version, instruction set, threads and compiler")
    return parser


def _add_reading(option):
    """How a table is read, where it is not to be found out."""
    option("--delimiter", type=delimiter, metavar="CHARACTER", help="between the cells of a table, or tab; this and "
           "the next three are found out by default")
    option("--encoding", metavar="NAME", help="of the table, such as utf-8 or latin-1")
    option("--decimal", choices=(".", ","), help="in the table's numbers")
    option("--header", action=argparse.BooleanOptionalAction, help="whether the table's first row holds names")


def _add_learn(commands):
    """The command ``learn``, whose actions are commands in turn."""
    text = "exercises in which you write backward passes by hand, and are told which term is wrong"
    more = f"{text[0].upper()}{text[1:]}. Without an action: go on where you were."
    learn = commands.add_parser("learn", help=text, description=more, formatter_class=HelpFormatter)
    learn.set_defaults(command="learn", action=None, name=None, all=False, seed=None, json=False, parser=learn)
    actions = learn.add_subparsers(title="actions", metavar="[ACTION]")

    def add(name, text, named=None):
        action = actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.",
                                    formatter_class=HelpFormatter)
        action.set_defaults(action=name, parser=action)
        if named:
            action.add_argument("name", nargs="?", metavar="NAME", help=named)
        return action.add_argument

    current = "an exercise, or \"hunt\" for the round to hunt next; by default the one that comes next"
    option = add("start", "write the exercises into a folder, over nothing that is there")
    option("folder", nargs="?", type=Path, metavar="FOLDER", help="where to; by default into the course around the "
           "current folder, or into microtensor-learn")
    add("watch", "show the result of an exercise, and again whenever its file is saved", current)
    option = add("check", "check an exercise once", f"{current}, or the path of a file")
    option("--all", action="store_true", help="all that have been begun")
    option("--seed", type=not_negative_integer, metavar="N", help="check at this seed alone, and count no attempt")
    option("--json", action="store_true", help="print the results as JSON")
    option = add("hint", "show the next hint: a question, the mathematics, a skeleton", current)
    option("--level", type=int, choices=(1, 2, 3), help="show this one")
    option = add("solution", "show the solution, if you have passed or tried three times", current)
    option("--anyway", action="store_true", help="show it all the same")
    option = add("reset", "write the task again; your file is kept in .backup", "an exercise")
    option("--all", action="store_true", help="all exercises")
    add("list", "show the exercises, and which are done")
    option = add("hunt", "go on with the bug hunt: a backward pass with one wrong statement, and then the next")
    option("--seed", type=positive_integer, metavar="N", help="hunt this round; by default the first that is not done")
    option("--keys", action="store_true", help="list what may be wrong")
    option = add("grade", "for teachers: run the files of submissions again, each in a process with limits, and make a "
                 "table. This runs code that others wrote: the limits are no sandbox")
    option("folders", nargs="+", type=Path, metavar="FOLDER", help="a submission each")
    option("--exercise", action="append", metavar="NAME", default=[], help="only this one (may be repeated)")
    option("--csv", type=Path, metavar="FILE", help="write a row for each file")
    option("--json", type=Path, metavar="FILE", help="write all that was found")
    option = add("verify", "for authors: prove the graders by right and wrong answers and by mutants of the solutions",
                 "an exercise or a part of the course, such as hunt; by default all")
    option("--write", type=Path, metavar="FILE", help="write what was found as a page")
