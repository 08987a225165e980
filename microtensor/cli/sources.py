"""What train, evaluate and predict share: a classifier's data, network, file and gradient check."""

import copy

import numpy as np

from microtensor import datasets, nn
from microtensor.core import from_numpy
from microtensor.gradcheck import gradcheck
from microtensor.nn.functional import cross_entropy
from microtensor.random import default_generator
from microtensor.serialization import load


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
    import zipfile

    names = ("x_train", "y_train", "x_test", "y_test")
    with open(path, "rb") as file:
        if not zipfile.is_zipfile(file):
            raise ValueError(f"{path}: not an .npz file; expected one with arrays {', '.join(names)}")
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [name for name in names if name not in file.files]
            if missing:
                raise ValueError(f"it lacks {', '.join(missing)} and holds {', '.join(file.files) or 'nothing'}")
            arrays = {name: file[name] for name in names}
    except OSError:
        raise
    except Exception as error:      # zipfile, zlib and NumPy each have errors of their own for a strange file
        raise ValueError(f"{path}: expected an .npz file with arrays {', '.join(names)}: {error}") from error
    tensors = []
    for x_name, y_name in (names[:2], names[2:]):
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


def read_data(options):
    """The data that --data names, digits without it; the parser's error if they cannot be read."""
    try:
        return datasets.digits() if options.data is None else load_arrays(options.data)
    except OSError as error:
        options.parser.error(f"argument --data: {options.data}: {error.strerror}")
    except ValueError as error:
        options.parser.error(f"argument --data: {error}")


def load_trained(options):
    """The model in evaluation mode that WEIGHTS, a file of ``microtensor train``, holds, and what else is in it.

    Returns:
        (model, saved): saved is what train gave to mt.save. If there is no such file, the parser's error.
    """
    try:
        saved = load(options.weights)
        model = nn.mlp(**saved["network"])
        model.load_state_dict(saved["model"])
    except OSError as error:
        options.parser.error(f"argument WEIGHTS: {options.weights}: {error.strerror}")
    except (AttributeError, IndexError, KeyError, MemoryError, RuntimeError, TypeError, ValueError) as error:
        options.parser.error(f"argument WEIGHTS: {options.weights} is not a file that microtensor train wrote: {error}")
    return model.eval(), saved


def checksum(tensors):
    """A number that other data hardly ever has: the CRC-32 of the tensors' shapes, dtypes and elements."""
    import zlib

    total = 0
    for tensor in tensors:
        array = np.ascontiguousarray(tensor.numpy())
        total = zlib.crc32(array, zlib.crc32(f"{array.shape} {array.dtype}".encode(), total))
    return total


def checksum_in(path):
    """The checksum of the data that a file of weights was trained on; None where the file does not say."""
    try:
        return load(path).get("data")
    except (OSError, ValueError, AttributeError):       # not to be read, not mt.save's, not a dict
        return None


# -- gradient check ------------------------------------------------------------------------------------------


def check_gradients(model, x, y, *, elements=50):
    """Compare the gradients of a whole model with finite differences, on one batch, in float64.

    The model is checked as it trains: with the batch's statistics, and with dropout (the same masks in every
    evaluation). All this happens to a copy; model and random stream are left as they were.

    Args:
        model: takes x to logits (N, C).
        x, y: a batch: inputs (N, ...), class numbers (N,).
        elements: how many elements of each parameter to check, chosen at random; all of a smaller one.

    Returns:
        The report of gradcheck: true if all gradients agree.
    """
    model = copy.deepcopy(model).double()
    x = x.double()
    generator = default_generator()
    state = generator.get_state()

    def loss(*parameters):
        generator.set_state(state)
        return cross_entropy(model(x), y)

    names, parameters = zip(*model.named_parameters(), strict=True)
    # A step across a kink, such as relu's at 0, measures neither slope: if one did, try a shorter one.
    # Rounding makes a difference uncertain by about 1e-15 / step, and the tolerance leaves room for that.
    try:
        for step in (1e-6, 1e-7):
            report = gradcheck(loss, parameters, eps=step, atol=1e-14 / step, rtol=1e-6, names=names, elements=elements,
                               raise_exception=False)
            if report:
                break
        return report
    finally:
        generator.set_state(state)
