"""``microtensor train`` checks a net's gradients, trains it, and saves the model and its curves."""

import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np

import microtensor as mt
from microtensor import nn, optim
from microtensor.cli import models, sources
from microtensor.cli.gradients import check_gradients
from microtensor.cli.options import OPTIMIZERS
from microtensor.cli.scores import LOSSES, METRICS, baseline, print_comparison
from microtensor.data import DataLoader, TensorDataset
from microtensor.tables.wording import count, shown

_SECONDS = 1        # of training that a killed one may lose


def run(options):
    """Check what was asked for, then the gradients; train; save model and curves."""
    parser = options.parser
    try:
        import matplotlib  # noqa: F401
        import tqdm  # noqa: F401
    except ImportError as error:
        parser.exit(1, f'microtensor train needs {error.name}: pip install "microtensor[train]"\n')
    if options.batch_norm and options.batch_size == 1:
        parser.error("--batch-norm needs a --batch-size of at least 2: one example has no variance")
    data = sources.read(options)
    folder = options.out or Path("runs", sources.name_of(options.data))
    path = folder / "model.npz"
    if path.exists() and not options.overwrite and models.origin(path) != (data.checksum, options.target):
        parser.error(f"argument --out: {path} was not trained on this data for this target, and would be replaced: "
                     "choose another folder, or say --overwrite")
    x, y = data.parts[0]
    network = {"sizes": [x.shape[1], *options.layers, data.outputs], "activation": options.activation,
               "batch_norm": options.batch_norm, "dropout": options.dropout}
    mt.manual_seed(options.seed)
    try:
        model = nn.mlp(**network)
    except (MemoryError, ValueError):       # NumPy's for more elements than there are addresses
        parser.error(f"argument --layers: no memory for a network {'-'.join(map(str, network['sizes']))}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        parser.error(f"argument --out: cannot write into {folder}: {error.strerror}")

    _describe(data, network, model)
    loss = LOSSES[data.task]()
    if not _gradients_agree(model, loss, x[:32], y[:32]):
        return 1
    checkpoint = folder / "checkpoint.npz"
    history = _fit(options, model, loss, data, checkpoint)
    if not history.epochs:
        print(f"nothing is saved; {folder} is as it was", file=sys.stderr)
        return 130 if history.interrupted else 1        # 130: what a shell reports for a program ended by Ctrl-C

    trained = models.Trained(model, network, data.task, data.checksum, options.seed,
                             baseline(data.task, y, data.outputs), data.encoder)
    test_x, test_y = data.parts[2]
    print_comparison(f"of the {len(test_x):,} examples for testing, which training did not use", trained, test_x,
                     test_y)
    curves = folder / "curves.png"
    try:
        trained.save(path)
        print(f"model      {path}")
        history.plot(curves)
        print(f"curves     {curves}")
        if not (history.interrupted or history.diverged):
            checkpoint.unlink(missing_ok=True)
    except OSError as error:
        name = error.filename2 or error.filename or folder      # of two files, the second is that to be replaced
        print(f"{name}: {error.strerror or error}: not all of this could be saved", file=sys.stderr)
        return 1
    return 130 if history.interrupted else int(history.diverged)


def default_batch_size(rows):
    """32, and of more than 16,000 rows as many as make 500 steps an epoch, up to 512."""
    return min(max(32, rows // 500), 512)


def default_epochs(steps):
    """60, or as many as make 20,000 steps if that is less, and at least 1000 steps, as few learn little."""
    return max(min(60, -(-20_000 // steps)), -(-1000 // steps))


def _describe(data, network, model):
    """Print what is trained on, and what is trained."""
    lengths = [len(part_x) for part_x, _ in data.parts]
    what = f"{data.outputs} classes" if data.task == "classification" else "a number to predict"
    print("data       {:,} examples for training, {:,} for validation, {:,} for testing; ".format(*lengths)
          + f"{count(network['sizes'][0], 'number')} each, {what}")
    if data.encoder is not None and data.task == "classification":
        rows = np.bincount(data.parts[0][1].numpy(), minlength=data.outputs)
        named = [f"{shown(name)} {number:,}" for name, number in zip(data.encoder.classes, rows, strict=True)]
        print(f"classes    {', '.join(named[:20])}{', ...' * (len(named) > 20)} (rows for training)")
    sources.print_notes(data.notes)
    print(f"network    {'-'.join(map(str, network['sizes']))}, {network['activation']}, "
          f"{'batch norm' if network['batch_norm'] else 'no batch norm'}, dropout {network['dropout']}: "
          f"{sum(parameter.numel() for parameter in model.parameters()):,} parameters")


def _gradients_agree(model, loss, x, y):
    """Whether the gradients agree with finite differences on a batch; prints how far they are apart."""
    report = check_gradients(model, loss, x, y)
    if not report:
        print(report, file=sys.stderr)
        return False
    checked, worst = sum(found.checked for found in report.inputs), report.worst
    print(f"gradients  {checked} of them agree with finite differences on one batch; "
          f"the worst, {worst.name}{list(worst.index)}:\n"
          f"           {worst.analytic:.9g} by backward, {worst.numeric:.9g} by difference: "
          f"{abs(worst.analytic - worst.numeric):.1e} apart, where {worst.tolerance:.1e} is allowed", flush=True)
    return True


def _fit(options, model, loss, data, checkpoint):
    """Train, and say if that ended early; the History."""
    (x, y), (val_x, val_y), _ = data.parts
    decay = 0.01 if options.optimizer == "adamw" else 0.0
    shared = {"lr": options.lr or (0.1 if options.optimizer == "sgd" else 0.003),
              "weight_decay": decay if options.weight_decay is None else options.weight_decay}
    if options.optimizer == "sgd":
        shared["momentum"] = options.momentum
    optimizer = OPTIMIZERS[options.optimizer](model.parameters(), **shared)
    # Batch normalisation cannot use a last batch of one.
    size = options.batch_size or default_batch_size(len(x))
    train = DataLoader(TensorDataset(x, y), size, shuffle=True, drop_last=options.batch_norm and len(x) % size == 1)
    val = DataLoader(TensorDataset(val_x, val_y), 1024) if len(val_x) else None
    epochs = options.epochs or default_epochs(len(train))
    callbacks = [mt.fitting.Checkpoint(checkpoint, every=epochs, seconds=_SECONDS)]
    if val is not None:
        callbacks.append(mt.fitting.EarlyStopping(patience=options.patience))
    if options.resume and not checkpoint.exists():
        sources.print_notes([f"there is no {checkpoint}, which an interrupted training leaves: beginning"])
    elif checkpoint.exists() and not options.resume:
        sources.print_notes([f"{checkpoint} is of an interrupted training, which --resume would have gone on with: "
                             "beginning anew"])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "training stopped", RuntimeWarning)       # which is told below
        try:
            history = mt.fit(
                model, loss, optimizer, train, val, epochs=epochs,
                scheduler=optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs), clip=options.clip,
                metrics=[METRICS[data.task]], callbacks=callbacks, resume=checkpoint if options.resume else None,
            )
        except ValueError as error:
            if not options.resume:
                raise
            options.parser.error(f"argument --resume: {error}")
    if history.stopped:
        epoch = history.best_epoch or history.epochs
        when = f"at the end of epoch {epoch}" if epoch else "before training"
        again = "; --resume goes on" if history.interrupted and checkpoint.exists() else ""
        print(f"stopped    {history.stopped}: keeping the weights as they were {when}{again}", file=sys.stderr)
    return history
