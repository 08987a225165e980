"""MLPClassifier and MLPRegressor: estimators of scikit-learn whose nets ``mt.fit`` trains."""

import contextlib
import copy
import dataclasses
import math
import warnings
from typing import NamedTuple

import numpy as np

try:
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise ImportError("microtensor.sklearn needs scikit-learn 1.6 or newer, and it is missing, older or broken: "
                      "pip install 'microtensor[sklearn]'") from error

from scipy import special
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_array, check_random_state, column_or_1d, compute_class_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from microtensor import nn, optim
from microtensor._arguments import checked_bool, checked_count, checked_number
from microtensor.core import Tensor, from_numpy, no_grad
from microtensor.data import DataLoader
from microtensor.fitting import EarlyStopping, fit
from microtensor.fitting.training import listed
from microtensor.random import fork_rng

__all__ = ["MLPClassifier", "MLPRegressor"]

_ROWS = 1024        # that a prediction computes at once
_PLANNED = ("cosine", "one_cycle")      # schedules that end with the last of max_iter epochs


# -- examples ----------------------------------------------------------------------------------------------------------


class _Part(NamedTuple):
    """Examples to train on or to measure on."""

    inputs: object          # (N, features), an array or a CSR matrix
    targets: np.ndarray     # class numbers (N,), or numbers (N, D)
    weight: np.ndarray | None = None


class _Dataset:
    """Inputs with their targets; of a sparse matrix, a batch is made dense when it is asked for."""

    def __init__(self, inputs, targets):
        self.inputs = inputs
        self.targets = targets

    def __len__(self):
        return len(self.targets)

    def get_batch(self, rows):
        return from_numpy(_dense(self.inputs[rows])), self.targets[rows]


def _dense(inputs):
    return inputs if isinstance(inputs, np.ndarray) else inputs.toarray()


class _MeanLoss:
    """The mean loss of a batch, whose targets have the weights of the examples as one more column if there are any."""

    def __init__(self, function, outputs, classes, weighted):
        self.function = function
        self.outputs = outputs
        self.classes = classes
        self.weighted = weighted

    def joined(self, targets, weight):
        """The targets as they are called with: class numbers (N,), numbers (N, D), or one more column for weights."""
        if self.weighted:
            weight = np.ones(len(targets)) if weight is None else weight
            # Of mean 1 over the part, and not over each batch, where all might be 0.
            targets = np.column_stack([targets, weight / weight.mean()])
        return from_numpy(targets if targets.ndim == 1 else _as_float32("y", targets))

    def split(self, targets):
        """What ``joined`` put together: targets, and weights or None."""
        if not self.weighted:
            return targets, None
        targets, weight = targets[:, :-1], targets[:, -1]
        return (targets[:, 0].to(np.int64) if self.classes else targets), weight

    def __call__(self, outputs, targets):
        if outputs.shape != (len(targets), self.outputs):
            raise ValueError(f"the module must give outputs of shape {(len(targets), self.outputs)} for these targets, "
                             f"got {outputs.shape}: module is called with the numbers of features and of outputs")
        targets, weight = self.split(targets)
        losses = self.function(outputs, targets)
        if not isinstance(losses, Tensor):
            raise TypeError(f"loss must return a tensor, got a {type(losses).__name__}")
        if losses.ndim > 1:
            losses = losses.reshape(len(outputs), -1).mean(dim=1)
        if losses.ndim == 0 and weight is not None:
            raise ValueError("loss returns one number for a batch, and examples with weights need one each: make it "
                             'with reduction="none"')
        return (losses if weight is None else losses * weight).mean()


def _check_weights(*parts):
    for part in parts:
        if part is not None and part.weight is not None and not part.weight.any():
            raise ValueError(f"all {len(part.weight)} weights of the training or the validation part are zero: "
                             "some example of each must count")


def _quiet():
    """No warning of NumPy's about numbers too large for float32: they become infinite, and that is refused."""
    return np.errstate(over="ignore", invalid="ignore")


