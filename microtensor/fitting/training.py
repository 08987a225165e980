"""One training: what ``fit`` holds while it runs, what callbacks see of it, and what a checkpoint keeps."""

import math
import operator
import os
import warnings

import numpy as np

from microtensor import _isa_path, nn, optim
from microtensor._version import __version__
from microtensor.core import Tensor, no_grad
from microtensor.fitting.history import History
from microtensor.kernels.threads import get_num_threads
from microtensor.ops import cat
from microtensor.random import Generator, default_generator
from microtensor.serialization import load

VERSION = 1         # of a checkpoint; files of all versions are in tests/checkpoints, and can be resumed
_KIND = "checkpoint of microtensor.fit"
_COUNTS = ("epoch", "batch", "examples", "loss_sum", "largest_norm", "lr", "seen")      # attributes of a Training


class NotFiniteError(FloatingPointError):
    """A loss or gradient became infinite or NaN: it ends the training, and never leaves ``fit``."""


class Training:
    """What a callback is called with, after every epoch.

    A callback is a function of the Training. An object that can be called may have more methods: ``start(training)``,
    before anything else, which refuses what it cannot do; ``after_batch(training)``; ``finish(training)``, however the
    training ends; ``state_dict()`` and ``load_state_dict(state)``, if it remembers what a resumed training must know.

    Attributes:
        model, loss, optimizer, train, val, epochs, scheduler, clip, callbacks: as given to ``fit``.
        metrics: a dict of functions by name.
        parameters: those that the optimiser updates, as a list.
        epoch: how many epochs have finished.
        batch: how many batches of the current epoch have.
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
        self.callbacks = sorted(callbacks, key=lambda callback: hasattr(callback, "is_checkpoint"))
        self._check_arguments()
        self.parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        self._check_parameters()
        measured = ["loss", *self.metrics]
        validated = [] if val is None else [f"val_{name}" for name in measured]
        self.history = History([*measured, *validated, "lr", "grad_norm"])
        self.epoch = 0
        self.lr = None              # of the last step
        self._begin_epoch()
        self._tell("start")

    def _check_arguments(self):
        def refuse(name, wanted, value):
            raise TypeError(f"fit: {name} must be {wanted}, got {_described(value)}")

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
        try:
            epochs = operator.index(self.epochs)
        except TypeError:
            refuse("epochs", "an int", self.epochs)
        if epochs < 1:
            raise ValueError(f"fit: epochs must be at least 1, got {epochs}")
        if self.clip is not None and not self.clip > 0:
            raise ValueError(f"fit: clip is the largest norm of the gradient, above 0, got {self.clip}")
        if self.scheduler is not None:
            if not isinstance(self.scheduler, optim.lr_scheduler.LRScheduler):
                refuse("scheduler", "one of mt.optim.lr_scheduler's", self.scheduler)
            if self.scheduler.optimizer is not self.optimizer:
                raise ValueError(f"fit: scheduler is a {type(self.scheduler).__name__} of another optimiser")
        for callback in self.callbacks:
            if isinstance(callback, type) or not callable(callback):
                refuse("a callback", "a function of a Training", callback)

    def _check_parameters(self):
        parts = (part for part in (self.model, self.loss) if isinstance(part, nn.Module))
        known = {parameter for part in parts for parameter in part.parameters()}
        foreign = [parameter.shape for parameter in self.parameters if parameter not in known]
        if foreign:
            raise ValueError(f"fit: the optimiser updates {len(foreign)} parameters that are not the model's, the "
                             f"first of shape {foreign[0]}: make it of this model's model.parameters()")

    # -- the epochs

    @property
    def done(self):
        """Whether no epoch is left, or a callback has stopped the training."""
        return self.epoch >= self.epochs or self.history.stopped is not None

    def stop(self, reason):
        """End the training after this epoch; reason is what ``history.stopped`` says."""
        self.history.stopped = reason

    def _begin_epoch(self):
        self.batch = 0
        self.examples = 0
        self.loss_sum = 0.0         # of the batches' losses, each times its number of examples
        self.largest_norm = 0.0
        self.seen = []              # (outputs, targets) of each batch, if there are metrics to compute of them

    def end_batch(self, loss, norm, outputs, targets):
        """Count a batch, and step a scheduler that goes by batches."""
        self.batch += 1
        self.examples += len(targets)
        self.loss_sum += loss.item() * len(targets)
        self.largest_norm = max(self.largest_norm, norm.item())
        if self.metrics:
            self.seen.append((outputs.detach(), targets))
        self.lr = self.optimizer.param_groups[0]["lr"]
        if self.scheduler is not None and self.scheduler.per_batch:
            self.scheduler.step()
        self._tell("after_batch")

    def end_epoch(self, validated):
        """Write the epoch into the history, step the scheduler, keep the state to come back to, and call callbacks."""
        if not self.batch:
            raise ValueError(f"fit: train gave no batch in epoch {self.epoch + 1}: it must be one that can be iterated "
                             "again")
        row = {"loss": self.loss_sum / self.examples}
        if self.metrics:
            row |= score(*map(cat, zip(*self.seen, strict=True)), self.metrics)
        if validated is not None:
            row |= {f"val_{name}": number for name, number in validated.items()}
            if not math.isfinite(row["val_loss"]):
                raise NotFiniteError(f"the loss on the validation data became {row['val_loss']} in epoch "
                                     f"{self.epoch + 1}")
        row |= {"lr": self.lr, "grad_norm": self.largest_norm}
        if self.scheduler is not None and not self.scheduler.per_batch:
            by_metric = isinstance(self.scheduler, optim.lr_scheduler.ReduceLROnPlateau)
            self.scheduler.step(*[row.get("val_loss", row["loss"])] * by_metric)
        for name, number in row.items():
            self.history[name].append(number)
        self.epoch += 1
        self._begin_epoch()
        self._keep()
        for callback in self.callbacks:
            callback(self)

    def check_finite(self, name, number, inputs, targets):
        """Raise NotFiniteError, with the cause where it can be seen, if a number is infinite or NaN."""
        if math.isfinite(number.item()):
            return
        where = (f"the {name} became {number.item()} in epoch {self.epoch + 1}, batch {self.batch + 1} of "
                 f"{len(self.train)}")
        for of, values in (("inputs", inputs), ("targets", [targets])):
            arrays = [value.detach().numpy() for value in values]
            count = sum(int((~np.isfinite(array)).sum()) for array in arrays)
            if count:
                total = sum(array.size for array in arrays)
                raise NotFiniteError(f"{where}: {count} of the {total} numbers of the batch's {of} are not finite")
        raise NotFiniteError(f"{where}, though its data are finite: try a smaller learning rate, or clip")

    # -- how it begins and ends

    def __enter__(self):
        self._keep()
        return self

    def __exit__(self, kind, error, traceback):
        """Come back to the last whole epoch if something happened since; numbers that grew and Ctrl-C end here."""
        if kind is not None:
            self._load_parts(self._kept)
            self._begin_epoch()
        if kind is KeyboardInterrupt:
            self.history.interrupted = True
            self.stop(f"interrupted in epoch {self.epoch + 1}")
        elif kind is NotFiniteError:
            self.stop(str(error))
            warnings.warn(f"training stopped: {error}; the model is as it was {self.when}", RuntimeWarning,
                          stacklevel=3)
        self._tell("finish")
        self.model.eval()
        return kind in (KeyboardInterrupt, NotFiniteError)

    @property
    def when(self):
        """When the last whole epoch was, in words."""
        return f"at the end of epoch {self.epoch}" if self.epoch else "before training"

    def _tell(self, method):
        for callback in self.callbacks:
            if hasattr(callback, method):
                getattr(callback, method)(self)

    def _keep(self):
        self._kept = copied(self._parts())

    # -- state

    def _parts(self):
        """The states of all that a step changes, but random generators and the place in the data."""
        parts = {"model": self.model, "loss": self.loss, "optimizer": self.optimizer, "scheduler": self.scheduler}
        return {name: part.state_dict() for name, part in parts.items() if hasattr(part, "state_dict")}

    def _classes(self):
        return [f"{name} {type(getattr(self, name)).__name__}" for name in self._parts()]

    def _load_parts(self, states):
        for name, state in states.items():
            getattr(self, name).load_state_dict(state)

    def state_dict(self):
        """All that decides how the training goes on; what mt.save can write."""
        return {
            "kind": _KIND,
            "version": VERSION,
            "environment": _environment(),
            "counts": {name: getattr(self, name) for name in _COUNTS},
            "history": dict(self.history),
            "stopped": self.history.stopped,
            "classes": self._classes(),
            "parts": self._parts(),
            "data": self._data_states(),
            "callbacks": self._callback_states(),
            "generators": {name: generator.get_state() for name, generator in self._generators().items()},
        }

    def _data_states(self):
        data = {"train": self.train, "val": self.val}
        return {name: loader.state_dict() for name, loader in data.items() if hasattr(loader, "state_dict")}

    def _callback_states(self):
        return [[type(callback).__name__, callback.state_dict()]
                for callback in self.callbacks if hasattr(callback, "state_dict")]

    def _generators(self):
        """The generators that the model draws from, by the name of the attribute, and the default one."""
        found = {"default": default_generator()}
        for path, module in self.model.named_modules():
            for name, value in vars(module).items():
                if isinstance(value, Generator):
                    found[f"{path}.{name}"] = value
        return found

    def resume(self, path):
        """Go on where the checkpoint of this path was written; without such a file, begin.

        Raises:
            ValueError: if the file is damaged, of another kind or a newer version, or does not fit; nothing is changed.
        """
        if not os.path.exists(path):
            return
        state = load(path)
        if not isinstance(state, dict) or state.get("kind") != _KIND or "version" not in state:
            raise ValueError(f"{path} is not a checkpoint: it was written by mt.save, and not by a Checkpoint")
        if state["version"] > VERSION:
            raise ValueError(f"{path} is a checkpoint of version {state['version']}, from a newer microtensor: the "
                             f"newest known here is {VERSION}")
        own = copied(self.state_dict())
        try:
            self._load(state)
            environment = state["environment"].items()
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
            self._load(own)
            raise ValueError(f"{path} does not fit this training: {error}") from error
        now = _environment()
        differing = [f"{name} {was}, now {now[name]}" for name, was in environment if was != now[name]]
        if differing:
            warnings.warn(f"{path} was written with {'; '.join(differing)}: the training goes on, but its numbers may "
                          "differ in the last digits from those without a break", RuntimeWarning, stacklevel=3)

    def _load(self, state):
        _check_names("a history of", list(state["history"]), list(self.history))
        _check_names("a state of", state["classes"], self._classes())
        _check_names("a place in", list(state["data"]), list(self._data_states()))
        _check_names("callbacks", [name for name, _ in state["callbacks"]],
                     [name for name, _ in self._callback_states()])
        generators = self._generators()
        _check_names("generators", list(state["generators"]), list(generators))
        self._load_parts(state["parts"])
        for name, place in state["data"].items():
            getattr(self, name).load_state_dict(place)
        with_state = (callback for callback in self.callbacks if hasattr(callback, "state_dict"))
        for callback, (_, callback_state) in zip(with_state, state["callbacks"], strict=True):
            callback.load_state_dict(callback_state)
        for name, generator in generators.items():
            generator.set_state(state["generators"][name])
        for name in _COUNTS:
            setattr(self, name, state["counts"][name])
        self.history.update(copied(state["history"]))
        self.history.stopped = state["stopped"]


def parts(batch):
    """The inputs of a batch, as a tuple, and its targets."""
    if not isinstance(batch, (tuple, list)) or len(batch) < 2:
        raise TypeError("a batch must be (inputs, targets), or more inputs and the targets last, got "
                        f"{_described(batch)}")
    *inputs, targets = batch
    return inputs, targets


def score(outputs, targets, functions):
    """What each of the functions says of all outputs at once, as floats by name."""
    with no_grad():
        return {name: float(function(outputs, targets)) for name, function in functions.items()}


def named(metrics):
    """Metrics as a dict of functions by name; a function in a list has the name it was defined with."""
    if not isinstance(metrics, dict):
        metrics = {getattr(metric, "__name__", type(metric).__name__): metric for metric in metrics}
    for name, metric in metrics.items():
        if not callable(metric):
            raise TypeError(f"a metric must be a function of (outputs, targets), got {_described(metric)}")
        if name in ("loss", "lr", "grad_norm"):
            raise ValueError(f"a metric cannot be called {name!r}, as that is in the history already: pass a dict with "
                             "another name")
    return metrics


def copied(state):
    """A state, as state_dict gives it, with tensors of its own."""
    if isinstance(state, Tensor):
        return state.detach().clone()
    if isinstance(state, dict):
        return {name: copied(value) for name, value in state.items()}
    if isinstance(state, (list, tuple)):
        return type(state)(map(copied, state))
    return state


def _environment():
    """What the last digits of a result depend on, besides the numbers that go in."""
    return {"microtensor": __version__, "NumPy": np.__version__, "threads": get_num_threads(),
            "instructions": _isa_path.LEVEL or "the compiler's default"}


def _check_names(what, saved, own):
    if saved != own:
        raise ValueError(f"it has {what} {', '.join(map(str, saved)) or 'nothing'}, this training has "
                         f"{', '.join(map(str, own)) or 'nothing'}")


def _described(value):
    if isinstance(value, type):
        return f"the class {value.__name__} itself, not an object of it"
    if isinstance(value, Tensor):
        return f"a tensor of shape {value.shape}"
    return f"a {type(value).__name__}"
