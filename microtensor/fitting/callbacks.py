"""Callbacks of ``fit``: stop early, write checkpoints, write a table."""

import csv
import math
import time
import warnings

from microtensor.fitting.training import copied
from microtensor.serialization import save


class EarlyStopping:
    """Stop when a quantity has not become better for some epochs, and put the weights of its best epoch back.

    They are put back however the training ends: by this, after its last epoch, by Ctrl-C or an error.

    Args:
        patience: how many epochs to wait for a better one.
        monitor: a name in the history.
        mode: "min" if smaller is better, "max" if larger.
        min_delta: by how much it must be better, at least 0.

    Raises:
        ValueError: if an argument is wrong, or, when the training starts, the history will have no such quantity.

    Source: Prechelt 1998, "Early stopping - but when?"; the names are those of Keras.
    """

    def __init__(self, patience=10, monitor="val_loss", mode="min", min_delta=0.0):
        if not patience >= 1:
            raise ValueError(f"patience is a number of epochs of at least 1, got {patience}")
        if mode not in ("min", "max"):
            raise ValueError(f'mode must be "min" or "max", got {mode!r}')
        if not min_delta >= 0:
            raise ValueError(f"min_delta must be at least 0, got {min_delta}")
        self.patience = patience
        self.monitor = monitor
        self.mode = mode
        self.min_delta = min_delta
        self._forget()

    def _forget(self):
        self.best = math.inf if self.mode == "min" else -math.inf
        self.best_epoch = None
        self.best_state = None

    def start(self, training):
        """Refuse a quantity that the history will not have; forget the best epoch of another training."""
        if self.monitor not in training.history:
            raise ValueError(f"EarlyStopping: there will be no {self.monitor!r} in the history, which has "
                             f"{', '.join(training.history)}{'' if training.val else ': pass val'}")
        self._forget()

    def __call__(self, training):
        """Keep the weights if this epoch is the best, or stop if that one is too long ago."""
        value = training.history[self.monitor][-1]
        gain = self.best - value if self.mode == "min" else value - self.best
        if gain > self.min_delta:
            self.best, self.best_epoch = value, training.epoch
            self.best_state = copied(training.model.state_dict())
        elif training.epoch - (self.best_epoch or 0) >= self.patience:
            training.stop(f"no better {self.monitor} in {self.patience} epochs")

    def finish(self, training):
        """Put the best weights back."""
        if self.best_state is not None:
            training.model.load_state_dict(self.best_state)
            training.history.best_epoch = self.best_epoch

    def state_dict(self):
        """The best epoch so far, its value and its weights."""
        return {"best": self.best, "best_epoch": self.best_epoch, "best_state": self.best_state}

    def load_state_dict(self, state):
        """Take over what ``state_dict()`` gave."""
        self.best, self.best_epoch, self.best_state = state["best"], state["best_epoch"], state["best_state"]


class Checkpoint:
    """Write all that it takes to go on with the training: ``fit(..., resume=path)`` does.

    A resumed training ends with the same bits as one without a break, if thread count, instruction level and NumPy
    are the same. The file appears whole or not at all, and has no pickle in it. If it cannot be written, as when the
    disk is full, a warning says so, the file before it stays, and training goes on.

    Args:
        path: of the file, conventionally ending in .npz.
        every: write it after this many epochs, and after the last.
        seconds: write it within an epoch too, when the file is older than this; None not to.

    Raises:
        ValueError: if every is below 1 or seconds is negative; or, when the training starts, if seconds is given and
            its data cannot tell where they are, as DataLoader can.
    """

    is_checkpoint = True

    def __init__(self, path, every=1, seconds=None):
        if not every >= 1:
            raise ValueError(f"every is a number of epochs of at least 1, got {every}")
        if seconds is not None and not seconds >= 0:
            raise ValueError(f"seconds must be at least 0, got {seconds}")
        self.path = path
        self.every = every
        self.seconds = seconds

    def start(self, training):
        """Refuse data that cannot go on in the middle."""
        if self.seconds is not None and not hasattr(training.train, "state_dict"):
            raise ValueError(f"Checkpoint: train is a {type(training.train).__name__}, which has no state_dict, so "
                             "that an epoch cannot go on in its middle: leave seconds out")
        self._written = time.monotonic()

    def after_batch(self, training):
        """Write the file if it is old."""
        if self.seconds is not None and time.monotonic() - self._written >= self.seconds:
            self._write(training)

    def __call__(self, training):
        """Write the file after every so many epochs, and the last."""
        if training.epoch % self.every == 0 or training.done:
            self._write(training)

    def _write(self, training):
        try:
            save(training.state_dict(), self.path)
        except OSError as error:
            warnings.warn(f"the checkpoint {self.path} was not written: {error.strerror}; training goes on",
                          RuntimeWarning, stacklevel=2)
        self._written = time.monotonic()


class CSVLogger:
    """Write the history as a table, a row after each epoch.

    Args:
        path: of the file, which is replaced after the first epoch. A resumed training writes the rows before it again.

    Raises:
        OSError: if the file cannot be written; before training, if that is seen by then.
    """

    def __init__(self, path):
        self.path = path

    def start(self, training):
        """Open the file once, so that a path that cannot be written is refused before training."""
        open(self.path, "a").close()
        self._begun = False

    def __call__(self, training):
        """Write the row of this epoch, the first time after the header and the rows before it."""
        rows = list(enumerate(zip(*training.history.values(), strict=True), 1))
        with open(self.path, "a" if self._begun else "w", newline="") as file:
            writer = csv.writer(file)
            if not self._begun:
                writer.writerow(["epoch", *training.history])
            writer.writerows([epoch, *row] for epoch, row in rows[-1 if self._begun else 0 :])
        self._begun = True
