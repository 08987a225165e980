"""How good a model is, and how good the best answer that does not look at the inputs."""

import numpy as np

import microtensor as mt
from microtensor import nn
from microtensor.cli.sources import print_notes

LOSSES = {"classification": nn.CrossEntropyLoss, "regression": nn.MSELoss}
METRICS = {"classification": mt.metrics.accuracy, "regression": mt.metrics.r2}
_ROWS = 1024        # at a time


def outputs_of(model, x):
    """The outputs (N, C) of a model in evaluation mode for all rows of x (N, D)."""
    with mt.no_grad():
        return mt.cat([model(x[start : start + _ROWS]) for start in range(0, len(x), _ROWS)])


def baseline(task, y, outputs):
    """The outputs (1, outputs) that fit targets y best among those that are the same for all inputs.

    For classes these are the logarithms of their shares in y; for standardised numbers their mean, 0.
    """
    if task == "regression":
        return mt.zeros(1, 1)
    shares = np.bincount(y.numpy(), minlength=outputs) / len(y)
    return mt.tensor(np.log(np.maximum(shares, 1 / (len(y) + 1)))[None], dtype=mt.float32)


def scores(trained, outputs, y):
    """Numbers by name that say how well outputs (N, C), or (1, C) for all rows, fit targets y."""
    outputs = mt.cat([outputs] * len(y)) if len(outputs) < len(y) else outputs
    metric = METRICS[trained.task](outputs, y)
    if trained.task == "classification":
        return {"accuracy": metric, "loss": LOSSES[trained.task]()(outputs, y).item()}
    with np.errstate(over="ignore"):        # where numbers are far beyond those of the training, the error is inf
        apart = trained.encoder.decode(outputs) - trained.encoder.decode(y)
        return {"R2": metric, "root mean squared error": float(np.sqrt(np.mean(apart**2))),
                "mean absolute error": float(np.abs(apart).mean())}


def print_comparison(title, trained, x, y):
    """Print the scores of a model on inputs x and targets y beside those of the constant answer."""
    columns = {"model": scores(trained, outputs_of(trained.model, x), y),
               "the same answer for all": scores(trained, trained.constant, y)}
    print_scores(title, columns)
    model, constant = (next(iter(found.values())) for found in columns.values())
    if not model > constant:
        print_notes(["the model is no better than the same answer for all"])


def print_scores(title, columns):
    """A line for each score, with a number for each of {heading: scores}."""
    print(f"scores     {title}")
    rows = [["", *columns]]
    for name in next(iter(columns.values())):
        numbers = [found[name] for found in columns.values()]
        rows.append([name, *(f"{number:.2%}" if name == "accuracy" else _digits(number) for number in numbers)])
    names, *others = zip(*rows, strict=True)
    first, widths = max(map(len, names)), [max(map(len, cells)) for cells in others]
    for name, *cells in rows:
        print(f"{name:<{max(first, 10)}} " + "   ".join(f"{cell:>{width}}" for cell, width
                                                      in zip(cells, widths, strict=True)))


def _digits(number):
    """Four digits, without an exponent."""
    return np.format_float_positional(number, precision=4, unique=False, fractional=False, trim="-")
