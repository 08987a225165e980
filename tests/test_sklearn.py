"""The estimators: scikit-learn's own checks, what each parameter does, and the tools that they must work in."""

import copy
import gc
import os
import pickle
import re
import signal
import subprocess
import sys
import weakref
from functools import partial
from unittest import mock

import numpy as np
import pytest

import microtensor as mt
from microtensor import nn, optim

pytest.importorskip("sklearn")
import sklearn.neural_network
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_diabetes, load_wine, make_multilabel_classification
from sklearn.ensemble import BaggingClassifier
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning
from sklearn.metrics import log_loss, r2_score
from sklearn.model_selection import GridSearchCV, cross_validate, train_test_split
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import compute_sample_weight, estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from microtensor.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
BOTH = pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])


@pytest.fixture(scope="module")
def wine():
    """Inputs (178, 13), standardised, and classes 0 to 2."""
    X, y = load_wine(return_X_y=True)
    return StandardScaler().fit_transform(X), y


@pytest.fixture(scope="module")
def diabetes():
    """Inputs (442, 10), standardised, and numbers from 25 to 346."""
    X, y = load_diabetes(return_X_y=True)
    return StandardScaler().fit_transform(X), y


def small(kind=MLPClassifier, **options):
    net = {} if "module" in options else {"hidden_layer_sizes": (16,)}
    return kind(**{"max_iter": 4, "random_state": 0, "batch_size": 32, "learning_rate_init": 0.01, **net, **options})


def data_for(kind, wine, diabetes):
    return wine if kind is MLPClassifier else diabetes


def weights(net):
    return [parameter.detach().numpy().copy() for parameter in net.module_.parameters()]


def assert_same(a, b):
    """Two fits of one result, to the bit."""
    assert all(np.array_equal(x, y) for x, y in zip(weights(a), weights(b), strict=True))
    assert a.history_ == b.history_


# -- scikit-learn's checks ---------------------------------------------------------------------------------------------


@parametrize_with_checks([MLPClassifier(max_iter=50), MLPRegressor(max_iter=50)])
def test_checks_of_scikit_learn_pass(estimator, check, monkeypatch):
    if check.func.__name__.startswith("check_sample_weight_equivalence"):
        # It compares to 1e-7, which is less than the distance of two float32. A weighted sum and one over repeated rows
        # are rounded differently, and what a net gives is a sum of 10 and then of 100 products: eps for each of them. A
        # few epochs only, as each adds its own; without the weights, 5 change the outputs by a tenth.
        estimator = clone(estimator).set_params(max_iter=5)
        close = partial(estimator_checks.assert_allclose_dense_sparse, rtol=110 * np.finfo(np.float32).eps)
        monkeypatch.setattr(estimator_checks, "assert_allclose_dense_sparse", close)
    check(estimator)


# -- the net -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("options", "kinds"), [
    ({"hidden_layer_sizes": ()}, ["Linear"]),
    ({"hidden_layer_sizes": 5}, ["Linear", "ReLU", "Linear"]),
    ({"hidden_layer_sizes": np.array([5, 4]), "activation": ["logistic", "gelu"]},
     ["Linear", "Sigmoid", "Linear", "GELU", "Linear"]),
    ({"activation": "logistic", "batch_norm": True}, ["Linear", "BatchNorm1d", "Sigmoid", "Linear"]),
    ({"hidden_layer_sizes": (5, 4), "dropout": [0.0, 0.5]}, ["Linear", "ReLU", "Linear", "ReLU", "Dropout", "Linear"]),
])
def test_net_has_the_layers_of_the_parameters(options, kinds, wine):
    net = small(**options).fit(*wine)
    assert [type(layer).__name__ for layer in net.module_] == kinds
    assert not any(layer.training for layer in net.module_.modules())


@BOTH
def test_module_takes_the_place_of_the_perceptron(kind, wine, diabetes):
    X, y = data_for(kind, wine, diabetes)
    net = small(kind, module=lambda features, outputs: nn.Sequential(nn.Linear(features, outputs))).fit(X, y)
    assert len(weights(net)) == 2 and weights(net)[0].shape == (net.n_outputs_, X.shape[1])


@pytest.mark.parametrize("shuffle", [True, False])
def test_batch_norm_never_trains_on_a_batch_of_one(shuffle, wine):
    X, y = wine         # 178 = 3 * 59 + 1
    seen = []
    net = small(batch_norm=True, batch_size=59, shuffle=shuffle)
    net.set_params(callbacks=[lambda training: seen.append((len(training.train), len(training.val)))])
    net.fit(X, y, X_val=X, y_val=y)
    assert seen == [(3, 4)] * 4


# -- optimisers and schedules ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("optimizer", "kind", "options"), [
    ("adam", optim.Adam, {"weight_decay": 0.1, "lr": 0.01}),
    ("adamw", optim.AdamW, {"weight_decay": 0.1}),
    ("rmsprop", optim.RMSprop, {"weight_decay": 0.1}),
    ("sgd", optim.SGD, {"momentum": 0.8, "nesterov": True, "weight_decay": 0.1}),
    (lambda parameters: optim.SGD(parameters, lr=0.5), optim.SGD, {"lr": 0.5, "momentum": 0}),
])
def test_optimizer_is_made_of_the_parameters(optimizer, kind, options, wine):
    net = small(optimizer=optimizer, momentum=0.8, weight_decay=0.1).fit(*wine)
    assert type(net.optimizer_) is kind
    assert {name: net.optimizer_.param_groups[0][name] for name in options} == options