def _as_float32(name, numbers):
    with _quiet():
        converted = np.ascontiguousarray(numbers, np.float32)
    if not np.isfinite(converted).all():
        raise ValueError(f"{name} holds numbers that are too large for float32, which all is computed in: scale it")
    return converted


# -- what both estimators share ----------------------------------------------------------------------------------------


@contextlib.contextmanager
def _whole_or_not_at_all(estimator):
    """After an exception the estimator is as it was before."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


@dataclasses.dataclass(eq=False, repr=False)
class _Perceptron(BaseEstimator):
    """The parameters and the fit of both estimators; a subclass says what targets, losses and outputs mean."""

    hidden_layer_sizes: object = (100,)
    activation: object = "relu"
    _: dataclasses.KW_ONLY
    batch_norm: bool = False
    dropout: object = 0.0
    optimizer: object = "adam"
    learning_rate: object = "constant"
    learning_rate_init: float = 1e-3
    momentum: float = 0.9
    nesterovs_momentum: bool = True
    weight_decay: float = 0.0
    clip: float | None = None
    batch_size: object = "auto"
    max_iter: int = 200
    shuffle: bool = True
    random_state: object = None
    tol: float = 1e-4
    n_iter_no_change: int = 10
    early_stopping: bool = False
    validation_fraction: float = 0.1
    verbose: bool | int = False
    warm_start: bool = False
    loss: object = None
    module: object = None
    callbacks: object = ()

    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None):
        """Train a net; with ``warm_start`` the one that is there.

        On Ctrl-C training ends with a warning, and the net is that of the last whole epoch.

        Args:
            X: the inputs (N, D): an array, a DataFrame or a sparse matrix.
            y: the targets.
            sample_weight: how much each example counts, (N,) numbers of at least 0; None for all alike.
            X_val, y_val: examples to measure on after each epoch, also to stop by with ``early_stopping``.
            sample_weight_val: how much each of those counts.

        Returns:
            The estimator.

        Raises:
            ValueError: if data or parameters are wrong, or a number became infinite or NaN in the first epoch.
            TypeError: if a parameter is of a wrong kind; after any exception the estimator is as it was before.

        Warns:
            ConvergenceWarning: if all ``max_iter`` epochs were needed.
            RuntimeWarning: if training stopped at a number that is infinite or NaN.
        """
        if (X_val is None) != (y_val is None) or (X_val is None and sample_weight_val is not None):
            raise ValueError("fit needs both X_val and y_val to measure on, or neither, and no sample_weight_val then")
        self._check_parameters()
        with _whole_or_not_at_all(self):
            goes_on = self.warm_start and hasattr(self, "module_")
            stream = self._random_stream()
            train, val = self._examples(X, y, sample_weight, fresh=not goes_on), None
            train = self._weighed(train, train)
            if X_val is not None:
                val = self._weighed(self._examples(X_val, y_val, sample_weight_val, fresh=False), train)
            elif self.early_stopping:
                train, val = self._split(train, stream)
            if val is not None and len(val.targets) < 2:
                raise ValueError("the validation part has 1 example, and at least 2 are needed: raise "
                                 f"validation_fraction={self.validation_fraction}, or give more as X_val and y_val")
            _check_weights(train, val)
            if not goes_on:
                self._begin(train, stream)
            history = self._train(train, val, epochs=self.max_iter, new_optimizer=True)
        if history.interrupted:
            warnings.warn(f"training was interrupted after {history.epochs} epochs, and the net is that of the last "
                          "one", stacklevel=2)
        elif history.stopped is None and self.learning_rate not in _PLANNED:
            warnings.warn(f"Maximum iterations ({self.max_iter}) reached and the optimization hasn't converged yet: "
                          "raise max_iter or tol", ConvergenceWarning, stacklevel=2)
        return self

    def _partial_fit(self, X, y, sample_weight, fresh, classes=None):
        """One epoch with the net and the optimiser that are there, if any."""
        if self.early_stopping or self.learning_rate != "constant":
            raise ValueError("partial_fit knows no last epoch: it takes early_stopping=False and "
                             f"learning_rate='constant', got {self.early_stopping} and {self.learning_rate!r}")
        self._check_parameters()
        with _whole_or_not_at_all(self):
            train = self._examples(X, y, sample_weight, fresh, classes)
            train = self._weighed(train, train)
            _check_weights(train)
            if fresh:
                self._begin(train, self._random_stream())
            if self._train(train, None, epochs=1, new_optimizer=fresh).interrupted:
                raise KeyboardInterrupt     # which a loop of calls must end by
        return self

    def _check_parameters(self):
        """Those that nothing else would check in time."""
        for field in dataclasses.fields(self):
            if field.type is bool:
                checked_bool(field.name, getattr(self, field.name))
        checked_count("max_iter", self.max_iter)
        checked_count("n_iter_no_change", self.n_iter_no_change)
        checked_number("tol", self.tol, 0)
        checked_number("momentum", self.momentum, 0)
        if self.module is not None:
            for name in ("hidden_layer_sizes", "activation", "batch_norm", "dropout"):
                if not np.array_equal(getattr(self, name), getattr(type(self), name)):
                    raise ValueError(f"{name}={getattr(self, name)!r} is for the perceptron, and module= makes another "
                                     "net: give it to the module")
        if not 0 < checked_number("validation_fraction", self.validation_fraction, 0) < 1:
            raise ValueError(f"validation_fraction must be above 0 and below 1, got {self.validation_fraction}")

    # -- examples

    def _random_stream(self):
        """NumPy's stream that seeds come from; never the global one, unless it is given."""
        return np.random.RandomState() if self.random_state is None else check_random_state(self.random_state)

    def _examples(self, X, y, weight, fresh, classes=None):
        """Checked inputs, encoded targets and weights."""
        with _quiet():
            X, y = validate_data(self, X, y, accept_sparse="csr", dtype=np.float32, multi_output=True,
                                 y_numeric=isinstance(self, RegressorMixin), reset=fresh)
        y = _dense(y)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if weight is not None:
            weight = check_array(weight, dtype=np.float64, ensure_2d=False, ensure_non_negative=True,
                                 input_name="sample_weight")
            if weight.shape != (len(y),):
                raise ValueError(f"sample_weight has the shape {weight.shape}, and {(len(y),)} is needed, one number "
                                 "for each example")
        return _Part(X, self._encoded(y, fresh, classes), weight)

    def _split(self, part, stream):
        """The part to train on and the one to measure on."""
        # Strata are labels, and not their numbers, as an error names them.
        strata = self.classes_[part.targets] if part.targets.ndim == 1 else None
        halves = train_test_split(*(part[:2] if part.weight is None else part), test_size=self.validation_fraction,
                                  random_state=stream, stratify=strata)
        return _Part(*halves[::2]), _Part(*halves[1::2])

    # -- training

    def _begin(self, train, stream):
        """A new net, its generator, and nothing learnt."""
        seed = stream.randint(np.iinfo(np.int32).max)
        with fork_rng(seed) as generator:
            self._prepare(train)
            self.module_ = self._make_module()
        self._generator_state = generator.get_state()
        self.history_ = {}
        self.n_iter_ = 0

    def _make_module(self):
        if self.module is not None:
            given = isinstance(self.module, nn.Module) or not callable(self.module)
            module = self.module if given else self.module(self.n_features_in_, self.n_outputs_)
            if given or not isinstance(module, nn.Module):
                raise TypeError("module must be a function of the numbers of features and outputs that makes an "
                                f"nn.Module, {'is' if given else 'and made'} a {type(module).__name__}")
            return module
        hidden = self.hidden_layer_sizes
        hidden = list(hidden) if hasattr(hidden, "__iter__") else [hidden]
        names = self.activation if isinstance(self.activation, (list, tuple)) else [self.activation] * len(hidden)
        names = ["sigmoid" if name == "logistic" else name for name in names]
        module = nn.mlp([self.n_features_in_, *hidden, self.n_outputs_], names, self.batch_norm, self.dropout)
        for layer in module:
            if isinstance(layer, nn.Linear):        # as scikit-learn begins, which learns faster in the first epochs
                nn.init.xavier_uniform_(layer.weight)
        return module

    def _make_optimizer(self, parameters):
        if callable(self.optimizer) and not isinstance(self.optimizer, type):      # a class would have its own rate
            return self.optimizer(parameters)
        nesterov = self.nesterovs_momentum and self.momentum > 0
        optimizers = {"adam": (optim.Adam, {}), "adamw": (optim.AdamW, {}), "rmsprop": (optim.RMSprop, {}),
                      "sgd": (optim.SGD, {"momentum": self.momentum, "nesterov": nesterov})}
        kind, options = _chosen("optimizer", self.optimizer, optimizers,
                                "such as functools.partial(mt.optim.Adam, lr=0.01)")
        return kind(parameters, lr=self.learning_rate_init, weight_decay=self.weight_decay, **options)

    def _make_scheduler(self, optimizer, batches):
        schedules = {
            "constant": lambda: None,
            "adaptive": lambda: optim.lr_scheduler.ReduceLROnPlateau(
                optimizer, factor=0.2, patience=1, threshold=self.tol, threshold_mode="abs"),
            "cosine": lambda: optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=self.max_iter),
            "one_cycle": lambda: optim.lr_scheduler.OneCycleLR(
                optimizer, self.learning_rate_init, epochs=self.max_iter, steps_per_epoch=batches,
                cycle_momentum=bool(optimizer.defaults.keys() & {"momentum", "betas"})),
        }
        if callable(self.learning_rate):
            return self.learning_rate(optimizer)
        return _chosen("learning_rate", self.learning_rate, schedules,
                       "of the optimizer (the rate itself is learning_rate_init)")()

    def _make_batches(self, part, loss, training):
        targets = loss.joined(self._scaled(part.targets), part.weight)
        n = len(targets)
        size = min(200, n) if self.batch_size == "auto" else min(checked_count("batch_size", self.batch_size), n)
        # Batch normalisation cannot train on a batch of one.
        normalised = any(isinstance(layer, nn.BatchNorm1d) for layer in self.module_.modules())
        return DataLoader(_Dataset(part.inputs, targets), size, shuffle=training and self.shuffle,
                          drop_last=training and normalised and n % size == 1)

    def _train(self, train, val, epochs, new_optimizer):
        """Train the net that is there, or a copy of it if it has learnt already; write down how it went."""
        weighted = any(part is not None and part.weight is not None for part in (train, val))
        loss = _MeanLoss(self._loss_function(), self.n_outputs_, train.targets.ndim == 1, weighted)
        if self.n_iter_:
            self.module_, self.optimizer_ = copy.deepcopy((self.module_, self.optimizer_))
        if new_optimizer:
            self.optimizer_ = self._make_optimizer(self.module_.parameters())
        batches = self._make_batches(train, loss, training=True)
        measured = None if val is None else self._make_batches(val, loss, training=False)
        if self.early_stopping:
            stopping = [EarlyStopping(self.n_iter_no_change, min_delta=self.tol)]
        else:
            stopping = [] if self.learning_rate in _PLANNED else [self._stop_without_progress]
        with fork_rng(0) as generator:
            generator.set_state(self._generator_state)
            history = fit(self.module_, loss, self.optimizer_, batches, measured, epochs=epochs, clip=self.clip,
                          scheduler=self._make_scheduler(self.optimizer_, len(batches)),
                          metrics={} if val is None else {self._metric: self._measure(loss)},
                          callbacks=[*listed("callbacks", self.callbacks), *stopping], progress=bool(self.verbose))
            self._generator_state = generator.get_state()
        if not history.epochs and history.interrupted:
            raise KeyboardInterrupt
        if not history.epochs:
            raise ValueError(f"no epoch could be trained: {history.stopped}")
        self._write_down(history)
        return history

    def _stop_without_progress(self, training):
        """A callback: end a training after more than n_iter_no_change epochs none of which was the best by tol."""
        losses = np.array(training.history["loss"])
        better = np.flatnonzero(losses[1:] <= np.minimum.accumulate(losses)[:-1] - self.tol) + 1
        waited = len(losses) - 1 - (better[-1] if len(better) else 0)
        if waited > self.n_iter_no_change:
            training.stop(f"no loss of {waited} epochs was better by {self.tol} than all before it")

    def _measure(self, loss):
        """The score of outputs and targets, as a metric of mt.fit."""
        def measure(outputs, targets):
            targets, weight = loss.split(targets)
            return self._score(outputs.numpy(), targets.numpy(), None if weight is None else weight.numpy())

        return measure

    def _write_down(self, history):
        before, epochs = self.n_iter_, history.epochs
        self.history_ = {name: self.history_.get(name, [math.nan] * before) + history.get(name, [math.nan] * epochs)
                         for name in {**self.history_, **history}}
        self.n_iter_ = before + epochs
        self.loss_curve_ = self.history_["loss"]
        self.loss_ = self.loss_curve_[-1]
        self.validation_loss_curve_ = self.history_.get("val_loss")
        self.validation_scores_ = self.history_.get(f"val_{self._metric}")
        self.best_epoch_ = None if history.best_epoch is None else before + history.best_epoch
        curve = self.validation_loss_curve_ if self.early_stopping else self.loss_curve_
        self.best_loss_ = min(curve) if self.best_epoch_ is None else curve[self.best_epoch_ - 1]

    # -- what a subclass may say more precisely

    def _loss_function(self):
        if callable(self.loss) and not isinstance(self.loss, type):
            return self.loss
        return _chosen("loss", self.loss, self._losses(), "of (outputs, targets), such as nn.HuberLoss()")

    def _weighed(self, part, train):
        """A part with the weights that it counts by."""
        return part

    def _prepare(self, train):
        """Learn from the training part what does not change any more."""

    def _scaled(self, targets):
        """Targets as the net learns them."""
        return targets

    # -- prediction

    def _outputs(self, X):
        """What the net gives for inputs (N, features): an array (N, outputs) of float64."""
        check_is_fitted(self, "module_")
        with _quiet():
            X = validate_data(self, X, accept_sparse="csr", dtype=np.float32, reset=False)
        with no_grad():
            # A copy, as the module may write into its input.
            parts = [self.module_(from_numpy(_dense(X[start : start + _ROWS].copy()))).numpy()
                     for start in range(0, X.shape[0], _ROWS)]
        return np.concatenate(parts, dtype=np.float64)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _chosen(name, value, choices, function):
    """What a name stands for."""
    if not isinstance(value, (str, type(None))) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, or a function {function}, got "
                         f"{value!r}")
    return choices[value]


