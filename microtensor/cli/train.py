"""``microtensor train`` checks a classifier's gradients, trains it, and saves its weights and curves."""

import sys
import tempfile
import warnings
from pathlib import Path

import microtensor as mt
from microtensor import nn, optim
from microtensor.cli import classifier
from microtensor.data import DataLoader, TensorDataset


def run(options):
    """Check what was asked for, then the gradients; train; save weights and curves."""
    parser = options.parser
    try:
        import matplotlib  # noqa: F401
        import tqdm  # noqa: F401
    except ImportError as error:
        parser.exit(1, f'microtensor train needs {error.name}: pip install "microtensor[train]"\n')
    if options.batch_norm and options.batch_size == 1:
        parser.error("--batch-norm needs a --batch-size of at least 2: one example has no variance")
    data = classifier.read_data(options)
    train_x, train_y, test_x, test_y = data
    checksum = classifier.checksum(data)
    folder = options.out or Path("runs", "digits" if options.data is None else options.data.stem)
    weights = folder / "weights.npz"
    if weights.exists() and classifier.checksum_in(weights) != checksum:
        parser.error(f"argument --out: {weights} was not trained on this data, and would be replaced: choose another "
                     "folder, or remove that file")
    inputs, classes = train_x.shape[1], 1 + int(max(train_y.max(), test_y.max()))
    mt.manual_seed(options.seed)
    network = {
        "sizes": [inputs, *options.layers, classes],
        "activation": options.activation,
        "batch_norm": options.batch_norm,
        "dropout": options.dropout,
    }
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

    rows = mt.randperm(len(train_x))
    val_rows, train_rows = rows[: len(rows) // 10], rows[len(rows) // 10 :]
    print(f"data       {len(train_rows):,} examples for training, {len(val_rows):,} for validation, "
          f"{len(test_x):,} for testing; {inputs} numbers each, {classes} classes")
    print(f"network    {'-'.join(map(str, network['sizes']))}, {options.activation}, "
          f"{'batch norm' if options.batch_norm else 'no batch norm'}, dropout {options.dropout}: "
          f"{sum(parameter.numel() for parameter in model.parameters()):,} parameters")

    spread = train_x.numpy().std(axis=0)
    spread = spread[spread > 0]
    if spread.size and spread.max() > 1000 * spread.min():
        print(f"note       the columns have standard deviations from {spread.min():.2g} to {spread.max():.2g}, and are "
              "used as they are: standardise them to train faster, and often better", file=sys.stderr)
    report = classifier.check_gradients(model, train_x[: options.batch_size], train_y[: options.batch_size])
    if not report:
        print(report, file=sys.stderr)
        return 1
    checked, worst = sum(found.checked for found in report.inputs), report.worst
    print(f"gradients  {checked} of them agree with finite differences on one batch; "
          f"the worst, {worst.name}{list(worst.index)}:\n"
          f"           {worst.analytic:.9g} by backward, {worst.numeric:.9g} by difference: "
          f"{abs(worst.analytic - worst.numeric):.1e} apart, where {worst.tolerance:.1e} is allowed", flush=True)

    def batches(x, y, **how):
        return DataLoader(TensorDataset(x, y), options.batch_size, **how)

    loss = nn.CrossEntropyLoss()
    optimizer = optim.SGD(model.parameters(), lr=options.lr, momentum=options.momentum,
                          weight_decay=options.weight_decay)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)     # that training stopped is told below
        history = mt.fit(
            model, loss, optimizer,
            # Batch normalisation cannot use a last batch of one.
            train=batches(train_x[train_rows], train_y[train_rows], shuffle=True,
                          drop_last=options.batch_norm and len(train_rows) % options.batch_size == 1),
            val=batches(train_x[val_rows], train_y[val_rows]) if len(val_rows) else None,
            epochs=options.epochs,
            scheduler=optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=options.epochs),
            clip=options.clip,
            metrics=[mt.metrics.accuracy],
        )
    if history.stopped:
        when = f"at the end of epoch {history.epochs}" if history.epochs else "before training"
        print(f"stopped    {history.stopped}: keeping the weights as they were {when}", file=sys.stderr)
    failure = 130 if history.interrupted else 1     # 130: what a shell reports for a program ended by Ctrl-C
    if not history.epochs:
        print(f"nothing is saved; {folder} is as it was", file=sys.stderr)
        return failure
    score = mt.evaluate(model, loss, batches(test_x, test_y), [mt.metrics.accuracy])
    print(f"accuracy   {score['accuracy']:.2%} on the {len(test_x):,} test examples, which training did not use")
    curves = folder / "curves.png"
    try:
        mt.save({"network": network, "data": checksum, "model": model.state_dict()}, weights)
        print(f"weights    {weights}")
        history.plot(curves)
        print(f"curves     {curves}")
    except OSError as error:
        print(f"{error.filename or folder}: {error.strerror or error}: not all of this could be saved", file=sys.stderr)
        return 1
    return failure if history.stopped else 0