def test_sgd_without_momentum_is_not_nesterov(wine):
    assert not small(optimizer="sgd", momentum=0).fit(*wine).optimizer_.param_groups[0]["nesterov"]


def test_schedules_set_the_learning_rate(wine):
    def rates(schedule, **options):
        return small(learning_rate=schedule, **options).fit(*wine).history_["lr"]

    assert rates("constant") == [0.01] * 4
    assert np.allclose(rates("cosine"), [0.005 * (1 + np.cos(np.pi * i / 4)) for i in range(4)])
    assert rates("adaptive", tol=100.0, max_iter=7) == pytest.approx([0.01] * 3 + [0.002] * 2 + [0.0004] * 2)
    one_cycle = rates("one_cycle", max_iter=20)
    assert 0.009 < max(one_cycle) <= 0.01 and one_cycle[-1] < 1e-5 and one_cycle[0] < one_cycle[3]
    assert rates(lambda optimizer: optim.lr_scheduler.ExponentialLR(optimizer, 0.5)) == [0.01, 0.005, 0.0025, 0.00125]
    assert len(rates("one_cycle", optimizer="rmsprop")) == 4


def test_clip_bounds_the_gradient(wine):
    free, clipped = (small(optimizer="sgd", clip=clip).fit(*wine) for clip in (None, 1e-3))
    start = small(optimizer="sgd", learning_rate_init=0.0, max_iter=1).fit(*wine)
    moved = [sum(np.abs(a - b).sum() for a, b in zip(weights(net), weights(start), strict=True))
             for net in (free, clipped)]
    assert moved[1] < moved[0] / 10


def test_one_batch_of_all_is_in_the_order_of_the_data_without_shuffle(wine):
    X, y = wine
    order = []

    class Watching(nn.Linear):
        def forward(self, input):
            order.append(input.detach().numpy()[:, 0].copy())
            return super().forward(input)

    small(shuffle=False, module=Watching, batch_size=50, max_iter=1).fit(X, y)
    assert np.array_equal(np.concatenate(order), X[:, 0].astype(np.float32)) and len(order) == 4
    order.clear()
    small(module=Watching, batch_size="auto", max_iter=1).fit(X, y)
    assert len(order) == 1 and not np.array_equal(order[0], X[:, 0].astype(np.float32))


def test_weights_begin_as_those_of_scikit_learn(wine):
    net = small(hidden_layer_sizes=(400,), learning_rate_init=0.0, max_iter=1).fit(*wine)
    for layer in (net.module_[0], net.module_[2]):
        bound = np.sqrt(6 / sum(layer.weight.shape))
        largest = abs(layer.weight.detach().numpy()).max()
        assert 0.99 * bound < largest <= bound


# -- losses ------------------------------------------------------------------------------------------------------------


def test_classifier_takes_a_loss(wine):
    plain, same, smooth = (small(loss=loss).fit(*wine) for loss in (
        None, nn.CrossEntropyLoss(), nn.CrossEntropyLoss(reduction="none", label_smoothing=0.2)))
    assert np.allclose(plain.loss_curve_, same.loss_curve_, rtol=1e-5)
    assert smooth.predict_proba(wine[0]).max() < plain.predict_proba(wine[0]).max()


@pytest.mark.parametrize(("name", "function"), [
    ("squared_error", lambda outputs, targets: ((outputs - targets) ** 2)),
    ("absolute_error", lambda outputs, targets: (outputs - targets).abs()[:, 0]),
    ("huber", nn.HuberLoss()),
])
def test_regressor_takes_a_loss_by_name_or_as_a_function(name, function, diabetes):
    named, own = (small(MLPRegressor, loss=loss).fit(*diabetes) for loss in (name, function))
    assert np.allclose(named.loss_curve_, own.loss_curve_, rtol=1e-4)
    assert small(MLPRegressor, loss=name, max_iter=30).fit(*diabetes).score(*diabetes) > 0.4


def test_poisson_predicts_the_mean_of_counts(rng):
    X = rng.uniform(-1, 1, (500, 1))
    y = rng.poisson(50 * np.exp(X[:, 0]))
    net = small(MLPRegressor, loss="poisson", max_iter=100).fit(X, y)
    assert np.allclose(net.predict(X), 50 * np.exp(X[:, 0]), rtol=0.1)
    assert (net.predict(100 * X) >= 0).all()
    plain = small(MLPRegressor, loss="poisson", standardize_target=False, max_iter=100).fit(X, y)
    assert np.allclose(plain.predict(X), 50 * np.exp(X[:, 0]), rtol=0.2)
    assert (small(MLPRegressor, loss="poisson").fit(X, 0 * y).predict(X) >= 0).all()


@pytest.mark.parametrize(("a", "b"), [(4.0, 0.0), (0.001, 5.0), (3e4, 1e6)])
def test_standardised_targets_make_a_fit_equivariant(a, b, diabetes):
    X, y = diabetes
    net, scaled = small(MLPRegressor).fit(X, y), small(MLPRegressor).fit(X, a * y + b)
    assert np.allclose(scaled.predict(X), a * net.predict(X) + b, rtol=1e-5)
    assert np.allclose(scaled.loss_curve_, net.loss_curve_, rtol=1e-5)


def test_weights_count_in_the_standardisation(diabetes):
    X, y = diabetes
    weight = np.where(y > 150, 1.0, 0.0)
    net = small(MLPRegressor, learning_rate_init=1e-9, tol=0.0).fit(X, y, sample_weight=weight)
    centre = np.average(net.predict(X), weights=weight)
    assert abs(centre - y[weight > 0].mean()) < y[weight > 0].std() < abs(centre - y[weight == 0].mean())


