"""The loop itself: ``fit`` trains, ``evaluate`` measures."""

import math

from microtensor.core import no_grad
from microtensor.fitting.progress import progress_bar
from microtensor.fitting.state import evaluating
from microtensor.fitting.training import Training, check_rows, described, named, score, split_batch
from microtensor.nn import Module
from microtensor.nn.utils import clip_grad_norm_
from microtensor.ops import cat


def fit(model, loss, optimizer, train, val=None, *, epochs, scheduler=None, clip=None, metrics=(), callbacks=(),
        resume=None, progress=True):
    """Train a model, and say after each epoch how well it does.

    On Ctrl-C, and if the loss, a gradient or a weight becomes infinite or NaN, training ends, and ``history.stopped``
    says where. Then, and after an exception, model, optimiser and scheduler are as at the end of the last whole epoch;
    with EarlyStopping the model has the weights of its best one.

    Args:
        model: an nn.Module that returns one tensor (N, ...); trained in place, and in evaluation mode afterwards.
        loss: a function of (outputs, targets) that returns a 0-d tensor, such as nn.CrossEntropyLoss().
        optimizer: of the model's parameters.
        train: the batches to train on, (inputs, targets) or (inputs, more inputs, ..., targets): a DataLoader, or
            another iterable that has a length and may be iterated once for each epoch.
        val: the batches to measure on after each epoch, or None.
        epochs: passes over train, those before a resume included.
        scheduler: stepped after each epoch (ReduceLROnPlateau by "val_loss", or by "loss" without val), or after each
            batch where its ``per_batch`` is set, as it is for OneCycleLR.
        clip: the largest norm of the whole gradient, or None.
        metrics: functions of (outputs, targets), such as mt.metrics.accuracy, as a list, or as a dict by name. They see
            all outputs of an epoch at once. Those of the training data are as they were computed in training.
        callbacks: called after each epoch with a ``mt.fitting.Training``: functions, EarlyStopping, Checkpoint,
            CSVLogger.
        resume: the path of what a Checkpoint wrote, to go on from there; training begins if the file is not there yet,
            and one of the callbacks will write it. Model, optimiser, data and so on must be those of the file; epochs
            may be more.
        progress: show a bar, if tqdm is installed.

    Returns:
        A History: for each epoch "loss", the metrics, with val the same as "val_loss", ..., then "lr" (of the last
        step) and "grad_norm" (the largest, before clipping). "loss" is the mean of the batches' losses, each weighted
        by its number of examples; "val_loss" is computed once, of all outputs.

    Raises:
        TypeError, ValueError: if arguments are wrong or do not belong together; model, optimiser and data are not
            changed.
        FileNotFoundError: if there is nothing to resume, or the folder of a callback's file does not exist.

    Warns:
        RuntimeWarning: if training stopped at a number that is not finite, a callback's file cannot be written, or the
            checkpoint was written in another environment.

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
    with training, progress_bar(training, progress) as show:
        while not training.done:
            for batch in training.begin_epoch():
                inputs, targets = split_batch(batch)
                outputs = check_rows("outputs of the model", model(*inputs))
                batch_loss = loss(outputs, targets)
                training.check_loss(batch_loss, inputs, targets)
                optimizer.zero_grad()
                batch_loss.backward()
                norm = clip_grad_norm_(training.parameters, math.inf if clip is None else clip)
                training.check_finite("gradient's norm", norm, inputs, targets)
                optimizer.step()
                training.end_batch(batch_loss, norm, outputs, targets)
                show()
            training.end_epoch(None if val is None else evaluate(model, loss, val, training.metrics))
            show()
    return training.history


def evaluate(model, loss, data, metrics=()):
    """The loss and the metrics of a model in evaluation mode, on whole data, by name.

    Returns a dict of floats.

    Args:
        model: an nn.Module, whose mode is as before afterwards; so is that of the loss, if it is one.
        loss, metrics: as for ``fit``. They are computed once, of the outputs of all batches.
        data: batches (inputs, ..., targets), as a DataLoader gives them.

    Raises:
        TypeError: if an argument is something else.
        ValueError: if there is no batch.

    >>> import microtensor as mt
    >>> from microtensor.data import DataLoader, TensorDataset
    >>> x = mt.ones(6, 2)
    >>> mt.evaluate(mt.nn.Identity(), mt.nn.MSELoss(), DataLoader(TensorDataset(x, 3 * x), 4))
    {'loss': 4.0}
    """
    if not isinstance(model, Module) or not callable(loss) or not hasattr(data, "__iter__"):
        raise TypeError("evaluate takes a model, a loss and data, got "
                        f"{', '.join(map(described, (model, loss, data)))}")
    functions = {"loss": loss, **named(metrics)}
    outputs, targets = [], []
    with evaluating(model, loss), no_grad():
        for batch in data:
            inputs, batch_targets = split_batch(batch)
            outputs.append(check_rows("outputs of the model", model(*inputs)).clone())      # as a loader or a model
            targets.append(batch_targets.clone())                                           # may use memory again
        if not outputs:
            raise ValueError("there is nothing to evaluate: the data gave no batch")
        return score(cat(outputs), cat(targets), functions)
