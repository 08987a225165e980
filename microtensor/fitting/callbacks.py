"""Callbacks of ``fit``: stop early, write checkpoints, write a table."""

import csv
import io
import os
import time

from microtensor._arguments import checked_count, checked_number
from microtensor.fitting.state import copied, load_tensors, tensors, warn
from microtensor.serialization import replacement, save


class EarlyStopping:
    """Stop when a quantity has not become better for some epochs, and put the weights of its best epoch back.

    They are put back however the training ends: by this, after its last epoch, by Ctrl-C or an error.

    Args:
        patience: how many epochs to wait for a better one.
        monitor: a name in the history.
        mode: "min" if smaller is better, "max" if larger; may be left out for a loss.
        min_delta: by how much it must be better, at least 0.

    Raises:
        TypeError: if patience is no int.
        ValueError: if an argument is wrong, or, when the training starts, the history will have no such quantity.

    Source: Prechelt 1998, "Early stopping - but when?"; the names are those of Keras, the defaults are not.
    """

    def __init__(self, patience=10, monitor="val_loss", mode=None, min_delta=0.0):
        checked_number("min_delta", min_delta, 0)
        if mode is None and not monitor.endswith("loss"):
            raise ValueError(f'EarlyStopping: pass mode="min" if {monitor!r} should be small, or mode="max" if large')
        if mode not in (None, "min", "max"):
            raise ValueError(f'mode must be "min" or "max", got {mode!r}')
        self.patience = checked_count("patience", patience)
        self.monitor = monitor
        self.mode = mode or "min"
        self.min_delta = min_delta
        self._best = None           # (value, epoch, weights), always exchanged as one

    @property
    def best(self):
        """The best value so far, or None."""
        return None if self._best is None else self._best[0]

    @property
    def best_epoch(self):
        """Its epoch, counted from 1, or None."""
        return None if self._best is None else self._best[1]

    @property
    def settings(self):
        """What must be the same in a resumed training."""
        return {"patience": self.patience, "monitor": self.monitor, "mode": self.mode, "min_delta": self.min_delta}

    def start(self, training):
        """Refuse a quantity that the history will not have; forget the best epoch of another training."""
        if self.monitor not in training.columns:
            raise ValueError(f"EarlyStopping: there will be no {self.monitor!r} in the history, which has "
                             f"{', '.join(training.columns)}{'' if training.val else ': pass val'}")
        self._best = None

    def __call__(self, training):
        """Keep the weights if this epoch is the best, or stop if that one is too long ago."""
        value = training.history[self.monitor][-1]
        gain = 0.0 if self._best is None else (self.best - value) * (1 if self.mode == "min" else -1)
        if gain > self.min_delta or (self._best is None and value == value):      # a NaN is not the best
            self._best = value, training.epoch, copied(tensors(training.model))
        elif training.epoch - (self.best_epoch or 0) >= self.patience:
            training.stop(f"no better {self.monitor} in {self.patience} epochs")

    def finish(self, training):
        """Put the best weights back."""
        if self._best is not None:
            load_tensors(training.model, self._best[2])
            training.history.best_epoch = self.best_epoch

    def state_dict(self):
        """The best epoch so far, its value and its weights."""
        return {"best": self._best}

    def load_state_dict(self, state):
        """Take over what ``state_dict()`` gave."""
        self._best = state["best"]


class Writer:
    """What writes a file: a folder that is not there is refused before training, a full disk costs a warning."""

    def __init__(self, path):
        self.path = os.fsdecode(path)

    def start(self, training):
        """Refuse a path at which no file can be written."""
        folder = os.path.dirname(os.path.realpath(self.path))
        if os.path.isdir(self.path):
            raise IsADirectoryError(f"{type(self).__name__}: {self.path!r} is a folder: give the path of a file")
        if not os.path.isdir(folder):
            raise FileNotFoundError(f"{type(self).__name__}: there is no folder {folder!r}: make it first")

    def write(self, training):
        """Write the file whole, or leave the one that is there and warn."""
        try:
            self.write_file(training)
        except OSError as error:
            warn(f"{self.path} was not written: {error.strerror or error}; training goes on")


class Checkpoint(Writer):
    """Write all that it takes to go on with the training: ``fit(..., resume=path)`` does.

    A resumed training ends with the same bits as one without a break, if thread count, instruction level and NumPy
    are the same. The file appears whole or not at all, and has no pickle in it; ``mt.load(path)["model"]`` has the
    model's parameters and buffers as they were when it was written. If it cannot be written, as when the disk is full,
    a warning says so, the file before it stays, and training goes on.

    Args:
        path: of the file, conventionally ending in .npz.
        every: write it after this many epochs, and after the last.
        seconds: write it within an epoch too, when the file is older than this; None not to.

    Raises:
        TypeError: if path is no path, or another argument no number.
        ValueError: if every is below 1 or seconds is negative; or, when the training starts, if seconds is given and
            its data cannot tell where they are, as DataLoader can.
        FileNotFoundError: when the training starts, if the folder is not there.
    """

    def __init__(self, path, every=1, seconds=None):
        if seconds is not None:
            checked_number("seconds", seconds, 0)
        super().__init__(path)
        self.every = checked_count("every", every)
        self.seconds = seconds

    def start(self, training):
        """Refuse a path at which no file can be written, and data that cannot go on in the middle."""
        super().start(training)
        if self.seconds is not None and not hasattr(training.train, "state_dict"):
            raise ValueError(f"Checkpoint: train is a {type(training.train).__name__}, which has no state_dict, so "
                             "that an epoch cannot go on in its middle: leave seconds out")
        self._written = time.monotonic()

    def after_batch(self, training):
        """Write the file if it is old."""
        if self.seconds is not None and time.monotonic() - self._written >= self.seconds:
            self.write(training)

    def __call__(self, training):
        """Write the file after each multiple of ``every`` epochs, and after the last one."""
        if training.epoch % self.every == 0 or training.done:
            self.write(training)

    def write_file(self, training):
        """Write the state of the training."""
        self._written = time.monotonic()
        save(training.state_dict(), self.path)


class CSVLogger(Writer):
    """Write the history as a table, a row for each epoch.

    The table is written anew after each epoch, so that it is whole whenever it is read; a resumed training writes the
    rows before it again. If it cannot be written, the one before it stays, with a warning.

    Args:
        path: of the file, conventionally ending in .csv, which is replaced.

    Raises:
        TypeError: if path is no path.
        FileNotFoundError: when the training starts, if the folder is not there.
    """

    def __call__(self, training):
        """Write the table."""
        self.write(training)

    def finish(self, training):
        """Write the table of a training that had finished before it was resumed."""
        if training.epoch:
            self.write(training)

    def write_file(self, training):
        """Write the columns of the history."""
        text = io.StringIO(newline="")
        table = csv.writer(text)
        table.writerow(["epoch", *training.columns])
        columns = [training.history[name] for name in training.columns]
        table.writerows([epoch, *row] for epoch, row in enumerate(zip(*columns, strict=True), 1))
        with replacement(self.path) as file:
            file.write(text.getvalue().encode())
