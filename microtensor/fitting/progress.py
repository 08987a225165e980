"""The bar that shows how far a training is, drawn by tqdm."""

import contextlib

_LAYOUT = "{desc} |{bar}| {remaining} left{postfix}"


@contextlib.contextmanager
def progress_bar(training, wanted):
    """A function that draws how far the training is; it does nothing if no bar is wanted or tqdm is not installed."""
    try:
        if not wanted:
            raise ImportError
        from tqdm import tqdm
    except ImportError:
        yield lambda: None
        return
    batches = len(training.train)
    with tqdm(total=training.epochs * batches, bar_format=_LAYOUT, dynamic_ncols=True) as bar:

        def describe():
            epoch = training.epoch + (not training.done)
            bar.set_description_str(f"epoch {epoch}/{training.epochs}", refresh=False)
            bar.set_postfix_str(", ".join(f"{name} {value:.4g}" for name, value in training.history.last().items()
                                          if name not in ("lr", "grad_norm")), refresh=False)

        def show():
            if not training.batch:      # an epoch has just ended
                describe()
            bar.update(training.epoch * batches + training.batch - bar.n)

        describe()
        show()
        yield show