# -- the estimators ----------------------------------------------------------------------------------------------------


@dataclasses.dataclass(eq=False, repr=False)
class MLPClassifier(ClassifierMixin, _Perceptron):
    """A multilayer perceptron for classes, as an estimator of scikit-learn that ``mt.fit`` trains.

    Targets are class labels (N,) of any kind, or indicators (N, L) of several labels. Inputs should be standardised,
    as by StandardScaler; all is computed in float32. The same data, parameters and ``random_state`` give the same net
    on a machine, to the bit, alone or in parallel; NumPy's global stream and microtensor's default generator are left
    alone.

    Args:
        hidden_layer_sizes: the widths of the hidden layers, a sequence or an int.
        activation: a name that ``nn.mlp`` knows, such as "relu" or "gelu", or "logistic"; or a list, one per layer.
        batch_norm: normalise each hidden layer before its activation.
        dropout: the probability that a hidden activation is dropped in training; or a list, one per layer.
        optimizer: "adam", "adamw", "sgd" or "rmsprop"; or a function of the parameters that returns an Optimizer, which
            then has a learning rate, a momentum and a weight decay of its own.
        learning_rate: "constant"; "adaptive", divided by 5 when the loss (with a validation part, of that) has not
            become better by tol in two epochs; "cosine" and "one_cycle", which lead through all ``max_iter`` epochs, so
            that only early stopping ends them; or a function of the optimizer that returns a schedule.
        learning_rate_init: the learning rate at first; of "one_cycle", the highest.
        momentum, nesterovs_momentum: of "sgd".
        weight_decay: the factor of the L2 penalty; of "adamw", the share, times the rate, that a step takes off.
        clip: the largest norm of the gradient, or None.
        batch_size: the number of examples per step; "auto" is min(200, N).
        max_iter: the largest number of epochs.
        shuffle: a new order for each epoch.
        random_state: an int, a RandomState, or None for fresh entropy: of weights, split, order and dropout.
        tol, n_iter_no_change: training ends after more than so many epochs in a row none of which had a loss better by
            tol than all before it.
        early_stopping: go by the loss on a validation part instead, and put the weights of its best epoch back.
        validation_fraction: the size of that part, which is split off (stratified) unless ``fit`` is given one.
        verbose: show a bar, if tqdm is installed.
        warm_start: ``fit`` goes on with the net that is there, with a new optimizer; epochs are counted on.
        loss: None for cross-entropy (of labels, binary cross-entropy); or a function of (logits, class numbers), such
            as nn.CrossEntropyLoss(label_smoothing=0.1), which with weights must have reduction="none".
        module: a function of the numbers of features and outputs that returns the nn.Module to train, in place of a
            perceptron.
        callbacks: of ``mt.fit``, as a list.
        class_weight: a dict of factors by class, "balanced" for N / (C count), or None; they multiply sample weights.

    All of them are checked by ``fit``, and not before, so that searches can set them one by one.

    Attributes:
        classes_: the labels (C,), or the numbers of the columns (L,).
        n_features_in_, feature_names_in_, n_outputs_: what ``fit`` saw, and the number of logits.
        module_: the trained nn.Module, in evaluation mode. optimizer_: the optimizer.
        history_: a list per epoch of each quantity that ``mt.fit`` measures. n_iter_: the number of epochs.
        loss_curve_, validation_loss_curve_, validation_scores_: of each epoch, the last two (the scores are
            accuracies, in which weights count) None without a validation part.
        loss_, best_loss_: the last, and that of the best epoch (with early stopping, of validation_loss_curve_).
        best_epoch_: the epoch, counted from 1, whose weights were put back, or None.

    >>> from sklearn.datasets import load_wine
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> X, y = load_wine(return_X_y=True)
    >>> net = MLPClassifier((64, 32), dropout=0.1, learning_rate="one_cycle", learning_rate_init=0.01, max_iter=30,
    ...                     random_state=0)
    >>> pipeline = make_pipeline(StandardScaler(), net).fit(X[::2], y[::2])
    >>> pipeline.score(X[1::2], y[1::2]) > 0.9
    True

    Source: sklearn.neural_network.MLPClassifier; docs/differences.md has what differs, and why.
    """

    _: dataclasses.KW_ONLY
    class_weight: object = None
    _metric = "accuracy"

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Train for one epoch over what is given, with the net and the optimiser that are there, if any.

        Args:
            X, y, sample_weight: as for ``fit``.
            classes: all classes that will come, which the first call needs if y has no indicators.

        Returns:
            The estimator.

        Raises:
            ValueError, TypeError: as ``fit``; or if classes are missing, or others than before.
        """
        fresh = not hasattr(self, "module_")
        if self.class_weight == "balanced":
            raise ValueError("partial_fit does not see all the data that class_weight='balanced' goes by: pass a dict")
        if fresh and classes is None and not type_of_target(y).startswith("multilabel"):
            raise ValueError("the first call of partial_fit needs classes, all that will come")
        if not fresh and classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(f"partial_fit was called with classes {self.classes_} before, and now with "
                             f"{np.unique(classes)}: leave them out, or begin anew with a clone")
        return self._partial_fit(X, y, sample_weight, fresh, classes)

    def predict(self, X):
        """The most probable classes (N,); of multilabel targets, indicators (N, L) of those more probable than not."""
        outputs = self._outputs(X)
        return (outputs > 0).astype(np.int64) if self._multilabel else self.classes_[outputs.argmax(axis=1)]

    def predict_proba(self, X):
        """The probabilities (N, C) of the classes as in ``classes_``; of multilabel targets, of each label (N, L)."""
        outputs = self._outputs(X)
        return special.expit(outputs) if self._multilabel else special.softmax(outputs, axis=1)

    def predict_log_proba(self, X):
        """The logarithms of ``predict_proba``, which are finite however small a probability is."""
        outputs = self._outputs(X)
        return special.log_expit(outputs) if self._multilabel else special.log_softmax(outputs, axis=1)

    def _encoded(self, y, fresh, classes):
        """Class numbers (N,), or indicators (N, L)."""
        check_classification_targets(y)
        kind = type_of_target(y)
        if kind == "multiclass-multioutput":
            raise ValueError("y has several columns of classes, and a net has one softmax: wrap the estimator in "
                             "sklearn.multioutput.MultiOutputClassifier")
        multilabel = kind == "multilabel-indicator"
        if fresh:
            self.classes_ = np.arange(y.shape[1]) if multilabel else np.unique(y if classes is None else classes)
            self.n_outputs_ = len(self.classes_)
            self._multilabel = multilabel
        if (y.shape[1] if multilabel else 0) != (self.n_outputs_ if self._multilabel else 0):
            raise ValueError(f"y has the shape {y.shape}, and the net was trained for "
                             f"{f'{self.n_outputs_} labels' if self._multilabel else 'classes (N,)'}")
        if multilabel:
            return y
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise ValueError(f"y has the classes {unknown}, which are not among {self.classes_}")
        return np.searchsorted(self.classes_, y)

    def _weighed(self, part, train):
        if self.class_weight is None:
            return part
        if self._multilabel:
            raise ValueError("class_weight is for one class of several: for labels pass "
                             "loss=nn.BCEWithLogitsLoss(pos_weight=...)")
        factors = compute_class_weight(self.class_weight, classes=self.classes_, y=self.classes_[train.targets])
        if not np.isfinite(factors).all() or (factors < 0).any():
            raise ValueError(f"class_weight must have finite factors of at least 0, got {self.class_weight}")
        return part._replace(weight=factors[part.targets] * (1.0 if part.weight is None else part.weight))

    def _losses(self):
        return {None: nn.BCEWithLogitsLoss(reduction="none") if self._multilabel
                else nn.CrossEntropyLoss(reduction="none")}

    def _score(self, outputs, targets, weight):
        right = ((outputs > 0) == targets).all(axis=1) if self._multilabel else outputs.argmax(axis=1) == targets
        return np.average(right, weights=weight)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = tags.target_tags.multi_output = True
        return tags


@dataclasses.dataclass(eq=False, repr=False)
class MLPRegressor(RegressorMixin, _Perceptron):
    """A multilayer perceptron for numbers, as an estimator of scikit-learn that ``mt.fit`` trains.

    Targets are (N,) or (N, D). Parameters, attributes and promises are those of ``MLPClassifier``, with these others.

    Args:
        loss: "squared_error", "absolute_error", "huber" (delta 1), "poisson" (for counts, of which the net learns the
            logarithm of the mean); or a function of (outputs, targets), both (N, D).
        standardize_target: train on targets of mean 0 and deviation 1 (those of the training part, weighted), and
            bring predictions back, as otherwise many epochs only learn where the targets lie. Losses and ``tol`` are
            then in that unit. With "poisson" targets are divided by their mean.

    Attributes:
        validation_scores_: R^2 of each epoch.

    >>> from sklearn.datasets import make_regression
    >>> X, y = make_regression(n_samples=200, n_features=5, random_state=0)
    >>> net = MLPRegressor(learning_rate="cosine", learning_rate_init=0.01, max_iter=40, random_state=0)
    >>> net.fit(X[:150], y[:150]).score(X[150:], y[150:]) > 0.9
    True

    Source: sklearn.neural_network.MLPRegressor; docs/differences.md has what differs, and why.
    """

    _: dataclasses.KW_ONLY
    loss: object = "squared_error"
    standardize_target: bool = True
    _metric = "r2"

    def partial_fit(self, X, y, sample_weight=None):
        """Train for one epoch over what is given, with the net and the optimiser that are there, if any.

        With ``standardize_target``, mean and deviation of the targets are those of the first call.

        Args:
            X, y, sample_weight: as for ``fit``.

        Returns:
            The estimator.

        Raises:
            ValueError, TypeError: as ``fit``.
        """
        return self._partial_fit(X, y, sample_weight, fresh=not hasattr(self, "module_"))

    def predict(self, X):
        """The predicted numbers, (N,) or (N, D) as the targets were."""
        predicted = self._link(self._outputs(X)) * self._scale + self._location
        return predicted.ravel() if self._one_column else predicted

    def _encoded(self, y, fresh, classes):
        """Numbers (N, D)."""
        if fresh:
            self._one_column = y.ndim == 1
            self.n_outputs_ = 1 if self._one_column else y.shape[1]
        y = y.astype(np.float64).reshape(len(y), -1)
        if y.shape[1] != self.n_outputs_:
            raise ValueError(f"y has {y.shape[1]} columns, and the net was trained for {self.n_outputs_}")
        if self.loss == "poisson" and (y < 0).any():
            raise ValueError(f"y has negative numbers, from {y.min()} on, and loss='poisson' is for counts")
        return y

    def _prepare(self, train):
        """Where the targets lie, and how far they spread."""
        y, weight = train.targets, train.weight
        self._location, self._scale = np.zeros(y.shape[1]), np.ones(y.shape[1])
        if not self.standardize_target:
            return
        mean = np.average(y, axis=0, weights=weight)
        if self.loss == "poisson":      # e^output must stay positive: counts are only divided
            self._scale = np.where(mean > 0, mean, 1.0)
            return
        with _quiet():
            deviation = np.sqrt(np.average(np.square(y - mean), axis=0, weights=weight))
        _as_float32("y", deviation)
        constant = deviation <= 1e-13 * np.abs(mean)        # but for the rounding of the mean
        self._location, self._scale = mean, np.where(constant, 1.0, deviation)

    def _scaled(self, targets):
        return (targets - self._location) / self._scale

    def _link(self, outputs):
        return np.exp(outputs) if self.loss == "poisson" else outputs

    def _losses(self):
        return {"squared_error": nn.MSELoss(reduction="none"), "absolute_error": nn.L1Loss(reduction="none"),
                "huber": nn.HuberLoss(reduction="none"), "poisson": _poisson_loss}

    def _score(self, outputs, targets, weight):
        """R^2 as r2_score's, whose checks would take more time than the epoch of a small table."""
        def mean(numbers):
            return np.average(numbers, axis=0, weights=weight)

        targets = targets.astype(np.float64)
        residual, total = mean(np.square(targets - self._link(outputs))), mean(np.square(targets - mean(targets)))
        return np.mean(1 - np.divide(residual, total, out=(residual > 0).astype(np.float64), where=total > 0))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _poisson_loss(outputs, targets):
    """The negative log-likelihood of counts whose mean is e^output, without its constant, for each element."""
    return outputs.exp() - targets * outputs