def test_targets_are_left_alone_without_standardisation(diabetes):
    X, y = diabetes
    net = small(MLPRegressor, standardize_target=False).fit(X, y)
    outputs = net.module_(mt.tensor(X, dtype=mt.float32)).detach().numpy()[:, 0]
    assert np.array_equal(net.predict(X), outputs.astype(np.float64))
    assert net.loss_curve_[0] > 1000


def test_constant_target_is_predicted(diabetes):
    X, _ = diabetes
    y = np.full((len(X), 2), [0.1, 1e9 / 3])
    assert np.allclose(small(MLPRegressor, max_iter=100).fit(X, y).predict(X), y, rtol=0, atol=0.1)


# -- weights -----------------------------------------------------------------------------------------------------------


def test_integer_weights_equal_repeated_rows(wine, diabetes):
    counts = np.arange(178) % 3
    for kind in (MLPClassifier, MLPRegressor):
        X, y = (part[:178] for part in data_for(kind, wine, diabetes))
        weighted, repeated = small(kind, batch_size=1000), small(kind, batch_size=1000)
        weighted.fit(X, y, sample_weight=counts)
        repeated.fit(np.repeat(X, counts, axis=0), np.repeat(y, counts, axis=0))
        assert np.allclose(weighted.loss_curve_, repeated.loss_curve_, rtol=1e-4)
        scale = np.abs(y).max()
        assert np.allclose(weighted.predict(X) / scale, repeated.predict(X) / scale, atol=1e-4)


@BOTH
def test_equal_weights_change_nothing(kind, wine, diabetes):
    X, y = data_for(kind, wine, diabetes)
    assert_same(small(kind).fit(X, y), small(kind).fit(X, y, sample_weight=np.ones(len(y))))
    assert_same(small(kind).fit(X, y), small(kind).fit(X, y, sample_weight=np.full(len(y), 2.0)))


def test_class_weights_equal_sample_weights(wine):
    X, y = wine
    factors = {0: 1.0, 1: 3.0, 2: 0.5}
    for weight in ("balanced", factors):
        by_class = small(class_weight=weight, early_stopping=True).fit(X, y)
        by_sample = small(early_stopping=True).fit(X, y, compute_sample_weight(weight, y))
        assert_same(by_class, by_sample)
    both = small(class_weight=factors).fit(X, y, sample_weight=np.arange(178.0))
    assert_same(both, small().fit(X, y, sample_weight=compute_sample_weight(factors, y) * np.arange(178)))


def test_class_weights_may_come_with_a_warm_start(wine):
    net = small(warm_start=True).fit(*wine).set_params(class_weight="balanced").fit(*wine)
    assert net.n_iter_ == 8


def test_class_weights_move_predictions_to_the_rare_class(rng):
    X, y = rng.normal(size=(600, 2)), np.arange(600) % 10 == 0
    X[y] += 0.7
    plain, balanced = (small(class_weight=weight, max_iter=20).fit(X, y) for weight in (None, "balanced"))
    assert balanced.predict(X).sum() > 3 * plain.predict(X).sum()


def test_weights_count_in_the_validation_curve(diabetes):
    X, y = diabetes
    net = small(MLPRegressor).fit(X[:300], y[:300], X_val=X[300:], y_val=y[300:], sample_weight_val=np.arange(142))
    error = np.average((net.predict(X[300:]) - y[300:]) ** 2, weights=np.arange(142)) / y[:300].var()
    assert net.validation_loss_curve_[-1] == pytest.approx(error, rel=1e-4)
    score = r2_score(y[300:], net.predict(X[300:]), sample_weight=np.arange(142))
    assert net.validation_scores_[-1] == pytest.approx(score, abs=1e-4)
    plain = small(MLPRegressor).fit(X[:300], y[:300])
    assert all(np.array_equal(a, b) for a, b in zip(weights(net), weights(plain), strict=True))
    assert plain.validation_loss_curve_ is None and plain.validation_scores_ is None


# -- how training ends -------------------------------------------------------------------------------------------------


def test_early_stopping_restores_the_best_epoch(wine):
    X, y = wine
    net = small(early_stopping=True, max_iter=300, n_iter_no_change=3, tol=1e-3).fit(X, y)
    assert net.best_epoch_ == net.n_iter_ - 3 < 300
    assert net.best_loss_ == net.validation_loss_curve_[net.best_epoch_ - 1] < min(net.validation_loss_curve_) + 1e-3
    _, X_val, _, y_val = train_test_split(X, y, test_size=0.1, stratify=y, random_state=0)
    given = small(early_stopping=True, max_iter=300, n_iter_no_change=3, tol=1e-3).fit(X, y, X_val=X_val, y_val=y_val)
    assert log_loss(y_val, given.predict_proba(X_val)) == pytest.approx(given.best_loss_, rel=1e-5)
    assert given.validation_scores_[given.best_epoch_ - 1] == given.score(X_val, y_val)


def test_training_ends_without_progress(wine):
    net = small(tol=0.5, n_iter_no_change=2, max_iter=100).fit(*wine)
    losses = net.loss_curve_
    assert net.n_iter_ < 20 and net.best_epoch_ is None and net.best_loss_ == min(losses)
    assert all(losses[i] > min(losses[:i]) - 0.5 for i in range(len(losses) - 3, len(losses)))
    assert small(tol=100.0, n_iter_no_change=2, max_iter=9, learning_rate="cosine").fit(*wine).n_iter_ == 9


