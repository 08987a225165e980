"""The loop itself: ``fit`` trains, ``evaluate`` measures."""

import math

from microtensor.core import no_grad
from microtensor.fitting.progress import progress_bar
from microtensor.fitting.training import Training, named, parts, score
from microtensor.nn.utils import clip_grad_norm_
from microtensor.ops import cat


def fit(model, loss, optimizer, train, val=None, *, epochs, scheduler=None, clip=None, metrics=(), callbacks=(),
        resume=None, progress=True):
    """Train a model, and say after each epoch how well it does.

    On Ctrl-C, and if the loss or a gradient becomes infinite or NaN, training ends, and ``history.stopped`` says
    where. Then, and after an exception, model, optimiser and scheduler are as at the end of the last whole epoch.

    Args:
        model: an nn.Module; trained in place, and in evaluation mode afterwards.
        loss: a function of (outputs, targets) that returns a 0-d tensor, such as nn.CrossEntropyLoss().
        optimizer: of the model's parameters.
        train: the batches to train on, (inputs, targets) or (inputs, more inputs, ..., targets): a DataLoader, or
            another iterable that has a length and may be iterated once for each epoch.
        val: the batches to measure on after each epoch, or None.
        epochs: passes over train, those before a resume included.
        scheduler: stepped after each epoch (ReduceLROnPlateau by "val_loss", or by "loss" without val), or after each
            batch where its ``per_batch`` is set, as that of OneCycleLR is.
        clip: the largest norm of the whole gradient, or None.
        metrics: functions of (outputs, targets), such as mt.metrics.accuracy, as a list, or as a dict by name. They see
            all outputs of an epoch at once. Those of the training data are as they were computed in training.
        callbacks: called after each epoch with a Training: functions, EarlyStopping, Checkpoint, CSVLogger.
        resume: the path of what a Checkpoint wrote, to go on from there; without such a file training begins.
        progress: show a bar, if tqdm is installed.

    Returns:
        A History: for each epoch "loss" (of the batches, by their sizes), the metrics, with val the same as
        "val_loss", ..., then "lr" (of the last step), "grad_norm" (the largest, before clipping).

    Raises:
        TypeError, ValueError: if arguments are wrong or do not belong together; nothing is changed.

    >>> import microtensor as mt
    >>> from microtensor.data import DataLoader, TensorDataset
    >>> x = mt.arange(8.0).reshape(8, 1)
    >>> model = mt.nn.Linear(1, 1)
    >>> optimizer = mt.optim.SGD(model.parameters(), lr=0.02)
    >>> history = mt.fit(model, mt.nn.MSELoss(), optimizer, DataLoader(TensorDataset(x, 2 * x), 4), epochs=200,
    ...                  progress=False)
    >>> round(model.weight.item(), 2), history.epochs
    (2.0, 200)
    """
    training = Training(model, loss, optimizer, train, val, epochs, scheduler, clip, metrics, callbacks)
    if resume is not None:
        training.resume(resume)
    parameters = training.parameters
    with training, progress_bar(training, progress) as show:
        while not training.done:
            if not model.training:
                model.train()           # otherwise as it is: frozen layers may be in evaluation mode
            for batch in train:
                inputs, targets = parts(batch)
                outputs = model(*inputs)
                batch_loss = loss(outputs, targets)
                training.check_finite("loss", batch_loss, inputs, targets)
                optimizer.zero_grad()
                batch_loss.backward()
                norm = clip_grad_norm_(parameters, math.inf if clip is None else clip)
                training.check_finite("gradient's norm", norm, inputs, targets)
                optimizer.step()
                training.end_batch(batch_loss, norm, outputs, targets)
                show()
            training.end_epoch(None if val is None else evaluate(model, val, loss, metrics))
            show()
    return training.history


def evaluate(model, data, loss, metrics=()):
    """The loss and the metrics of a model in evaluation mode, on whole data, by name.

    Returns a dict of floats.

    Args:
        model: an nn.Module, whose mode is as before afterwards.
        data: batches (inputs, ..., targets), as a DataLoader gives them.
        loss, metrics: as for ``fit``. They are computed once, of the outputs of all batches.

    Raises:
        ValueError: if there is no batch.

    >>> import microtensor as mt
    >>> from microtensor.data import DataLoader, TensorDataset
    >>> x = mt.ones(6, 2)
    >>> mt.evaluate(mt.nn.Identity(), DataLoader(TensorDataset(x, 3 * x), 4), mt.nn.MSELoss())
    {'loss': 4.0}
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    outputs, targets = [], []
    try:
        with no_grad():
            for batch in data:
                inputs, batch_targets = parts(batch)
                outputs.append(model(*inputs))
                targets.append(batch_targets)
            if not outputs:
                raise ValueError("there is nothing to evaluate: the data gave no batch")
            return score(cat(outputs), cat(targets), {"loss": loss, **named(metrics)})
    finally:
        for module, training in modes:
            module.training = training
