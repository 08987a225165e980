"""``microtensor predict`` asks a classifier that ``microtensor train`` saved for the classes of new examples."""

import csv
import io
import sys

import numpy as np

import microtensor as mt
from microtensor.cli import classifier
from microtensor.serialization import replacement

_ROWS = 1024        # examples at a time


def run(options):
    """Write a row for each example: the class, and its probability."""
    model, saved = classifier.load_trained(options)
    x = _load_inputs(options, saved["network"]["sizes"][0])
    if options.out is None:
        _write(sys.stdout, model, x)
        return 0
    for given in (options.weights, options.inputs):
        if options.out.exists() and options.out.samefile(given):
            options.parser.error(f"argument --out: {options.out} is what is read, and would be replaced")
    try:
        text = io.StringIO(newline="")
        _write(text, model, x)
        with replacement(options.out) as file:
            file.write(text.getvalue().encode())
    except OSError as error:
        options.parser.error(f"argument --out: cannot write {options.out}: {error.strerror}")
    print(f"predictions  {options.out}, {len(x):,} rows")
    return 0


def _load_inputs(options, inputs):
    """The examples as an array (N, inputs) of float32; the parser's error if the file holds none."""
    refuse = options.parser.error
    try:
        x = np.load(options.inputs, allow_pickle=False)
    except OSError as error:
        refuse(f"argument INPUTS: {options.inputs}: {error.strerror or error}")
    except (ValueError, EOFError) as error:
        refuse(f"argument INPUTS: {options.inputs} is not an .npy file: {error}")
    if not isinstance(x, np.ndarray):
        refuse(f"argument INPUTS: {options.inputs} is an .npz file of several arrays: save one, by np.save")
    if x.dtype.kind not in "biuf" or x.ndim < 2 or x[:1].size != inputs:
        refuse(f"argument INPUTS: expected numbers (N, ...), {inputs} for each example, got {x.dtype} {x.shape}")
    if not (np.abs(x) < np.finfo(np.float32).max).all():
        refuse(f"argument INPUTS: {options.inputs} holds numbers that are not finite in float32")
    return x.reshape(len(x), inputs).astype(np.float32)


def _write(file, model, x):
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["class", "probability"])
    for start in range(0, len(x), _ROWS):
        with mt.no_grad():
            probability = model(mt.from_numpy(x[start : start + _ROWS])).softmax(1).numpy()
        best = probability.argmax(axis=1)
        writer.writerows((number, f"{row[number]:.6g}") for number, row in zip(best, probability, strict=True))