@pytest.mark.parametrize(("tol", "patience"), [(100.0, 2), (100.0, 1), (0.0, 9)])
def test_training_ends_when_that_of_scikit_learn_does(tol, patience, wine):
    options = {"hidden_layer_sizes": (8,), "tol": tol, "n_iter_no_change": patience, "max_iter": 12, "random_state": 0}
    theirs = sklearn.neural_network.MLPClassifier(**options).fit(*wine)
    assert MLPClassifier(**options).fit(*wine).n_iter_ == theirs.n_iter_


def test_steps_below_tol_do_not_count_together(wine):
    net = small(tol=0.03, n_iter_no_change=10, max_iter=40, learning_rate_init=1e-4).fit(*wine)
    assert max(-np.diff(net.loss_curve_)) < 0.03 and net.n_iter_ == 12 and net.loss_ < net.loss_curve_[0] - 0.03


def test_validation_part_has_the_shares_of_all_classes(wine):
    X, y = wine         # 59, 71 and 48 of each class
    counts = []
    small(early_stopping=True, validation_fraction=0.25, max_iter=1, callbacks=[
        lambda training: counts.extend(np.bincount(training.val.dataset.targets.numpy()))]).fit(X, y)
    assert counts == [15, 18, 12]


def test_too_few_epochs_warn(wine):
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(4\) reached"):
        small().fit(*wine)


@pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")
def test_ended_training_does_not_warn(wine):
    small(tol=1.0, max_iter=50).fit(*wine)
    small(learning_rate="cosine").fit(*wine)
    small().partial_fit(*wine, classes=[0, 1, 2])


def diverging(epoch):
    """A callback that spoils the weights after an epoch."""
    def spoil(training):
        if training.epoch == epoch:
            with mt.no_grad():
                next(training.model.parameters()).fill_(3e38)

    return spoil


def test_numbers_that_are_not_finite_end_training(wine):
    with pytest.warns(RuntimeWarning, match="training stopped"):
        net = small(callbacks=[diverging(2)], max_iter=9).fit(*wine)
    assert net.n_iter_ == 2
    with pytest.warns(RuntimeWarning), pytest.raises(ValueError, match="no epoch could be trained: the loss became"):
        small(optimizer="sgd", learning_rate_init=1e30).fit(*wine)


def test_ctrl_c_keeps_the_last_epoch(wine):
    def interrupt(training):
        if training.epoch == 2:
            signal.raise_signal(signal.SIGINT)

    with pytest.warns(UserWarning, match="interrupted after 2 epochs"):
        net = small(callbacks=[interrupt]).fit(*wine)
    assert net.n_iter_ == 2 and net.predict(wine[0]).shape == (178,)

    class Interrupting(nn.Linear):
        def forward(self, input):
            raise KeyboardInterrupt

    net = small(module=Interrupting)
    with pytest.raises(KeyboardInterrupt):
        net.fit(*wine)
    assert not hasattr(net, "module_")


def test_ctrl_c_ends_a_loop_of_partial_fits(wine):
    net = small().fit(*wine)
    before = weights(net)
    net.set_params(callbacks=[lambda training: signal.raise_signal(signal.SIGINT)])
    with pytest.raises(KeyboardInterrupt):
        net.partial_fit(*wine)
    assert net.n_iter_ == 4
    assert all(np.array_equal(a, b) for a, b in zip(before, weights(net), strict=True))


def test_callbacks_are_called(wine):
    epochs = []
    small(callbacks=[lambda training: epochs.append(training.epoch)]).fit(*wine)
    assert epochs == [1, 2, 3, 4]
    stopping = mt.fitting.EarlyStopping(2, "val_accuracy", "max")
    X, y = wine
    net = small(callbacks=[stopping], max_iter=50).fit(X[::2], y[::2], X_val=X[1::2], y_val=y[1::2])
    assert net.validation_scores_[net.best_epoch_ - 1] == max(net.validation_scores_) == net.score(X[1::2], y[1::2])


def test_verbose_shows_a_bar(wine, capsys):
    pytest.importorskip("tqdm")
    small(verbose=True).fit(*wine)
    assert "epoch 4/4" in capsys.readouterr().err
    small().fit(*wine)
    assert capsys.readouterr().err == ""


# -- more than one call ------------------------------------------------------------------------------------------------


@BOTH
def test_partial_fit_is_fit_epoch_by_epoch(kind, wine, diabetes):
    X, y = data_for(kind, wine, diabetes)
    whole, parts = small(kind, dropout=0.2).fit(X, y), small(kind, dropout=0.2)
    for _ in range(4):
        parts.partial_fit(X, y, **({} if hasattr(parts, "module_") or kind is MLPRegressor else {"classes": [2, 1, 0]}))
    assert_same(whole, parts)
    assert parts.n_iter_ == 4


def test_warm_start_goes_on(wine):
    X, y = wine
    net = small(warm_start=True).fit(X, y, X_val=X, y_val=y)
    before, module, optimizer = weights(net), net.module_, net.optimizer_
    net.set_params(learning_rate_init=0.0, max_iter=2).fit(X, y)
    assert all(np.array_equal(a, b) for a, b in zip(before, weights(net), strict=True))
    assert net.n_iter_ == len(net.loss_curve_) == len(net.validation_loss_curve_) == 6
    assert np.isnan(net.validation_loss_curve_[4:]).all() and np.isfinite(net.validation_loss_curve_[:4]).all()
    assert net.module_ is not module and net.optimizer_ is not optimizer
    assert net.set_params(warm_start=False, learning_rate_init=0.01, max_iter=4).fit(X, y).n_iter_ == 4
    assert_same(net, small().fit(X, y))


