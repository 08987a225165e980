"""``microtensor predict`` asks a model that ``microtensor train`` saved for the classes or numbers of new rows."""

import csv
import io
import sys

import numpy as np

import microtensor as mt
from microtensor.cli import models, sources
from microtensor.cli.scores import outputs_of
from microtensor.serialization import replacement
from microtensor.tables.wording import count


def run(options):
    """Write a row for each row of DATA, in its order: the class and the probability of each, or the number."""
    trained = models.read_model(options)
    sources.check_data(options, trained)
    if trained.encoder is None:
        x, warned = sources.refused(options, lambda options: _load_array(options.data, trained.network["sizes"][0]))
    else:
        x, warned = sources.refused(options, lambda options: _encode(options, trained.encoder))
    sources.print_notes(warned)
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(_rows(trained, outputs_of(trained.model, x)))
    if options.out is None:
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(encoding="utf-8")        # as the file would be, whatever the terminal's is
        sys.stdout.write(text.getvalue())
        return 0
    for given in (options.model, options.data):
        if options.out.exists() and options.out.samefile(given):
            options.parser.error(f"argument --out: {options.out} is what is read, and would be replaced")
    try:
        with replacement(options.out) as file:
            file.write(text.getvalue().encode())
    except OSError as error:
        options.parser.error(f"argument --out: cannot write {options.out}: {error.strerror}")
    print(f"predictions  {options.out}, {count(len(x), 'row')}")
    return 0


def _load_array(path, inputs):
    """The examples as a tensor (N, inputs) of float32."""
    try:
        x = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is not an .npy file: {error}") from None
    if not isinstance(x, np.ndarray):
        x.close()
        raise ValueError(f"{path} is an .npz file of several arrays: save one, by np.save")
    if x.dtype.kind not in "biuf" or x.ndim < 2 or not len(x) or x[:1].size != inputs:
        raise ValueError(f"expected numbers (N, ...), {inputs} for each example, got {x.dtype} {x.shape}")
    if not (np.abs(x) < np.finfo(np.float32).max).all():
        raise ValueError(f"{path} holds numbers that are not finite in float32")
    return mt.from_numpy(x.reshape(len(x), inputs).astype(np.float32))


def _encode(options, encoder):
    table = sources.read_table(options)
    sources.print_notes(table.notes)
    return encoder.encode(table)


def _rows(trained, outputs):
    """The header, and what is found for each row, as texts."""
    if trained.task == "regression":
        yield [trained.encoder.target]
        yield from ([f"{value:.9g}"] for value in trained.encoder.decode(outputs))
        return
    if trained.encoder is None:
        classes = [str(number) for number in range(outputs.shape[1])]
        probabilities = outputs.softmax(1).numpy()
        found = [classes[number] for number in probabilities.argmax(axis=1)]
        target = "class"
    else:
        classes, target = trained.encoder.classes, trained.encoder.target
        found, probabilities = trained.encoder.decode(outputs)
    yield [target, *(f"P({name})" for name in classes)]
    for name, row in zip(found, probabilities, strict=True):
        yield [name, *(f"{probability:.6g}" for probability in row)]
