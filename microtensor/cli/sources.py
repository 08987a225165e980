"""Where the commands' data come from: the digits, arrays in an .npz or .npy file, or a table."""

import dataclasses
import re
import sys
import warnings
import zipfile
import zlib

import numpy as np

from microtensor import datasets
from microtensor.core import from_numpy
from microtensor.random import Generator
from microtensor.tables import Encoder, Table
from microtensor.tables.wording import listed

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
SHARES = (0.7, 0.15, 0.15)      # of a table's rows, for training, validation and testing


@dataclasses.dataclass
class Data:
    """What train needs of data, wherever they are from.

    Attributes:
        task: "classification" or "regression".
        outputs: the number of classes, or 1.
        parts: (x, y) for training, for validation, for testing; x (N, D) float32, y (N,) int64 class numbers, or (N, 1)
            float32.
        checksum: of all numbers or cells.
        notes: sentences on what was found in the data and done with them.
        encoder: of a table, which makes x and y of its cells; None for arrays.
    """

    task: str
    outputs: int
    parts: list
    checksum: int
    notes: list
    encoder: Encoder | None = None


def is_table(path):
    """Whether a file is a table by its name: whatever is no NumPy file."""
    return path.suffix not in (".npz", ".npy")


def name_of(path):
    """The name of a folder for what is made of a file; of the digits without one."""
    return "digits" if path is None else path.name.split(".")[0] or path.name


# -- arrays ------------------------------------------------------------------------------------------------------------


def load_arrays(path):
    """Read a user's data: an .npz file with the arrays x_train, y_train, x_test and y_test.

    Args:
        path: x (N, ...) numbers, which are used as they are; y (N,) class numbers 0, 1, 2, ...

    Returns:
        (train_x, train_y, test_x, test_y): tensors, x (N, D) float32 and y (N,) int64.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it is another kind of file, lacks an array, or its arrays do not fit together.
    """
    with open(path, "rb") as file:
        if not zipfile.is_zipfile(file):
            raise ValueError(f"{path}: not an .npz file; expected one with arrays {', '.join(ARRAYS)}")
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [name for name in ARRAYS if name not in file.files]
            if missing:
                raise ValueError(f"it lacks {', '.join(missing)} and holds {', '.join(file.files) or 'nothing'}")
            arrays = {name: file[name] for name in ARRAYS}
    except OSError:
        raise
    except Exception as error:      # zipfile, zlib and NumPy each have errors of their own for a strange file
        raise ValueError(f"{path}: expected an .npz file with arrays {', '.join(ARRAYS)}: {error}") from error
    tensors = []
    for x_name, y_name in (ARRAYS[:2], ARRAYS[2:]):
        x, y = arrays[x_name], arrays[y_name]
        if x.dtype.kind not in "biuf" or x.ndim < 2 or y.dtype.kind not in "iu" or y.shape != x.shape[:1]:
            raise ValueError(f"{path}: expected numbers {x_name} (N, ...) and integers {y_name} (N,), got "
                             f"{x.dtype} {x.shape} and {y.dtype} {y.shape}")
        if len(x) < 2 or x.size == 0 or not (np.abs(x) < np.finfo(np.float32).max).all():
            raise ValueError(f"{path}: {x_name} must have at least 2 rows of at least 1 number, all finite in float32")
        if y.min() < 0 or y.max() >= max(len(arrays["y_train"]), 2):
            raise ValueError(f"{path}: {y_name} holds class numbers from {y.min()} to {y.max()}: they must count "
                             "from 0, and be fewer than the training examples")
        tensors.append(from_numpy(x.reshape(len(x), -1).astype(np.float32)))
        tensors.append(from_numpy(y.astype(np.int64)))
    train_x, train_y, test_x, _ = tensors
    if int(train_y.max()) == 0:
        raise ValueError(f"{path}: y_train holds one class only, 0: there is nothing to learn")
    if train_x.shape[1] != test_x.shape[1]:
        raise ValueError(f"{path}: a row of x_train has {train_x.shape[1]} numbers and one of x_test "
                         f"{test_x.shape[1]}")
    return tuple(tensors)


def checksum_of_arrays(arrays):
    """A number that other arrays hardly ever have: the CRC-32 of their shapes, dtypes and elements."""
    total = 0
    for array in map(np.ascontiguousarray, arrays):
        total = zlib.crc32(array, zlib.crc32(f"{array.shape} {array.dtype}".encode(), total))
    return total