@pytest.mark.parametrize("spoil", [
    lambda X, y: (X[:, :3], y),
    lambda X, y: (np.where(X > 2, np.nan, X), y),
    lambda X, y: (1e39 * X, y),
    lambda X, y: (X, y + 1),
    lambda X, y: (X, y[:-1]),
    lambda X, y: (X, np.eye(3, dtype=int)[y]),
])
def test_refused_fit_changes_nothing(spoil, wine):
    net = small(warm_start=True).fit(*wine)
    same, before = copy.deepcopy(net), dict(vars(net))
    with pytest.raises(ValueError):
        net.fit(*spoil(*wine))
    assert vars(net) == before and vars(net).keys() == before.keys()
    assert_same(net.fit(*wine), same.fit(*wine))


def test_exception_in_training_changes_nothing(wine):
    net = small(warm_start=True).fit(*wine)
    before, expected = weights(net), copy.deepcopy(net).fit(*wine)

    def fail(training):
        raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        net.set_params(callbacks=[fail]).fit(*wine)
    assert all(np.array_equal(a, b) for a, b in zip(before, weights(net), strict=True))
    assert_same(net.set_params(callbacks=()).fit(*wine), expected)
    fresh = small(callbacks=[fail])
    with pytest.raises(RuntimeError):
        fresh.fit(*wine)
    assert vars(fresh) == vars(small(callbacks=fresh.callbacks))


# -- data --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [sparse.csr_matrix, sparse.csc_array, sparse.coo_array])
@BOTH
def test_sparse_inputs_equal_dense_ones(make, kind, wine, diabetes):
    X, y = data_for(kind, wine, diabetes)
    X = np.where(X > 0, X, 0)
    dense, thin = (small(kind, early_stopping=True).fit(data, y) for data in (X, make(X)))
    assert_same(dense, thin)
    assert np.array_equal(dense.predict(X), thin.predict(make(X)))


def test_classes_may_be_strings(wine):
    X, y = wine
    names = np.array(["red", "white", "pink"])[y]
    net = small(max_iter=30).fit(X, names)
    assert list(net.classes_) == ["pink", "red", "white"] and net.score(X, names) > 0.95
    assert np.array_equal(net.classes_[net.predict_proba(X).argmax(axis=1)], net.predict(X))


def test_probabilities_are_sound(wine):
    X, y = wine
    net = small(max_iter=30).fit(X, y)
    probability = net.predict_proba(100 * X)
    assert probability.dtype == np.float64 and np.allclose(probability.sum(axis=1), 1, rtol=1e-12)
    assert np.isfinite(net.predict_log_proba(1e6 * X)).all()
    assert np.allclose(net.predict_log_proba(X), np.log(net.predict_proba(X)))


def test_several_labels():
    X, y = make_multilabel_classification(n_samples=300, n_classes=4, random_state=0)
    net = small(max_iter=40, early_stopping=True).fit(X, y)
    assert net.predict(X).shape == y.shape and np.array_equal(net.classes_, range(4)) and net.score(X, y) > 0.3
    assert np.array_equal(net.predict_proba(X) > 0.5, net.predict(X) == 1)
    assert np.allclose(net.predict_log_proba(X), np.log(net.predict_proba(X)))
    thin = small(max_iter=40, early_stopping=True).fit(X, sparse.csr_matrix(y))
    assert np.array_equal(thin.predict(X), net.predict(X))
    assert small().partial_fit(X, y).n_outputs_ == 4
    weighted = small(max_iter=10).fit(X, y, sample_weight=np.arange(300))
    assert weighted.predict(X).shape == y.shape


def test_several_numbers(diabetes):
    X, y = diabetes
    both = np.column_stack([y, 1e-3 * y - 7])
    net = small(MLPRegressor, max_iter=30).fit(X, both)
    assert net.predict(X).shape == both.shape and net.n_outputs_ == 2
    assert all(r2_score(both[:, i], net.predict(X)[:, i]) > 0.4 for i in (0, 1))
    assert small(MLPRegressor).fit(X, both[:, 0]).predict(X).shape == (442,)


def test_several_columns_of_classes_go_through_multi_output(wine):
    X, y = wine
    several = np.column_stack([y, (y + 1) % 3])
    with pytest.raises(ValueError, match="MultiOutputClassifier"):
        small().fit(X, several)
    assert MultiOutputClassifier(small(max_iter=20)).fit(X, several).score(X, several) > 0.9


@BOTH
def test_column_of_targets_warns(kind, wine, diabetes):
    X, y = data_for(kind, wine, diabetes)
    with pytest.warns(DataConversionWarning):
        net = small(kind).fit(X, y.reshape(-1, 1))
    assert_same(net, small(kind).fit(X, y))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_any_layout_of_inputs_is_taken_and_left_alone(order, dtype, wine):
    X, y = (10 * wine[0]).astype(dtype, order=order), wine[1]
    X.flags.writeable = False
    assert_same(small().fit(X, y), small().fit(np.array(X, np.float32), y))
    assert np.array_equal(small().fit(X, y).predict(X[::-1])[::-1], small().fit(X, y).predict(X))


def test_prediction_in_batches_equals_few_by_few_and_one_by_one(rng, wine):
    """To the bit from five rows on. Fewer are summed in another order, with (13 + 2) + (16 + 2) roundings at most.

    Those are of the terms, which may be some times as large as the sum: eight.
    """
    net = small().fit(*wine)
    X = rng.normal(size=(2500, 13))
    together = net.predict_proba(X)[1020:1030]
    few, alone = (np.concatenate([net.predict_proba(X[i : i + rows]) for i in range(1020, 1030, rows)])
                  for rows in (5, 1))
    assert np.array_equal(together, few)
    np.testing.assert_allclose(together, alone, rtol=8 * 33 * np.finfo(np.float32).eps)


