"""What a training saw, epoch by epoch."""

import os

from microtensor.serialization import replacement


class History(dict):
    """A list for each quantity, one number for each finished epoch: ``history["val_loss"][-1]``.

    A table for pandas as it is: ``pandas.DataFrame(history)``.

    Args:
        names: of the quantities.

    Attributes:
        stopped: why training ended before its last epoch, in words; None if it did not.
        interrupted: whether that was by Ctrl-C.
        diverged: whether it was because a loss, gradient or weight became infinite or NaN.
        best_epoch: the epoch, counted from 1, whose weights EarlyStopping put back; None if none did.
    """

    def __init__(self, names=()):
        super().__init__({name: [] for name in names})
        self.stopped = None
        self.interrupted = False
        self.diverged = False
        self.best_epoch = None

    @property
    def epochs(self):
        """The number of finished epochs."""
        return len(self.get("loss", ()))

    def last(self):
        """The numbers of the last finished epoch by name; empty before the first one has finished."""
        return {name: column[-1] for name, column in self.items() if column}

    def plot(self, path=None):
        """Draw all quantities over the epochs, those of training and validation data together.

        Args:
            path: where to save the figure, as a PNG or what else the suffix says; None to save nothing.

        Returns:
            The matplotlib Figure.

        Raises:
            ImportError: if matplotlib is not installed.
            ValueError: if no epoch has finished.
        """
        if not self.epochs:
            raise ValueError("there is nothing to draw: no epoch has finished")
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator

        names = [name for name, column in self.items()      # a callback may have added what cannot be drawn
                 if not name.startswith("val_") and len(column) == self.epochs and isinstance(column[-1], (int, float))]
        rows = -(-len(names) // 2)
        figure = Figure(figsize=(10, 3.2 * rows), layout="constrained")
        panels = figure.subplots(rows, 2, squeeze=False).ravel()
        epochs = range(1, self.epochs + 1)
        for name, axes in zip(names, panels, strict=False):
            marker = "." if self.epochs == 1 else None
            alone = f"val_{name}" not in self
            axes.plot(epochs, self[name], color="tab:blue", marker=marker, label=None if alone else "training data")
            if not alone:
                axes.plot(epochs, self[f"val_{name}"], color="tab:orange", marker=marker, label="validation data")
            if name in ("loss", "grad_norm", "lr") and min(self[name]) > 0:
                axes.set_yscale("log")
            if self.best_epoch is not None:
                axes.axvline(self.best_epoch, color="gray", linestyle=":", label=f"weights of epoch {self.best_epoch}")
            if axes.get_legend_handles_labels()[0]:
                axes.legend()
            axes.set(title=_TITLES.get(name, name), xlabel="epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.grid(alpha=0.3)
        for axes in panels[len(names) :]:
            axes.set_visible(False)
        if path is not None:
            with replacement(path) as file:
                figure.savefig(file, dpi=150, format=os.path.splitext(path)[1][1:] or "png")
        return figure


_TITLES = {"lr": "learning rate", "grad_norm": "largest norm of the gradient"}
