"""The bar that shows how far a training is, drawn by tqdm."""

import contextlib
import importlib.util
import sys

_LAYOUT = "{desc} |{bar}| {remaining} left{postfix}"


@contextlib.contextmanager
def progress_bar(training, wanted):
    """A function that draws how far the training is; it does nothing if no bar is wanted or tqdm is not installed."""
    if not wanted or importlib.util.find_spec("tqdm") is None or sys.stderr is None:
        yield lambda: None
        return
    from tqdm import tqdm

    batches = len(training.train)

    def epoch():
        return f"epoch {training.epoch + (not training.done)}/{training.epochs}"

    with tqdm(desc=epoch(), total=training.epochs * batches, bar_format=_LAYOUT, dynamic_ncols=True) as bar:

        def show():
            if not training.batch:      # an epoch has just ended; what decides comes first, as lines may be short
                row = training.history.last()
                told = sorted((name for name in training.columns if name in row and name not in ("lr", "grad_norm")),
                              key=lambda name: not name.startswith("val_"))
                bar.set_description_str(epoch(), refresh=False)
                bar.set_postfix_str(", ".join(f"{name} {row[name]:.4g}" for name in told), refresh=False)
            bar.update(training.epoch * batches + training.batch - bar.n)

        show()
        try:
            yield show
        except KeyboardInterrupt:
            bar.set_postfix_str("interrupted")
            raise