def test_module_that_writes_into_its_input_leaves_the_data_alone(wine):
    class Writing(nn.Linear):
        def forward(self, input):
            input[:, 0] = 0.0
            return super().forward(input)

    X, y = wine[0].astype(np.float32), wine[1]
    before = X.copy()
    net = small(module=Writing).fit(X, y, X_val=X, y_val=y)
    net.predict(X)
    assert np.array_equal(X, before)


@BOTH
def test_fitted_estimator_holds_no_data(kind, wine, diabetes):
    X, y = (part.copy() for part in data_for(kind, wine, diabetes))
    net, holders = small(kind, early_stopping=True).fit(X, y), [weakref.ref(X), weakref.ref(y)]
    net.predict(X)
    del X, y
    gc.collect()
    assert [holder() for holder in holders] == [None, None]
    # Three float32 numbers for each weight: itself and Adam's two moments.
    assert len(pickle.dumps(net)) < 12 * sum(array.size for array in weights(net)) + 8000


def test_single_class_is_predicted(wine):
    X, _ = wine
    net = small(early_stopping=True).fit(X, np.full(178, 5))
    assert (net.predict(X) == 5).all() and (net.predict_proba(X) == 1).all()


def test_one_example_is_trained_on_and_measured(diabetes):
    X, y = diabetes
    net = small(MLPRegressor).fit(X[:1], y[:1], X_val=X, y_val=y)
    assert net.validation_scores_[-1] == pytest.approx(net.score(X, y), abs=1e-6)


@pytest.mark.parametrize("weighted", [False, True])
def test_regression_scores_are_those_of_scikit_learn(weighted, rng):
    X = rng.normal(size=(60, 3)).astype(np.float32)
    y = np.column_stack([X[:, 0], np.full(60, 0.5), X[:, 1] + 100])
    weight = rng.integers(3, size=60) if weighted else None
    net = small(MLPRegressor).fit(X, y, X_val=X, y_val=y, sample_weight_val=weight)
    score = r2_score(y, net.predict(X), sample_weight=weight)
    assert net.validation_scores_[-1] == pytest.approx(score, abs=1e-5)


@pytest.mark.parametrize("make", [
    lambda y: y == 1,
    lambda y: y.astype(float),
    lambda y: np.array(["red", "white", "pink"], object)[y],
    lambda y: [np.str_(number) for number in y],
    lambda y: pytest.importorskip("pandas").Categorical(np.array(["red", "white", "pink"])[y]),
    lambda y: pytest.importorskip("pandas").Series(y, dtype="Int64"),
])
def test_any_kind_of_labels_is_predicted_as_it_came(make, wine):
    X, y = wine[0], make(wine[1])
    net = small(max_iter=30).fit(X, y)
    assert set(net.predict(X)) <= set(y) and net.score(X, np.asarray(y)) > 0.9


# -- random numbers ----------------------------------------------------------------------------------------------------


def test_same_seed_gives_the_same_net(wine):
    assert_same(small(dropout=0.1).fit(*wine), small(dropout=0.1).fit(*wine))
    assert_same(small(random_state=np.random.RandomState(5)).fit(*wine),
                small(random_state=np.random.RandomState(5)).fit(*wine))
    different = [weights(small(random_state=seed).fit(*wine))[0] for seed in (0, 1, None, None)]
    assert len({array.tobytes() for array in different}) == 4


def test_outer_random_streams_are_left_alone(wine):
    X, y = wine
    streams = np.random.get_state()[1].copy(), mt.default_generator().get_state()
    for seed in (0, None, np.random.RandomState(0)):
        net = small(random_state=seed, dropout=0.2, early_stopping=True).fit(X, y)
        net.predict(X)
        small(random_state=seed).partial_fit(X, y, classes=[0, 1, 2])
    assert np.array_equal(np.random.get_state()[1], streams[0]) and mt.default_generator().get_state() == streams[1]


def test_number_of_threads_changes_no_bit(rng):
    """Wide enough that products, sums and the norm of the gradient are shared among threads."""
    X, y = rng.normal(size=(1500, 64)), rng.integers(10, size=1500)
    threads, nets = mt.get_num_threads(), []
    try:
        for number in (1, 2, 3):
            mt.set_num_threads(number)
            nets.append(small(hidden_layer_sizes=(400, 400), batch_norm=True, batch_size=700, clip=0.1, dropout=0.1,
                              early_stopping=True).fit(X, y))
    finally:
        mt.set_num_threads(threads)
    assert_same(nets[0], nets[1])
    assert_same(nets[0], nets[2])


def test_process_changes_no_bit(wine):
    """Neither the order of sets nor the threads of a library that another process has."""
    code = """
import warnings
warnings.simplefilter("ignore")
from sklearn.datasets import load_wine
from sklearn.preprocessing import StandardScaler
from microtensor.sklearn import MLPClassifier
X, y = load_wine(return_X_y=True)
X = StandardScaler().fit_transform(X)
labels = [("red", "white", "pink")[i] for i in y]
print(MLPClassifier((300, 16), dropout=0.1, early_stopping=True, max_iter=4, random_state=0).fit(X, labels).loss_curve_)
"""
    found = {subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                            env={**os.environ, "PYTHONHASHSEED": number, "OMP_NUM_THREADS": number,
                                 "OPENBLAS_NUM_THREADS": number}).stdout for number in ("1", "2")}
    assert len(found) == 1 and found.pop().startswith("[")


