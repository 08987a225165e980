"""One training: what ``fit`` holds while it runs, what callbacks see of it, and what a checkpoint keeps."""

import contextlib
import math
import os
import signal
import threading

import numpy as np

from microtensor import _isa_path, nn, optim
from microtensor._arguments import checked_count
from microtensor._version import __version__
from microtensor.core import Tensor, no_grad
from microtensor.fitting import state as states
from microtensor.fitting.callbacks import Checkpoint, Writer
from microtensor.fitting.history import History
from microtensor.kernels.threads import get_num_threads
from microtensor.ops import cat
from microtensor.random import default_generator
from microtensor.serialization import load

VERSION = 1         # of a checkpoint; files of all versions are in tests/checkpoints, and can be resumed
_KIND = "checkpoint of microtensor.fit"
_COUNTS = ("batch", "examples", "loss_sum", "largest_norm", "lr", "seen")       # of the current epoch


class NotFiniteError(FloatingPointError):
    """A loss, gradient or weight became infinite or NaN: it ends the training, and never leaves ``fit``."""


class Training:
    """What a callback is called with, after every epoch.

    A callback is a function of the Training. An object that can be called may have more methods: ``start(training)``,
    before anything else, which refuses what it cannot do; ``after_batch(training)``; ``finish(training)``, however the
    training ends; ``state_dict()`` and ``load_state_dict(state)``, if it remembers what a resumed training must know,
    with ``settings``, a dict that must be the same then.

    While callbacks are called the model is in the mode in which it trains; ``mt.evaluate`` measures it in the other.

    Attributes:
        model, loss, optimizer, train, val, epochs, scheduler, clip, callbacks: as given to ``fit``.
        metrics: a dict of functions by name.
        columns: the names of the quantities in the history.
        parameters: those that the optimiser updates, as a list.
        batch: the number of batches of the current epoch that are done.
        history: the History.
    """

    def __init__(self, model, loss, optimizer, train, val, epochs, scheduler, clip, metrics, callbacks):
        self.model = model
        self.loss = loss
        self.optimizer = optimizer
        self.train = train
        self.val = val
        self.epochs = epochs
        self.scheduler = scheduler
        self.clip = clip
        self.metrics = named(metrics)
        # Checkpoints come last, as they keep what the other callbacks know after this epoch.
        self.callbacks = sorted(listed("callbacks", callbacks), key=lambda callback: isinstance(callback, Checkpoint))
        self._check_arguments()
        self._check_parameters()
        measured = ["loss", *self.metrics]
        validated = [] if val is None else [f"val_{name}" for name in measured]
        self.columns = (*measured, *validated, "lr", "grad_norm")
        self.history = History(self.columns)
        self.parameters = _parameters(optimizer)
        self._pass = None           # over train: the iterator
        self._clear_counts()
        self._whole = None          # (number of finished epochs, what to come back to), while an epoch is under way
        self._check_steps()
        self.settings = self._settings()
        self._tell("start")

    # -- arguments

    def _check_arguments(self):
        def refuse(name, wanted, value):
            raise TypeError(f"fit: {name} must be {wanted}, got {described(value)}")

        if not isinstance(self.model, nn.Module):
            refuse("model", "an nn.Module", self.model)
        if isinstance(self.loss, type) or not callable(self.loss):
            refuse("loss", "a function of (outputs, targets), such as nn.CrossEntropyLoss()", self.loss)
        if not isinstance(self.optimizer, optim.Optimizer):
            refuse("optimizer", "one of mt.optim's, such as Adam(model.parameters())", self.optimizer)
        for name in ("train", "val"):
            data = getattr(self, name)
            if data is None and name == "val":
                continue
            if isinstance(data, (tuple, Tensor)) or not (hasattr(data, "__iter__") and hasattr(data, "__len__")):
                refuse(name, "a DataLoader, or another iterable of batches with a length", data)
            if not len(data):
                raise ValueError(f"fit: {name} has no batch")
        checked_count("fit: epochs", self.epochs)
        if self.clip is not None:
            if isinstance(self.clip, bool) or not isinstance(self.clip, (int, float)):
                refuse("clip", "a number or None", self.clip)
            if not self.clip > 0:
                raise ValueError(f"fit: clip is the largest norm of the gradient, above 0, got {self.clip}")
        for callback in self.callbacks:
            if isinstance(callback, type) or not callable(callback):
                refuse("a callback", "a function of a Training", callback)
        paths = [os.path.realpath(callback.path) for callback in self.callbacks if isinstance(callback, Writer)]
        if len(set(paths)) < len(paths):
            raise ValueError(f"fit: two callbacks write one file: {', '.join(paths)}")
        if self.scheduler is None:
            return
        if not isinstance(self.scheduler, optim.lr_scheduler.LRScheduler):
            refuse("scheduler", "one of mt.optim.lr_scheduler's", self.scheduler)
        if self.scheduler.optimizer is not self.optimizer:
            raise ValueError(f"fit: scheduler is a {type(self.scheduler).__name__} of another optimiser")
        if self._by_loss and (self.scheduler.mode != "min" or self.scheduler.per_batch):
            raise ValueError("fit: ReduceLROnPlateau is given the loss after each epoch: its mode must be 'min', and "
                             "per_batch False")

    def _check_parameters(self):
        known = {parameter for module in self._modules.values() for parameter in module.parameters()}
        foreign = [parameter.shape for parameter in _parameters(self.optimizer) if parameter not in known]
        if foreign:
            raise ValueError(f"fit: the optimiser updates {len(foreign)} parameters that are not the model's, the "
                             f"first of shape {foreign[0]}: make it of this model's model.parameters()")

    def _check_steps(self):
        """Refuse a schedule that ends before the training."""
        if isinstance(self.scheduler, optim.lr_scheduler.OneCycleLR):
            calls = len(self.train) if self.scheduler.per_batch else 1
            left = (self.epochs - self.epoch) * calls - self.batch * self.scheduler.per_batch
            total, done = self.scheduler.total_steps, self.scheduler.last_epoch
            if done + left > total:
                raise ValueError(f"fit: OneCycleLR has {total} steps, of which {done} are done, and {self.epochs} "
                                 f"epochs need {left} more: make it with total_steps={done + left}")

    @property
    def _by_loss(self):
        return isinstance(self.scheduler, optim.lr_scheduler.ReduceLROnPlateau)

    # -- epochs and batches

    @property
    def epoch(self):
        """How many epochs have finished."""
        return self.history.epochs

    @property
    def done(self):
        """Whether the training has ended: all epochs are done, or it was stopped, which takes effect after an epoch."""
        return self.epoch >= self.epochs or (self.history.stopped is not None and not self.batch)

    def stop(self, reason):
        """End the training after this epoch; reason is what ``history.stopped`` says."""
        self.history.stopped = reason

    def _clear_counts(self):
        self.batch = 0
        self.examples = 0
        self.loss_sum = 0.0         # of the batches' losses, each times its number of examples
        self.largest_norm = 0.0
        self.lr = None              # of the last step
        self.seen = []              # (outputs, targets) of each batch, if there are metrics to compute of them

    def begin_epoch(self):
        """The batches of an epoch, or the remaining ones of an epoch that is resumed."""
        if not self.batch:
            self._whole = self.epoch, states.copied(self._states())
        self.parameters = _parameters(self.optimizer)       # a callback may have added some
        if not self.model.training:
            self.model.train()      # otherwise as it is: frozen layers may be in evaluation mode
        self._pass = iter(self.train)
        return self._pass

    def check_loss(self, loss, inputs, targets):
        """Refuse what cannot be trained on, and raise NotFiniteError if the loss is infinite or NaN."""
        if not isinstance(loss, Tensor) or loss.shape != ():
            raise TypeError(f"fit: loss must return a 0-d tensor, got {described(loss)}")
        self.check_finite("loss", loss, inputs, targets)

    def check_finite(self, name, number, inputs, targets):
        """Raise NotFiniteError, with the cause where it can be seen, if a number is infinite or NaN."""
        if not math.isfinite(number.item()):
            cause = infinite(inputs, targets) or "though its data are finite: try a smaller learning rate, or clip"
            raise NotFiniteError(f"the {name} became {number.item()} in epoch {self.epoch + 1}, batch {self.batch + 1} "
                                 f"of {len(self.train)}, {cause}")

    def end_batch(self, loss, norm, outputs, targets):
        """Count a batch, and step a scheduler that goes by batches."""
        self.batch += 1
        self.examples += len(targets)
        self.loss_sum += loss.item() * len(targets)
        self.largest_norm = max(self.largest_norm, norm.item())
        if self.metrics:
            self.seen.append((outputs.detach().clone(), targets.clone()))       # either may be written into later
        self.lr = self.optimizer.param_groups[0]["lr"]
        if self.scheduler is not None and self.scheduler.per_batch:
            self.scheduler.step()
        self._tell("after_batch")

    def end_epoch(self, validated):
        """Step the scheduler, write the epoch into the history, which makes it a whole one, and call the callbacks."""
        if not self.batch:
            raise ValueError(f"fit: train gave no batch in epoch {self.epoch + 1}: it must be one that can be iterated "
                             "again")
        row = {"loss": self.loss_sum / self.examples}
        if self.metrics:
            row |= score(*map(cat, zip(*self.seen, strict=True)), self.metrics)
        if validated is not None:
            row |= {f"val_{name}": number for name, number in validated.items()}
        row |= {"lr": self.lr, "grad_norm": self.largest_norm}
        self._check_whole(row)
        if self.scheduler is not None and not self.scheduler.per_batch:
            self.scheduler.step(*[row.get("val_loss", row["loss"])] * self._by_loss)
        self.history.update({name: [*self.history[name], row[name]] for name in self.columns})
        self._whole = None
        self._clear_counts()
        for callback in self.callbacks:
            callback(self)

    def _check_whole(self, row):
        """Raise NotFiniteError if the epoch leaves a loss or a weight that is infinite or NaN."""
        if not math.isfinite(row.get("val_loss", 0.0)):
            causes = ((number, infinite(*split_batch(batch))) for number, batch in enumerate(self.val, 1))
            found = next((f", batch {number} of {len(self.val)}, {cause}" for number, cause in causes if cause), "")
            raise NotFiniteError(f"the loss on the validation data became {row['val_loss']} in epoch {self.epoch + 1}"
                                 f"{found}")
        for name, tensor in states.tensors(self.model).items():
            if not np.isfinite(tensor.detach().numpy()).all():
                raise NotFiniteError(f"{name} holds numbers that are not finite after epoch {self.epoch + 1}: try a "
                                     "smaller learning rate, or clip")

    # -- how it ends

    def __enter__(self):
        if self.done:               # resumed in the middle of an epoch that is not wanted any more
            self._come_back()
        return self

    def __exit__(self, kind, error, traceback):
        """Come back to the last whole epoch; what is not finite and Ctrl-C end here."""
        with _uninterrupted(), contextlib.ExitStack() as last_first:       # each of these, whatever the others raise
            if kind is KeyboardInterrupt:
                self.history.interrupted = True
                self.stop(f"interrupted in epoch {self.epoch + 1}")
            elif kind is NotFiniteError:
                self.history.diverged = True
                self.stop(str(error))
            last_first.callback(self.model.eval)
            for callback in reversed(self.callbacks):
                if hasattr(callback, "finish"):
                    last_first.callback(callback.finish, self)
            last_first.callback(self._come_back)
        if kind is NotFiniteError:
            number = self.history.best_epoch or self.epoch
            when = f"at the end of epoch {number}" if number else "before training"
            states.warn(f"training stopped: {error}; the model is as it was {when}")
        return kind in (KeyboardInterrupt, NotFiniteError)

    def _come_back(self):
        """To the end of the last whole epoch, if another one is under way."""
        if self._whole is not None and self._whole[0] == self.epoch:
            self._load_states(self._whole[1])
        self._whole = None
        self._clear_counts()

    def _tell(self, method):
        for callback in self.callbacks:
            if hasattr(callback, method):
                getattr(callback, method)(self)

    # -- state

    @property
    def _modules(self):
        found = {"model": self.model, "loss": self.loss}
        return {name: module for name, module in found.items() if isinstance(module, nn.Module)}

    def _states(self):
        """The states of all that a step changes, but random generators and the place in the data."""
        found = {name: states.tensors(module) for name, module in self._modules.items()}
        found |= {"scheduler": self.scheduler.state_dict()} if self.scheduler is not None else {}
        switches = {name: states.switches(module) for name, module in self._modules.items()}
        return {**found, "optimizer": self.optimizer.state_dict(), "switches": switches}

    def _load_states(self, found):
        for name, module in self._modules.items():
            states.load_tensors(module, found[name])
            states.load_switches(module, found["switches"][name])
        # A callback may have added groups since.
        del self.optimizer.param_groups[len(found["optimizer"]["param_groups"]) :]
        if self.scheduler is not None:
            self.scheduler.load_state_dict(found["scheduler"])
        self.optimizer.load_state_dict(found["optimizer"])      # last: a callback may have set another learning rate

    def state_dict(self):
        """All that decides how the training goes on; what mt.save can write."""
        return {
            "kind": _KIND,
            "version": VERSION,
            "settings": self.settings,
            "environment": _environment(),
            **self._states(),
            "whole": self._whole[1] if self.batch else None,
            "counts": {name: getattr(self, name) for name in _COUNTS},
            "history": {name: self.history[name] for name in self.columns},
            "stopped": self.history.stopped,
            "callbacks": [callback.state_dict() for callback in self._remembering],
            "generators": {name: generator.get_state() for name, generator in self._generators().items()},
            "place": self._place(),
        }

    @property
    def _remembering(self):
        return [callback for callback in self.callbacks if hasattr(callback, "state_dict")]

    def _place(self):
        """Where the pass over train is that is under way, or None between two epochs."""
        if not self.batch or not hasattr(self.train, "state_dict"):
            return None
        return getattr(self._pass, "state_dict", self.train.state_dict)()

    def _generators(self):
        """The default generator, and those that the model, the loss and the data hold, by their paths."""
        parts = {"model": self.model, "loss": self.loss, "train": self.train, "val": self.val}
        return {"default": default_generator(), **states.generators(parts)}

    def _settings(self):
        """What must be the same in a training that goes on with this one's checkpoint."""
        schedule = None
        left_out = {"params"}
        if self.scheduler is not None:
            moving = self.scheduler.moving
            schedule = {"class": type(self.scheduler).__name__, "per_batch": self.scheduler.per_batch,
                        **{name: value for name, value in self.scheduler.state_dict().items() if name not in moving}}
            left_out |= {"lr", "momentum", "betas"}     # which it moves
        groups = [{name: value for name, value in group.items() if name not in left_out}
                  for group in self.optimizer.param_groups]
        return states.copied({
            "model": states.module_settings(self.model),
            "loss": states.function_settings(self.loss),
            "scheduler": schedule,
            "optimizer": {"class": type(self.optimizer).__name__, "groups": groups},
            "clip": self.clip,
            "columns": self.columns,
            "train": states.data_settings(self.train),
            "val": None if self.val is None else states.data_settings(self.val),
            "callbacks": [[type(callback).__name__, getattr(callback, "settings", None)]
                          for callback in self._remembering],
        })

    def resume(self, path):
        """Go on where the checkpoint of this path was written; begin if a Checkpoint is still to write it.

        Raises:
            FileNotFoundError: if there is no such file, and none of the callbacks writes it.
            ValueError: if the file is damaged, of another kind or a newer version, or does not fit; nothing is changed.
        """
        path = os.fspath(path)
        if not os.path.exists(path):
            written = [callback.path for callback in self.callbacks if isinstance(callback, Checkpoint)]
            if os.path.realpath(path) in map(os.path.realpath, written):
                return
            raise FileNotFoundError(f"there is no checkpoint {path!r} to resume, and no Checkpoint among the callbacks "
                                    "that will write it")
        saved = load(path)
        if not isinstance(saved, dict) or saved.get("kind") != _KIND or not isinstance(saved.get("version"), int):
            raise ValueError(f"{path} is not a checkpoint: it was written by mt.save, and not by a Checkpoint")
        if saved["version"] > VERSION:
            raise ValueError(f"{path} is a checkpoint of version {saved['version']}, from a newer microtensor: the "
                             f"newest known here is {VERSION}")
        own = states.copied(self.state_dict())
        try:
            found = states.difference(saved["settings"], self.settings)
            if found:
                name, was, now = found
                raise ValueError(f"its {name} is {was!r}, this training's is {now!r}; to begin anew, remove the file")
            self._load(saved)
            self._check_steps()
            self._warn_of_environment(path, saved["environment"])
            if saved["place"] is not None and not self.done:
                self.train.load_state_dict(saved["place"])
        except BaseException as error:
            self._load(own)
            if isinstance(error, Exception) and not isinstance(error, Warning):
                reason = f"it lacks {error}" if isinstance(error, KeyError) else error
                raise ValueError(f"{path} does not fit this training: {reason}") from error
            raise

    def _load(self, saved):
        """Take over a state, but for the place in the data."""
        history = saved["history"]
        if len({len(column) for column in history.values()}) != 1:
            raise ValueError(f"its history has columns of {[len(column) for column in history.values()]} epochs")
        self._load_states(saved)
        for callback, callback_state in zip(self._remembering, saved["callbacks"], strict=True):
            callback.load_state_dict(callback_state)
        generators = self._generators()
        if generators.keys() != saved["generators"].keys():
            raise ValueError(f"it has the states of the generators {', '.join(saved['generators'])}, and this training "
                             f"has {', '.join(generators)}")
        for name, generator in generators.items():
            generator.set_state(saved["generators"][name])
        self.history.update({name: list(history[name]) for name in self.columns})
        for name in _COUNTS:
            setattr(self, name, saved["counts"][name])
        self._whole = None if saved["whole"] is None else (self.epoch, saved["whole"])
        self.history.stopped = saved["stopped"]

    def _warn_of_environment(self, path, was):
        now = _environment()
        differing = [f"{name} {was.get(name)}, now {now[name]}" for name in now if was.get(name) != now[name]]
        if differing:
            states.warn(f"{path} was written with {'; '.join(differing)}: the training goes on, but its numbers may "
                        "differ in the last digits from those without a break")


