"""``microtensor train`` is made of these: build a classifier, check its gradients, train it, draw its curves."""

import copy
import itertools
import math
from dataclasses import dataclass, field

import numpy as np

from microtensor import nn, optim
from microtensor.cli.options import ACTIVATIONS
from microtensor.core import from_numpy, no_grad
from microtensor.data import DataLoader, TensorDataset
from microtensor.gradcheck import gradcheck
from microtensor.nn.functional import cross_entropy
from microtensor.random import default_generator
from microtensor.serialization import load


def build_model(sizes, activation="relu", batch_norm=False, dropout=0.0):
    """A classifier of linear layers, each hidden one with batch normalisation, activation and dropout.

    Args:
        sizes: the widths from input to output, such as (64, 128, 64, 10).
        activation: a key of ACTIVATIONS.
        batch_norm: normalise each hidden layer before its activation.
        dropout: the probability that a hidden activation is dropped in training, in [0, 1].

    Returns:
        An nn.Sequential from inputs (N, sizes[0]) to logits (N, sizes[-1]).

    >>> from microtensor.cli.classifier import build_model
    >>> sum(parameter.numel() for parameter in build_model((64, 128, 10)).parameters())
    9610
    """
    layers = []
    *widths, classes = sizes
    for inputs, outputs in itertools.pairwise(widths):
        # Batch normalisation subtracts the mean, so a bias before it would have no effect.
        layers.append(nn.Linear(inputs, outputs, bias=not batch_norm))
        if batch_norm:
            layers.append(nn.BatchNorm1d(outputs))
        layers.append(ACTIVATIONS[activation]())
        if dropout:
            layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers, nn.Linear(widths[-1], classes))


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


# -- training ------------------------------------------------------------------------------------------------


@dataclass
class History:
    """What ``fit`` saw: one number per finished epoch in each list, and why it ended early, if it did."""

    train_loss: list = field(default_factory=list)
    train_accuracy: list = field(default_factory=list)
    test_loss: list = field(default_factory=list)
    test_accuracy: list = field(default_factory=list)
    stopped: str | None = None
    interrupted: bool = False

    @property
    def epochs(self):
        """The number of finished epochs."""
        return len(self.test_loss)


def evaluate(model, x, y):
    """The mean cross-entropy and the share of right answers in evaluation mode, as Python floats."""
    model.eval()
    with no_grad():
        logits = model(x)
        return cross_entropy(logits, y).item(), float((logits.argmax(1) == y).numpy().mean())


def fit(model, train, test, *, epochs, batch_size, lr, momentum=0.0, weight_decay=0.0, clip=None):
    """Train a classifier by SGD under a progress bar, while the learning rate falls along half a cosine.

    If the loss becomes infinite or NaN, or on Ctrl-C, training ends, and the model gets back the weights it
    had at the end of the last good epoch.

    Args:
        model: takes inputs (N, D) to logits (N, C); trained in place.
        train, test: (x, y) each: inputs (N, D), class numbers (N,).
        epochs: passes over the training data.
        batch_size: examples per step. A last batch of one is left out: batch normalisation cannot use it.
        lr: the learning rate of the first epoch.
        momentum, weight_decay: as in optim.SGD.
        clip: the largest norm of the whole gradient, or None.

    Returns:
        A History: losses and accuracies on both parts after each epoch, all in evaluation mode.

    Formula: lr_e = lr (1 + cos(pi e / epochs)) / 2,  e = 0, 1, ...

    Source: I. Loshchilov, F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017,
    without the restarts.
    """
    from tqdm import tqdm

    optimizer = optim.SGD(model.parameters(), lr=lr, momentum=momentum, weight_decay=weight_decay)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
    dataset = TensorDataset(*train)
    loader = DataLoader(dataset, batch_size, shuffle=True, drop_last=len(dataset) % batch_size == 1)
    history = History()
    good = _copy_of_state(model)
    layout = "{desc} |{bar}| {remaining} left{postfix}"
    with tqdm(total=epochs * len(loader), bar_format=layout, dynamic_ncols=True) as bar:
        try:
            for epoch in range(epochs):
                bar.set_description_str(f"epoch {epoch + 1}/{epochs}", refresh=False)
                model.train()
                for batch, (x, y) in enumerate(loader):
                    loss = cross_entropy(model(x), y)
                    _check_finite(loss.item(), f"epoch {epoch + 1}, batch {batch + 1} of {len(loader)}")
                    optimizer.zero_grad()
                    loss.backward()
                    if clip is not None:
                        nn.utils.clip_grad_norm_(model.parameters(), clip)
                    optimizer.step()
                    bar.update()
                schedule.step()
                train_loss, train_accuracy = evaluate(model, *train)
                test_loss, test_accuracy = evaluate(model, *test)
                _check_finite(train_loss + test_loss, f"the evaluation after epoch {epoch + 1}")
                good = _copy_of_state(model)
                history.train_loss.append(train_loss)
                history.train_accuracy.append(train_accuracy)
                history.test_loss.append(test_loss)
                history.test_accuracy.append(test_accuracy)
                bar.set_postfix_str(f"loss {train_loss:.4f}, accuracy {train_accuracy:.1%}, "
                                    f"test {test_accuracy:.1%}", refresh=False)
        except FloatingPointError as error:
            history.stopped = str(error)
        except KeyboardInterrupt:
            history.stopped, history.interrupted = f"interrupted in epoch {epoch + 1}", True
    model.load_state_dict(good)
    return history


def _check_finite(loss, where):
    if not math.isfinite(loss):
        raise FloatingPointError(f"the loss became {loss} in {where}")


def _copy_of_state(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def draw_curves(history, path):
    """Save a figure of loss and accuracy per epoch, on training and test data, as a PNG."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = range(1, history.epochs + 1)
    for axes, train, test in (
        (left, history.train_loss, history.test_loss),
        (right, history.train_accuracy, history.test_accuracy),
    ):
        axes.plot(epochs, train, color="tab:blue", label="training data")
        axes.plot(epochs, test, color="tab:orange", label="test data")
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
    left.set_title("Loss")
    left.set_ylabel("mean cross-entropy")
    left.set_yscale("log")
    right.set_title(f"Accuracy (on test data at the end: {history.test_accuracy[-1]:.2%})")
    right.set_ylabel("share of right answers")
    right.yaxis.set_major_formatter(PercentFormatter(1))
    figure.savefig(path, dpi=150)