# -- scikit-learn's tools ----------------------------------------------------------------------------------------------


@BOTH
def test_copies_predict_alike(kind, wine, diabetes):
    X, y = data_for(kind, wine, diabetes)
    net = small(kind).fit(X, y)
    for other in (pickle.loads(pickle.dumps(net)), copy.deepcopy(net)):
        assert np.array_equal(other.predict(X), net.predict(X))
        assert_same(other.partial_fit(X, y), copy.deepcopy(net).partial_fit(X, y))
    assert not hasattr(clone(net), "module_") and clone(net).get_params() == net.get_params()


def search(X, y, **options):
    """The table of scores of a search."""
    grid = {"mlpclassifier__dropout": [0.0, 0.3], "mlpclassifier__hidden_layer_sizes": [(8,), (128, 64)]}
    found = GridSearchCV(make_pipeline(StandardScaler(), small()), grid, cv=3, error_score="raise", **options).fit(X, y)
    return {name: column.tolist() for name, column in found.cv_results_.items() if name.endswith("test_score")}


def test_search_in_parallel_has_the_same_scores(wine):
    joblib = pytest.importorskip("joblib")
    expected = search(*wine)
    assert search(*wine, n_jobs=2) == expected
    with joblib.parallel_config("threading", n_jobs=2):
        assert search(*wine) == expected


def test_search_on_dask_has_the_same_scores(wine):
    joblib, distributed = pytest.importorskip("joblib"), pytest.importorskip("distributed")
    with (mock.patch.dict(os.environ),      # in which dask leaves OMP_NUM_THREADS=1, for later tests' processes, too
          distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
          distributed.Client(cluster), joblib.parallel_config("dask")):
        found = search(*wine)
    assert found == search(*wine)


def test_tools_take_the_estimators(wine):
    X, y = wine
    scores = cross_validate(small(max_iter=20), X, y, params={"sample_weight": np.ones(178)}, n_jobs=2)
    assert scores["test_score"].mean() > 0.9
    bagging = BaggingClassifier(small(max_iter=20), n_estimators=3, random_state=0).fit(X, y)
    assert bagging.score(X, y) > 0.9
    calibrated = CalibratedClassifierCV(small(max_iter=20), cv=3).fit(X, y)
    assert calibrated.predict_proba(X).shape == (178, 3) and calibrated.score(X, y) > 0.9


def test_search_takes_memory_maps_that_cannot_be_written(rng):
    """joblib gives its processes arrays of more than a megabyte so."""
    X = rng.normal(size=(20000, 20)).astype(np.float32)
    y = X[:, 0] > 0
    scores = [GridSearchCV(small(max_iter=2, batch_size=500), {"dropout": [0.0, 0.1]}, cv=2, n_jobs=jobs,
                           error_score="raise").fit(X, y).cv_results_["mean_test_score"].tolist() for jobs in (1, 2)]
    assert scores[0] == scores[1]


def test_weights_are_routed(wine):
    X, y = wine
    weight = np.arange(178.0)
    with config_context(enable_metadata_routing=True):
        routed = make_pipeline(StandardScaler().set_fit_request(sample_weight=False),
                               small().set_fit_request(sample_weight=True)).fit(X, y, sample_weight=weight)
    assert_same(routed[-1], small().fit(routed[0].transform(X), y, sample_weight=weight))


def test_pipeline_of_tables(wine):
    pandas = pytest.importorskip("pandas")
    X, y = wine
    table = pandas.DataFrame(X, columns=[f"column {i}" for i in range(13)])
    pipeline = make_pipeline(StandardScaler(), small(max_iter=20)).set_output(transform="pandas").fit(table, y)
    assert list(pipeline[-1].feature_names_in_) == list(table.columns) and pipeline.score(table, y) > 0.9
    net = small().fit(table, pandas.Series(y, name="kind"))
    with pytest.raises(ValueError, match="feature names"):
        net.predict(table[table.columns[::-1]])
    assert not hasattr(net.fit(X, y), "feature_names_in_")