@contextlib.contextmanager
def _uninterrupted():
    """Ignore Ctrl-C, where it can be: in a block that ends a training anyway, and must be done whole."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is None:
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _parameters(optimizer):
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _environment():
    """What the last digits of a result depend on, besides the numbers that go in."""
    return {"microtensor": __version__, "NumPy": np.__version__, "threads": get_num_threads(),
            "instructions": _isa_path.LEVEL or "the compiler's default"}


# -- batches and what is measured of them ------------------------------------------------------------------------------


def split_batch(batch):
    """The inputs of a batch, as a list, and its targets."""
    if not isinstance(batch, (tuple, list)) or len(batch) < 2:
        raise TypeError("a batch must be (inputs, targets), or more inputs and the targets last, got "
                        f"{described(batch)}")
    *inputs, targets = batch
    check_rows("targets of a batch", targets)
    return inputs, targets


def check_rows(name, value):
    """The value, if it is a tensor with examples along its first dimension."""
    if not isinstance(value, Tensor) or value.ndim == 0:
        raise TypeError(f"the {name} must be one tensor of shape (N, ...), got {described(value)}")
    if not len(value):
        raise ValueError(f"the {name} have no example: their shape is {value.shape}")
    return value


def infinite(inputs, targets):
    """How many numbers of a batch are not finite, in words; None if all are."""
    for name, values in (("inputs", inputs), ("targets", [targets])):
        arrays = [value.detach().numpy() for value in values if isinstance(value, Tensor)]
        count = sum(int((~np.isfinite(array)).sum()) for array in arrays)
        if count:
            total = sum(array.size for array in arrays)
            return f"whose {name} hold {count} of {total} numbers that are not finite"
    return None


def score(outputs, targets, functions):
    """What each of the functions says of all outputs at once, as floats by name."""
    found = {}
    with no_grad():
        for name, function in functions.items():
            value = function(outputs, targets)
            try:
                found[name] = float(value)
            except (TypeError, ValueError, RuntimeError):
                raise TypeError(f"{name} must be one number for all outputs, got {described(value)}") from None
    return found


def listed(name, values):
    """Functions as a list."""
    if callable(values) or not hasattr(values, "__iter__"):
        raise TypeError(f"{name} must be a list of functions, got {described(values)}: put it in a list")
    return list(values)


def named(metrics):
    """Metrics as a dict of functions by name; a function in a list has the name it was defined with."""
    pairs = list(metrics.items()) if isinstance(metrics, dict) else [
        (getattr(metric, "__name__", type(metric).__name__), metric) for metric in listed("metrics", metrics)]
    for name, metric in pairs:
        if isinstance(metric, type) or not callable(metric):
            raise TypeError(f"a metric must be a function of (outputs, targets), got {described(metric)}")
        if not isinstance(name, str):
            raise TypeError(f"the names of metrics must be strings, got {name!r}")
        if name in ("loss", "lr", "grad_norm", "epoch") or name.startswith("val_"):
            raise ValueError(f"a metric cannot be called {name!r}, which is a name of the history's own: pass a dict "
                             "with another one")
    if len(dict(pairs)) < len(pairs):
        raise ValueError(f"metrics have the names {', '.join(name for name, _ in pairs)}, and each must have its own: "
                         "pass a dict")
    return dict(pairs)


def described(value):
    """What a value is, for a message."""
    if isinstance(value, type):
        return f"the class {value.__name__} itself, not an object of it"
    if isinstance(value, Tensor):
        return f"a tensor of shape {value.shape}"
    return f"a {type(value).__name__}"
