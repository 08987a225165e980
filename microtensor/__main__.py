"""The command line: ``microtensor train``, ``microtensor gradcheck``, ``microtensor info``."""

import argparse
import math
import platform
import sys
import tempfile
from pathlib import Path

import numpy as np

import microtensor as mt
from microtensor import _isa_path, datasets, training
from microtensor.kernels import threads


def main(arguments=None):
    """Run one command and return its exit code."""
    options = make_parser().parse_args(arguments)
    try:
        return options.run(options)
    except KeyboardInterrupt:
        return 130


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows the default of every option that has one."""

    def _get_help_string(self, action):
        return action.help if action.default in (None, []) else super()._get_help_string(action)


def make_parser():
    """The commands and their options."""
    parser = argparse.ArgumentParser(prog="microtensor", description="An autograd engine in Cython on NumPy.")
    parser.add_argument("--version", action="version", version=f"microtensor {mt.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(run, text):
        command = commands.add_parser(
            run.__name__, help=text, description=text, formatter_class=HelpFormatter
        )
        command.set_defaults(run=run, parser=command)
        return command.add_argument

    option = add(train, "train a classifier, on handwritten digits unless --data is given")
    option("--data", type=Path, metavar="FILE",
           help="other data: an .npz file with arrays x_train (N, ...), y_train (N,), x_test, y_test")
    option("--layers", type=positive_integer, nargs="*", metavar="WIDTH", default=[128, 64],
           help="widths of the hidden layers")
    option("--activation", choices=list(training.ACTIVATIONS), default="relu", help="after each hidden layer")
    option("--batch-norm", action=argparse.BooleanOptionalAction, default=True,
           help="normalise each hidden layer over the batch")
    option("--dropout", type=share, metavar="P", default=0.1,
           help="probability that a hidden activation is dropped")
    option("--lr", type=positive, metavar="RATE", default=0.1, help="learning rate of the first epoch")
    option("--momentum", type=share, metavar="SHARE", default=0.9, help="how much of the velocity is kept")
    option("--weight-decay", type=not_negative, metavar="LAMBDA", default=2e-3, help="L2 penalty")
    option("--clip", type=positive, metavar="NORM", help="largest norm of the whole gradient")
    option("--epochs", type=positive_integer, metavar="N", default=30, help="passes over the training data")
    option("--batch-size", type=positive_integer, metavar="N", default=32, help="examples per step")
    option("--seed", type=not_negative_integer, metavar="N", default=0,
           help="chooses the first weights, the order of the examples and what is dropped")
    option("--out", type=Path, metavar="FOLDER", default=Path("runs/digits"),
           help="where weights.npz and curves.png go")

    option = add(gradcheck, "verify every op, layer, loss and optimiser: kernels against finite differences, rules "
                 "against kernels, float32 against float64, second order against differences")
    option("--op", action="append", metavar="NAME", default=[],
           help="only this op, layer, ..., such as Tanh (may be repeated)")
    option("--write", type=Path, metavar="FILE", help="write the ledger as a page, such as docs/ledger.md")
    option("--check", type=Path, metavar="FILE", help="fail if this page lacks a row or holds a stale one")
    option("--seed", type=not_negative_integer, metavar="N", default=0, help="of the inputs and upstream gradients")
    add(info, "print version, instruction set, threads and compiler")
    return parser


# -- types of options: each returns the value, or says in one sentence what is wrong with it -----------------


def _number(text, convert, fits, wanted):
    try:
        value = convert(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and fits(value)):
        raise argparse.ArgumentTypeError(f"must be {wanted}, got {text}")
    return value


def positive_integer(text):
    """1, 2, 3, ..."""
    return _number(text, int, lambda n: n >= 1, "a positive integer")


def not_negative_integer(text):
    """0, 1, 2, ..."""
    return _number(text, int, lambda n: n >= 0, "0 or a positive integer")


def positive(text):
    """A number above 0."""
    return _number(text, float, lambda x: x > 0, "a number above 0")


def not_negative(text):
    """A number of at least 0."""
    return _number(text, float, lambda x: x >= 0, "a number of at least 0")


def share(text):
    """A number in [0, 1)."""
    return _number(text, float, lambda x: 0 <= x < 1, "a number of at least 0 and below 1")


# -- commands ------------------------------------------------------------------------------------------------


def train(options):
    """Check what was asked for, then the gradients; train; save weights and curves."""
    parser = options.parser
    try:
        import matplotlib  # noqa: F401
        import tqdm  # noqa: F401
    except ImportError as error:
        parser.exit(1, f'microtensor train needs {error.name}: pip install "microtensor[train]"\n')
    if options.batch_norm and options.batch_size == 1:
        parser.error("--batch-norm needs a --batch-size of at least 2: one example has no variance")
    try:
        data = datasets.digits() if options.data is None else training.load_arrays(options.data)
    except OSError as error:
        parser.error(f"argument --data: {options.data}: {error.strerror}")
    except ValueError as error:
        parser.error(f"argument --data: {error}")
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=options.out):
            pass
    except OSError as error:
        parser.error(f"argument --out: cannot write into {options.out}: {error.strerror}")

    train_x, train_y, test_x, test_y = data
    inputs, classes = train_x.shape[1], 1 + int(max(train_y.max(), test_y.max()))
    mt.manual_seed(options.seed)
    network = {
        "sizes": [inputs, *options.layers, classes],
        "activation": options.activation,
        "batch_norm": options.batch_norm,
        "dropout": options.dropout,
    }
    model = training.build_model(**network)
    print(f"data       {len(train_x):,} examples for training, {len(test_x):,} for testing; "
          f"{inputs} numbers each, {classes} classes")
    print(f"network    {'-'.join(map(str, network['sizes']))}, {options.activation}, "
          f"{'batch norm' if options.batch_norm else 'no batch norm'}, dropout {options.dropout}: "
          f"{sum(parameter.numel() for parameter in model.parameters()):,} parameters")

    report = training.check_gradients(model, train_x[: options.batch_size], train_y[: options.batch_size])
    if not report:
        print(report, file=sys.stderr)
        return 1
    checked, worst = sum(found.checked for found in report.inputs), report.worst
    print(f"gradients  {checked} of them agree with finite differences on one batch; "
          f"the worst, {worst.name}{list(worst.index)}:\n"
          f"           {worst.analytic:.9g} by backward, {worst.numeric:.9g} by difference, "
          f"relative error {worst.relative:.1e}", flush=True)

    history = training.fit(
        model, (train_x, train_y), (test_x, test_y), epochs=options.epochs, batch_size=options.batch_size,
        lr=options.lr, momentum=options.momentum, weight_decay=options.weight_decay, clip=options.clip,
    )
    if history.stopped:
        when = f"at the end of epoch {history.epochs}" if history.epochs else "before training"
        advice = "" if history.interrupted else "; a smaller --lr, or --clip 1, may help"
        print(f"stopped    {history.stopped}: keeping the weights as they were {when}{advice}",
              file=sys.stderr)
    failure = 130 if history.interrupted else 1     # 130: what a shell reports for a program ended by Ctrl-C
    if not history.epochs:
        print(f"nothing is saved; {options.out} is as it was", file=sys.stderr)
        return failure
    _, accuracy = training.evaluate(model, test_x, test_y)
    print(f"accuracy   {accuracy:.2%} on the {len(test_x):,} test examples")
    mt.save({"network": network, "model": model.state_dict()}, options.out / "weights.npz")
    print(f"weights    {options.out / 'weights.npz'}")
    training.draw_curves(history, options.out / "curves.png")
    print(f"curves     {options.out / 'curves.png'}")
    return failure if history.stopped else 0


def gradcheck(options):
    """Print the ledger, write it as a page, or check that page; fail if a row fails or is stale."""
    from microtensor.gradcheck import ledger

    try:
        if options.check is not None:
            found = ledger.differences_from(options.check.read_text())
            print("\n".join(found) or f"{options.check} is up to date")
            return 1 if found else 0
        if options.write is not None:
            text = ledger.page(options.seed)
            options.write.write_text(text)
            print(f"wrote {options.write}")
            return 0
        return 0 if ledger.print_ledger(options.op, options.seed) else 1
    except AssertionError as error:
        print(error, file=sys.stderr)
        return 1
    except (OSError, ValueError) as error:
        options.parser.error(str(error))


def info(options):
    """Print what a bug report should hold."""
    level, built = _isa_path.LEVEL, ", ".join(_isa_path.built_levels())
    openmp = "OpenMP" if threads.has_openmp() else "built without OpenMP"
    for name, value in (
        ("microtensor", mt.__version__),
        ("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        ("numpy", np.__version__),
        ("instructions", f"{level}, out of {built}" if level else "the compiler's default"),
        ("threads", f"{threads.get_num_threads()} ({openmp})"),
        ("compiler", threads.compiler_version()),
    ):
        print(f"{name:<14}{value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