# -- wrong arguments ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("options", "message"), [
    ({"optimizer": "lbfgs"}, "optimizer must be one of 'adam', 'adamw', 'rmsprop', 'sgd', or a function"),
    ({"learning_rate": "invscaling"}, "learning_rate must be one of 'constant', 'adaptive', 'cosine', 'one_cycle', or"),
    ({"loss": "hinge"}, "loss must be one of None, or a function"),
    ({"loss": nn.CrossEntropyLoss}, "loss must be one of None, or a function"),
    ({"loss": lambda outputs, targets: 1.0}, "loss must return a tensor, got a float"),
    ({"loss": nn.CrossEntropyLoss(), "class_weight": "balanced"}, "^loss returns one number for a batch"),
    ({"activation": "swish"}, "there is no activation 'swish'"),
    ({"activation": ["relu", "relu"]}, "activation has 2 values for 1 hidden layers"),
    ({"dropout": 1.0}, "dropout is a probability"),
    ({"hidden_layer_sizes": (0,)}, "a width must be at least 1"),
    ({"activation": np.array(["relu"])}, "there is no activation"),
    ({"dropout": "0.1"}, "dropout must be a number"),
    ({"momentum": "nesterov"}, "momentum must be a number"),
    ({"early_stopping": "no"}, "early_stopping must be True or False"),
    ({"warm_start": 1}, "warm_start must be True or False"),
    ({"nesterovs_momentum": None}, "nesterovs_momentum must be True or False"),
    ({"early_stopping": True, "validation_fraction": 5}, "validation_fraction must be above 0 and below 1, got 5"),
    ({"validation_fraction": 0.0}, "validation_fraction must be above 0 and below 1, got 0.0"),
    ({"class_weight": {0: -1.0}}, "class_weight must have finite factors of at least 0"),
    ({"class_weight": {0: np.nan}}, "class_weight must have finite factors of at least 0"),
    ({"batch_size": 0}, "batch_size must be at least 1"),
    ({"batch_size": "all"}, "batch_size must be"),
    ({"max_iter": 0}, "max_iter must be at least 1"),
    ({"n_iter_no_change": 0}, "n_iter_no_change must be at least 1"),
    ({"tol": -1.0}, "tol must be at least 0"),
    ({"learning_rate_init": -1.0}, "lr must be at least 0"),
    ({"clip": 0.0}, "clip is the largest norm"),
    ({"early_stopping": True, "validation_fraction": 0.001}, "test_size"),
    ({"module": lambda features, outputs: None}, "module must be a function"),
    ({"module": nn.Linear(13, 3)}, "module must be a function"),
    ({"module": nn.Linear, "dropout": 0.5}, "dropout=0.5 is for the perceptron, and module= makes another net"),
    ({"module": nn.Linear, "hidden_layer_sizes": [8]}, r"hidden_layer_sizes=\[8\] is for the perceptron"),
    ({"optimizer": optim.Adam}, "optimizer must be one of .*, got <class"),
    ({"module": lambda features, outputs: nn.Linear(features, 7)}, r"outputs of shape \(32, 3\)"),
    ({"optimizer": lambda parameters: "adam"}, "optimizer must be"),
    ({"callbacks": print}, "callbacks must be"),
])
def test_wrong_parameters_are_refused_in_fit(options, message, wine):
    net = small(**options)
    with pytest.raises((ValueError, TypeError), match=message):
        net.fit(*wine)
    assert not hasattr(net, "module_") and not hasattr(net, "n_features_in_")


def test_data_that_do_not_fit_are_refused(wine):
    X, y = wine
    rows = np.arange(178)
    held_out = train_test_split(rows, test_size=0.1, random_state=0)[1][0]
    for message, call in {
        "are zero": lambda: small().fit(X, y, sample_weight=np.zeros(178)),
        "all 18 weights of": lambda: small(early_stopping=True).fit(X, y, sample_weight=rows == 5),
        "all 160 weights of": lambda: small(MLPRegressor, early_stopping=True).fit(X, y, rows == held_out),
        "egative": lambda: small().fit(X, y, sample_weight=-np.ones(178)),
        r"the shape \(177,\), and \(178,\)": lambda: small().fit(X, y, sample_weight=np.ones(177)),
        r"the shape \(178, 1\), and \(178,\)": lambda: small().fit(X, y, sample_weight=np.ones((178, 1))),
        # The second sentence is that of scikit-learn 1.6.
        r"too few members are: \['rare'\]|least populated class in y has only 1 member":
            lambda: small(early_stopping=True).fit(X, np.where(rows, "often", "rare")),
        "standardize_target must be": lambda: small(MLPRegressor, standardize_target="no").fit(X, y),
        "both X_val and y_val": lambda: small().fit(X, y, X_val=X),
        "no sample_weight_val": lambda: small().fit(X, y, sample_weight_val=np.ones(178)),
        "too large": lambda: small(MLPRegressor, standardize_target=False).fit(X, np.where(y == 0, 1e300, 0)),
        "too large for": lambda: small(MLPRegressor).fit(X, np.where(y == 0, 1e300, 0)),
        "negative numbers": lambda: small(MLPRegressor, loss="poisson").fit(X, y - 1.0),
        'reduction="none"': lambda: small(loss=nn.CrossEntropyLoss()).fit(X, y, sample_weight=1.0 + y),
        "needs classes": lambda: small().partial_fit(X, y),
        "class_weight='balanced'": lambda: small(class_weight="balanced").partial_fit(X, y, [0, 1, 2]),
        "no last epoch": lambda: small(early_stopping=True).partial_fit(X, y, [0, 1, 2]),
        "learning_rate='constant'": lambda: small(learning_rate="cosine").partial_fit(X, y, [0, 1, 2]),
        "was called with classes": lambda: small().fit(X, y).partial_fit(X, y, [0, 1]),
        r"classes \[2\], which are not": lambda: small().partial_fit(X, y, [0, 1]),
        "pos_weight": lambda: small(class_weight="balanced").fit(X, np.eye(3, dtype=int)[y]),
        "has 2 columns": lambda: small(MLPRegressor).fit(X, y).partial_fit(X, np.column_stack([y, y])),
        "has 1 example, and at least 2": lambda: small(MLPRegressor, early_stopping=True).fit(X[:9], y[:9]),
        "Unknown label type": lambda: small().fit(X, y + 0.5),
        "has 1 example, and": lambda: small(MLPRegressor).fit(X, y, X_val=X[:1], y_val=y[:1]),
    }.items():
        with pytest.raises((ValueError, TypeError)) as caught:
            call()
        assert re.search(message, str(caught.value))


def test_missing_scikit_learn_says_what_to_install():
    code = """
import sys
sys.modules["sklearn"] = None
import microtensor
try:
    import microtensor.sklearn
except ImportError as error:
    print(error)
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.stdout == ("microtensor.sklearn needs scikit-learn 1.6 or newer, and it is missing, older or "
                              "broken: pip install 'microtensor[sklearn]'\n")


def test_import_of_microtensor_leaves_scikit_learn_alone():
    code = "import sys, microtensor; print('sklearn' in sys.modules, 'microtensor.sklearn' in sys.modules)"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.stdout == "False False\n"