def _read_arrays(options):
    """The digits or a user's arrays; a tenth of the training part, chosen by the seed, is for validation."""
    arrays = datasets.digits() if options.data is None else load_arrays(options.data)
    train_x, train_y, test_x, test_y = arrays
    rows = Generator(options.seed).numpy.permutation(len(train_x))
    val, train = rows[: len(rows) // 10], rows[len(rows) // 10 :]
    notes = []
    spread = train_x.numpy().std(axis=0)
    spread = spread[spread > 0]
    if spread.size and spread.max() > 1000 * spread.min():
        notes.append(f"the columns have standard deviations from {spread.min():.2g} to {spread.max():.2g}, and are "
                     "used as they are: standardise them to train faster, and often better")
    return Data(
        task="classification",
        outputs=1 + int(max(train_y.max(), test_y.max())),
        parts=[(train_x[train], train_y[train]), (train_x[val], train_y[val]), (test_x, test_y)],
        checksum=checksum_of_arrays(tensor.numpy() for tensor in arrays),
        notes=notes,
    )


# -- tables ------------------------------------------------------------------------------------------------------------


def read_table(options, **more):
    """The table that DATA names, read as the options say."""
    return Table.read(options.data, delimiter=options.delimiter, encoding=options.encoding, decimal=options.decimal,
                      header=options.header, **more)


def _read_table(options):
    """A table in three parts, encoded by what is known of the first."""
    table = read_table(options, target=options.target, task=options.task)
    rows = table.split(SHARES, seed=options.seed)
    encoder = table.encoder(rows[0], drop=options.drop or (), categories=options.categories or ())
    x, y = encoder.encode(table), encoder.encode_target(table)
    return Data(
        task=encoder.task,
        outputs=encoder.outputs,
        parts=[(x[part], y[part]) for part in rows],
        checksum=table.checksum,
        notes=[*table.notes, *encoder.notes],
        encoder=encoder,
    )


# -- either ------------------------------------------------------------------------------------------------------------

_TABLES_ONLY = ("target", "task", "drop", "categories", "delimiter", "encoding", "decimal", "header")
_ARGUMENT = re.compile(r"\b(task|delimiter|encoding|decimal|header)=(?:'([^']*)'|(True|False))?")


def read(options):
    """The data that DATA names, digits without it; the parser's error if they cannot be read."""
    table = options.data is not None and is_table(options.data)
    if not table:
        _refuse_table_options(options)
    elif options.target is None:
        names, _ = refused(options, lambda options: read_table(options).names)
        options.parser.error(f"argument --target: say which column of {options.data} is to be predicted: "
                             f"{listed(names, 12)}")
    data, warned = refused(options, _read_table if table else _read_arrays)
    data.notes += warned
    return data


def check_data(options, trained):
    """The parser's error if MODEL was trained on the other kind of data than DATA is."""
    table = options.data is not None and is_table(options.data)
    if table != (trained.encoder is not None):
        kind = "arrays" if trained.encoder is None else f"a table with a column {trained.encoder.target!r}"
        options.parser.error(f"argument DATA: {options.model} was trained on {kind}, and DATA is "
                             f"{options.data or 'not given'}")
    if not table:
        _refuse_table_options(options)


def refused(options, function):
    """What a function of the options returns, and the sentences it warned of; the parser's error if it refuses."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            result = function(options)
    except OSError as error:
        options.parser.error(f"argument DATA: {options.data}: {error.strerror or error}")
    except (ValueError, MemoryError) as error:
        options.parser.error(f"argument DATA: {in_options(str(error))}")
    return result, [str(warning.message) for warning in caught]


def in_options(sentence):
    """A sentence of the library with the command's options in place of Python's arguments.

    >>> in_options("say header=False, or task='regression'")
    'say --no-header, or --task regression'
    """
    def option(match):
        name, text, switch = match.groups()
        return f"--{'no-' if switch == 'False' else ''}{name}{'' if text is None else f' {text}'}"

    return _ARGUMENT.sub(option, sentence.replace(" to Table.read", ""))


def print_notes(notes):
    """A line for each sentence, beside the results."""
    for note in notes:
        print(f"note       {in_options(note)}", file=sys.stderr)


def _refuse_table_options(options):
    for name in _TABLES_ONLY:
        if getattr(options, name, None) is not None:
            options.parser.error(f"argument --{name}: it is for tables, and DATA is {options.data or 'not given'}")
