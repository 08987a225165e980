import contextlib
import csv
import importlib.util
import math
import os
import random
import re
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

try:
    import resource
except ImportError:         # Windows
    resource = None

import microtensor as mt
from microtensor import nn, optim
from microtensor.data import DataLoader, Sampler, Subset, TensorDataset
from microtensor.fitting import Checkpoint, CSVLogger, EarlyStopping
from microtensor.fitting.state import generators
from microtensor.fitting.training import VERSION
from microtensor.nn.functional import cross_entropy
from microtensor.optim import lr_scheduler

CHECKPOINTS = Path(__file__).parent / "checkpoints"
SILENT = {"progress": False}


def make(seed=0, n=40, **options):
    """A small classifier with all that has a state of its own, and its data, ready for fit."""
    mt.manual_seed(seed)
    x = mt.randn(n, 3)
    y = (x.sum(1) > 0).long()
    model = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 2))
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    parts = {
        "model": model,
        "loss": nn.CrossEntropyLoss(),
        "optimizer": optimizer,
        "train": DataLoader(TensorDataset(x[:30], y[:30]), 8, shuffle=True),
        "val": DataLoader(TensorDataset(x[30:], y[30:]), 4),
        "epochs": 3,
        **SILENT,
    }
    return {**parts, **options}


def bits(module):
    return {name: tensor.numpy().tobytes() for name, tensor in module.state_dict().items()}


class After:
    """A callback that calls a function when some number of batches, through all epochs, are done."""

    def __init__(self, batches, function):
        self.batches = batches
        self.function = function
        self.seen = 0

    def __call__(self, training):
        pass

    def after_batch(self, training):
        self.seen += 1
        if self.seen == self.batches:
            self.function(training)


def interrupt(training):
    raise KeyboardInterrupt


# -- the loop ----------------------------------------------------------------------------------------------------------


def test_fit_is_the_loop_that_one_writes():
    parts = make()
    model, optimizer, loader = parts["model"], parts["optimizer"], parts["train"]
    for _ in range(3):
        model.train()
        for x, y in loader:
            loss = cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
    expected = bits(model)
    parts = make(clip=0.5)
    mt.fit(**parts)
    assert bits(parts["model"]) == expected
    assert not parts["model"].training


def test_history_has_every_quantity():
    parts = make(metrics={"rate": mt.metrics.accuracy}, clip=0.1)
    history = mt.fit(**parts)
    assert list(history) == ["loss", "rate", "val_loss", "val_rate", "lr", "grad_norm"]
    assert all(len(column) == 3 for column in history.values()) and history.epochs == 3
    assert history["lr"] == [0.01] * 3
    assert min(history["grad_norm"]) > 0.1          # before clipping
    assert history.stopped is None and history.best_epoch is None
    assert not history.interrupted and not history.diverged
    assert history.last() == {name: column[-1] for name, column in history.items()}
    measured = mt.evaluate(parts["model"], parts["loss"], parts["val"], parts["metrics"])
    assert measured == {"loss": history["val_loss"][-1], "rate": history["val_rate"][-1]}


def test_loss_of_training_counts_every_example_once():
    """Batches of 8, 8, 8 and 6, a model that does not learn: the mean over all 30, and no mean of four means."""
    parts = make(val=None, epochs=1)
    parts["model"] = model = nn.Sequential(nn.Linear(3, 2))
    parts["optimizer"] = optim.SGD(model.parameters(), lr=0.0)
    history = mt.fit(**parts)
    expected = mt.evaluate(model, parts["loss"], DataLoader(parts["train"].dataset, 30))["loss"]
    assert history["loss"] == [pytest.approx(expected, rel=1e-6)]       # 30 roundings of float32


def test_metrics_see_all_outputs_at_once():
    seen = []

    def largest(outputs, targets):
        seen.append((outputs.shape, targets.shape, outputs.requires_grad))
        return float(outputs.numpy().max())

    mt.fit(**make(metrics=[largest], epochs=1))
    assert seen == [((10, 2), (10,), False), ((30, 2), (30,), False)]       # validation, training


def test_evaluate_computes_the_loss_once():
    """A weighted mean is not the mean of the batches' weighted means."""
    mt.manual_seed(0)
    outputs, targets = mt.randn(7, 3), mt.tensor([0, 0, 0, 1, 2, 2, 1])
    loss = nn.CrossEntropyLoss(weight=mt.tensor([1.0, 5.0, 0.5]))
    found = mt.evaluate(nn.Identity(), loss, DataLoader(TensorDataset(outputs, targets), 3))
    assert found == {"loss": loss(outputs, targets).item()}


def test_evaluate_leaves_every_mode_as_it_was():
    parts = make()
    model = parts["model"].train()
    model[1].eval()
    mt.evaluate(model, parts["loss"], parts["val"])
    assert [module.training for module in model] == [True, False, True, True, True]


def test_fit_leaves_frozen_layers_in_evaluation_mode():
    parts = make()
    parts["model"][1].requires_grad_(False).eval()
    before = parts["model"][1].running_mean.tolist()
    mt.fit(**parts)
    assert parts["model"][1].running_mean.tolist() == before
    mt.fit(**parts)         # now all of the model is in evaluation mode, and is put into training mode
    assert parts["model"][1].running_mean.tolist() != before


def test_fit_takes_several_inputs():
    class Add(nn.Module):
        def __init__(self):
            self.first, self.second = nn.Linear(2, 1), nn.Linear(3, 1)

        def forward(self, a, b):
            return self.first(a) + self.second(b)

    mt.manual_seed(0)
    a, b = mt.randn(20, 2), mt.randn(20, 3)
    model = Add()
    data = DataLoader(TensorDataset(a, b, a.sum(1, keepdim=True) - b.sum(1, keepdim=True)), 5)
    history = mt.fit(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1), data, data, epochs=80,
                     metrics=[mt.metrics.r2], **SILENT)
    assert history["val_loss"][-1] < 1e-6 and history["val_r2"][-1] > 0.999


def test_scheduler_is_stepped_after_each_epoch():
    parts = make()
    parts["scheduler"] = lr_scheduler.StepLR(parts["optimizer"], 1, gamma=0.1)
    assert mt.fit(**parts)["lr"] == pytest.approx([1e-2, 1e-3, 1e-4])


def test_scheduler_of_batches_is_stepped_after_each():
    parts = make(epochs=2)
    parts["scheduler"] = schedule = lr_scheduler.OneCycleLR(parts["optimizer"], 0.1, total_steps=8)
    rates = []
    parts["callbacks"] = [After(1, lambda training: rates.append(schedule.last_epoch))]
    mt.fit(**parts)
    assert schedule.last_epoch == 8 and rates == [1]


def test_scheduler_on_plateau_gets_the_loss_on_validation_data():
    parts = make(epochs=4)
    parts["optimizer"] = optim.SGD(parts["model"].parameters(), lr=1e-12)      # nothing moves but batch norm's averages
    parts["scheduler"] = lr_scheduler.ReduceLROnPlateau(parts["optimizer"], threshold=10.0, threshold_mode="abs",
                                                        patience=0, factor=0.5, eps=0.0)
    assert mt.fit(**parts)["lr"] == [1e-12, 1e-12, 5e-13, 2.5e-13]


def test_progress_bar_shows_what_was_measured(capsys):
    parts = make(metrics=[mt.metrics.accuracy], progress=True)
    history = mt.fit(**parts)
    shown = capsys.readouterr().err
    assert "epoch 3/3" in shown
    assert f"val_accuracy {history['val_accuracy'][-1]:.4g}" in shown


def test_fit_needs_no_tqdm(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert mt.fit(**make(progress=True)).epochs == 3
    assert capsys.readouterr().err == ""


# -- metrics -----------------------------------------------------------------------------------------------------------


def test_accuracy_of_one_logit():
    outputs = mt.tensor([[2.0], [-1.0], [0.5]])
    assert mt.metrics.accuracy(outputs, mt.tensor([[1.0], [0.0], [0.0]])) == pytest.approx(2 / 3)


@pytest.mark.parametrize("metric", [mt.metrics.accuracy, mt.metrics.r2])
def test_metric_refuses_shapes_that_do_not_fit(metric):
    with pytest.raises(ValueError, match=r"\(3, 1\) and \(3,\)|\(3, 1\) and \(4,\)"):
        metric(mt.zeros(3, 1), mt.zeros(3 if metric is mt.metrics.r2 else 4))


def test_r2_of_equal_targets_is_1_or_0():
    ones = mt.ones(4)
    assert mt.metrics.r2(ones, ones) == 1.0 and mt.metrics.r2(mt.tensor([1.0, 1.0, 1.0, 2.0]), ones) == 0.0


def test_accuracy_refuses_targets_that_are_no_classes():
    with pytest.raises(ValueError, match=r"needs targets 0 and 1, got numbers from -1.0 to 1.0"):
        mt.metrics.accuracy(mt.tensor([1.0, -1.0]), mt.tensor([1.0, -1.0]))
    with pytest.raises(ValueError, match=r"got \(4, 1\) and \(4,\)"):
        mt.metrics.accuracy(mt.full((4, 1), 5.0), mt.ones(4))


def test_r2_counts_columns_alike():
    rng = np.random.default_rng(0)
    targets, outputs = rng.normal(size=(2, 50, 3)) * [1, 10, 100]
    expected = np.mean([1 - ((t - y) ** 2).sum() / ((t - t.mean()) ** 2).sum()
                        for t, y in zip(targets.T, outputs.T, strict=True)])
    assert mt.metrics.r2(mt.from_numpy(outputs), mt.from_numpy(targets)) == pytest.approx(expected, rel=1e-12)


# -- how it ends -------------------------------------------------------------------------------------------------------


def test_ctrl_c_keeps_the_last_whole_epoch():
    expected = make(epochs=2)
    mt.fit(**expected)
    parts = make(epochs=5, callbacks=[After(2 * 4 + 3, interrupt)])
    history = mt.fit(**parts)
    assert history.interrupted and history.stopped == "interrupted in epoch 3" and history.epochs == 2
    assert not history.diverged
    assert bits(parts["model"]) == bits(expected["model"])
    state, kept = parts["optimizer"].state_dict()["state"], expected["optimizer"].state_dict()["state"]
    assert all(np.array_equal(state[i]["exp_avg"].numpy(), kept[i]["exp_avg"].numpy()) for i in kept)


@pytest.mark.parametrize(("where", "value"), [("inputs", math.nan), ("targets", math.inf)])
def test_data_that_are_not_finite_are_named(where, value):
    mt.manual_seed(0)
    x, y = mt.randn(12, 2), mt.randn(12, 1)
    (x if where == "inputs" else y)[7, 0] = value
    model = nn.Linear(2, 1)
    before = bits(model)
    data = DataLoader(TensorDataset(x, y), 5)
    with pytest.warns(RuntimeWarning, match="training stopped: .* the model is as it was before training"):
        history = mt.fit(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1), data, epochs=2, **SILENT)
    count = "1 of 10 numbers" if where == "inputs" else "1 of 5 numbers"
    assert history.stopped.endswith(f"in epoch 1, batch 2 of 3, whose {where} hold {count} that are not finite")
    assert history.epochs == 0 and history.diverged and bits(model) == before


def test_training_that_diverges_keeps_the_last_whole_epoch():
    parts = make(val=None, epochs=9)
    parts["optimizer"] = optim.SGD(parts["model"].parameters(), lr=0.1)
    kept = []

    def explode(training):
        kept.append(bits(training.model))
        if training.epoch == 2:
            training.optimizer.param_groups[0]["lr"] = 1e38
    with pytest.warns(RuntimeWarning, match="at the end of epoch 2"):
        history = mt.fit(**parts, callbacks=[explode])
    assert "try a smaller learning rate" in history.stopped and "in epoch 3, batch" in history.stopped
    assert history.epochs == 2 and history.diverged and bits(parts["model"]) == kept[-1]


def test_validation_that_is_not_finite_stops():
    parts = make()
    parts["val"] = DataLoader(TensorDataset(mt.full((4, 3), math.nan), mt.zeros(4, dtype=mt.int64)), 2)
    parts["val"].dataset.tensors[0][:2] = 0.0
    text = "validation data became nan in epoch 1, batch 2 of 2, whose inputs hold 6 of 6"
    with pytest.warns(RuntimeWarning, match=text):
        assert mt.fit(**parts).epochs == 0


def test_exception_of_a_callback_loses_nothing(tmp_path):
    def broken(training):
        if training.epoch == 2:
            raise ZeroDivisionError("mine")

    expected = make(epochs=2)
    mt.fit(**expected)
    parts = make(callbacks=[broken, CSVLogger(tmp_path / "log.csv")])
    with pytest.raises(ZeroDivisionError, match="mine"):
        mt.fit(**parts)
    assert bits(parts["model"]) == bits(expected["model"])
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 1 + 2


def test_weights_that_are_not_finite_after_the_last_step_are_not_kept(tmp_path):
    """The loss and the gradient of the step were finite; a checkpoint is not overwritten by what came of it."""
    model = nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(1e10)
    data = DataLoader(TensorDataset(mt.ones(4, 1), mt.zeros(4, 1)), 4)
    text = "weight holds numbers that are not finite after epoch 1: .* before training"
    with pytest.warns(RuntimeWarning, match=text):
        history = mt.fit(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=1e30), data, epochs=1, **SILENT,
                         callbacks=[Checkpoint(tmp_path / "run.npz")])
    assert history.epochs == 0 and model.weight.item() == pytest.approx(1e10) and not os.listdir(tmp_path)


def test_learning_rate_set_by_hand_survives_ctrl_c_and_resume(tmp_path):
    def halve(training):
        training.optimizer.param_groups[0]["lr"] *= 0.5

    def parts(epochs, *callbacks, **options):
        found = make(epochs=epochs, callbacks=[halve, *callbacks], **options)
        return {**found, "scheduler": lr_scheduler.StepLR(found["optimizer"], 100)}

    file = tmp_path / "run.npz"
    whole = parts(4)
    expected = mt.fit(**whole)
    broken = parts(4, Checkpoint(file), After(2 * 4 + 2, interrupt))
    mt.fit(**broken)
    assert broken["optimizer"].param_groups[0]["lr"] == 0.005       # and not the schedule's, 0.01
    resumed = parts(4, Checkpoint(file), resume=file)
    assert mt.fit(**resumed) == expected and bits(resumed["model"]) == bits(whole["model"])


def test_parameters_that_a_callback_adds_are_clipped_and_let_go():
    """Unfreezing: Ctrl-C after it comes back to the end of the epoch, with both groups."""
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    parts = make(model=model, optimizer=optim.SGD(model[1].parameters(), lr=1.0, momentum=0.5), clip=1e-3, epochs=3)
    kept = []

    def unfreeze(training):
        kept.append(bits(model))
        if training.epoch == 1:
            training.optimizer.add_param_group({"params": list(model[0].parameters())})
    history = mt.fit(**parts, callbacks=[unfreeze, After(2 * 4 + 2, interrupt)])
    assert history.epochs == 2 and bits(model) == kept[1] and len(parts["optimizer"].param_groups) == 2
    first, second = (np.frombuffer(state["0.weight"], np.float32) for state in kept)
    assert 0 < np.linalg.norm(second - first) <= 4 * 1.001e-3      # four steps of lr 1, each of norm 1e-3 at most


@pytest.mark.parametrize("end", [interrupt, lambda training: training.loss_sum.nothing])
def test_training_resumed_in_mid_epoch_comes_back_to_a_whole_one(tmp_path, end):
    file = tmp_path / "run.npz"
    expected = make(epochs=1)
    mt.fit(**expected)
    mt.fit(**make(callbacks=[Checkpoint(file, seconds=0), After(6, interrupt)]))
    parts = make(resume=file, callbacks=[Checkpoint(tmp_path / "b.npz"), After(1, end)])
    with contextlib.suppress(AttributeError):
        mt.fit(**parts)
    assert bits(parts["model"]) == bits(expected["model"])


def test_resume_with_fewer_epochs_ends_at_a_whole_one(tmp_path):
    file = tmp_path / "run.npz"
    expected = make(epochs=1)
    mt.fit(**expected)
    mt.fit(**make(callbacks=[Checkpoint(file, seconds=0), After(6, interrupt)]))
    parts = make(resume=file, epochs=1)
    assert mt.fit(**parts).epochs == 1 and bits(parts["model"]) == bits(expected["model"])


def test_same_call_goes_on_after_ctrl_c(tmp_path):
    """As in a notebook, where the schedule and the learning rate have moved by then."""
    def parts(*callbacks):
        found = make(epochs=5, callbacks=[Checkpoint(tmp_path / "run.npz"), *callbacks], resume=tmp_path / "run.npz")
        return {**found, "scheduler": lr_scheduler.CosineAnnealingLR(found["optimizer"], 5)}

    whole = {**parts(), "callbacks": [], "resume": None}
    expected = mt.fit(**whole)
    again = parts(After(10, interrupt))
    assert mt.fit(**again).epochs == 2
    again["callbacks"].pop()
    assert mt.fit(**again) == expected and bits(again["model"]) == bits(whole["model"])


def test_what_forward_and_callbacks_change_comes_back(tmp_path):
    """Buffers that grow, counters, a probability and frozen layers: after Ctrl-C, and in a resumed training."""
    class Grows(nn.Module):
        def __init__(self):
            self.linear, self.drop = nn.Linear(3, 2), nn.Dropout(0.1)
            self.steps = 0
            self.register_buffer("last", None, persistent=False)

        def forward(self, x):
            y = self.drop(self.linear(x))
            if self.training:
                self.last = y.detach() if self.last is None else mt.cat([self.last, y.detach()])
                self.steps += 1
            return y + 0.01 * self.steps * self.last.mean()

    def change(training):
        training.model.drop.p += 0.1

    def parts(**options):
        mt.manual_seed(1)
        model = Grows()
        return make(model=model, optimizer=optim.SGD(model.parameters(), lr=0.1), epochs=4, **options)

    file = tmp_path / "run.npz"
    whole = parts(callbacks=[change])
    expected = mt.fit(**whole)
    broken = parts(callbacks=[change, EarlyStopping(9), Checkpoint(file, seconds=0), After(2 * 4 + 2, interrupt)])
    assert mt.fit(**broken).epochs == 2
    assert broken["model"].drop.p == pytest.approx(0.3) and broken["model"].steps == 8
    resumed = parts(callbacks=[change, EarlyStopping(9), Checkpoint(file)], resume=file)
    assert mt.fit(**resumed) == expected and resumed["model"].steps == 16


def test_one_loader_for_both_parts_and_generators_of_any_object_are_resumed(tmp_path):
    class Noise:
        def __init__(self, dataset, seed):
            self.dataset, self.generator = dataset, mt.Generator(seed)

        def __len__(self):
            return len(self.dataset)

        def __getitem__(self, i):
            x, y = self.dataset[i]
            return x + mt.randn(3, generator=self.generator), y

    class Rolled(Sampler):
        def __init__(self, n):
            self.n, self.streams = n, {"own": mt.Generator(3)}

        def __len__(self):
            return self.n

        def __iter__(self):
            return iter(np.roll(np.arange(self.n), self.streams["own"].numpy.integers(self.n)))

    def parts(**options):
        found = make(epochs=4, **options)
        loader = DataLoader(Noise(Noise(found["train"].dataset, 1), 2), 8, sampler=Rolled(30))
        return {**found, "train": loader, "val": loader}

    file = tmp_path / "run.npz"
    whole = parts()
    expected = mt.fit(**whole)
    mt.fit(**parts(callbacks=[Checkpoint(file, seconds=0), After(2 * 4 + 2, interrupt)]))
    resumed = parts(callbacks=[Checkpoint(file)], resume=file)
    assert mt.fit(**resumed) == expected and bits(resumed["model"]) == bits(whole["model"])


def test_generators_are_found_at_the_end_of_a_long_chain_and_not_in_modules():
    class Link:
        next = None

    first = last = Link()
    for _ in range(10_000):
        last.next = Link()
        last = last.next
    last.generator, last.back, last.module = mt.Generator(1), first, sys.modules[__name__]
    assert list(generators({"train": first}).values()) == [last.generator]


def test_memory_that_is_used_again_is_copied():
    class Refilled:
        x, y = mt.zeros(4, 1), mt.zeros(4, 1)

        def __len__(self):
            return 3

        def __iter__(self):
            for number in range(3):
                self.x.data.fill_(number)
                yield self.x, self.y

    assert mt.evaluate(nn.Identity(), nn.MSELoss(), Refilled())["loss"] == pytest.approx(5 / 3)


def test_resume_with_fewer_epochs_leaves_the_loader_at_a_whole_pass(tmp_path):
    file = tmp_path / "run.npz"
    mt.fit(**make(callbacks=[Checkpoint(file, seconds=0), After(6, interrupt)]))
    parts = make(resume=file, epochs=1)
    mt.fit(**parts)
    assert len(list(parts["train"])) == 4


def test_stop_within_an_epoch_is_resumed_to_its_end(tmp_path):
    file = tmp_path / "run.npz"
    stop = After(2, lambda training: training.stop("enough"))
    mt.fit(**make(callbacks=[stop, Checkpoint(file, seconds=0), After(3, interrupt)]))
    history = mt.fit(**make(callbacks=[Checkpoint(file)], resume=file))
    assert history.epochs == 1 and history.stopped == "enough"


def test_pass_that_a_callback_begins_is_not_the_trainings(tmp_path):
    file = tmp_path / "run.npz"

    def peek(training):
        next(iter(training.train))
        next(iter(training.val))

    whole = make(epochs=4, callbacks=[peek, After(6, peek)])
    expected = mt.fit(**whole)
    mt.fit(**make(epochs=4, callbacks=[peek, After(6, peek), Checkpoint(file, seconds=0), After(7, interrupt)]))
    parts = make(epochs=4, callbacks=[peek, Checkpoint(file)], resume=file)
    assert mt.fit(**parts) == expected and bits(parts["model"]) == bits(whole["model"])


def test_generators_and_switches_of_all_parts_are_in_the_checkpoint(tmp_path):
    """A loss with Dropout, generators in a list, buffers that are not persistent, what a callback has frozen."""
    class Noisy(nn.Module):
        def __init__(self):
            self.inner = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Linear(8, 2))
            self.generators = [mt.Generator(4)]
            self.register_buffer("calls", mt.zeros(1), persistent=False)

        def forward(self, x):
            self.calls += 0.01
            return self.inner(x) + self.calls * mt.randn(len(x), 2, generator=self.generators[0])

    class Loss(nn.Module):
        def __init__(self):
            self.drop = nn.Dropout(0.3, generator=mt.Generator(5))

        def forward(self, outputs, targets):
            return cross_entropy(self.drop(outputs), targets)

    def freeze(training):
        if training.epoch == 1:
            training.model.inner[1].requires_grad_(False).eval()

    def parts(**options):
        mt.manual_seed(0)
        model = Noisy()
        return make(model=model, loss=Loss(), optimizer=optim.Adam(model.parameters(), lr=0.01), epochs=4, **options)

    file = tmp_path / "run.npz"
    whole = parts(callbacks=[freeze])
    expected = mt.fit(**whole)
    mt.fit(**parts(callbacks=[freeze, Checkpoint(file, seconds=0), After(2 * 4 + 2, interrupt)]))
    resumed = parts(callbacks=[Checkpoint(file)], resume=file)
    assert mt.fit(**resumed) == expected and bits(resumed["model"]) == bits(whole["model"])
    mt.evaluate(whole["model"], whole["loss"], whole["val"])
    assert whole["loss"].drop.training


def test_parameters_in_read_only_memory_are_left_alone(tmp_path):
    """A table that is mapped from a file, say: it can be neither trained nor restored, and need not be."""
    table = np.ones((3, 3), np.float32)
    table.flags.writeable = False

    class Mapped(nn.Module):
        def __init__(self):
            self.table = nn.Parameter(mt.from_numpy(table), requires_grad=False)
            self.head = nn.Linear(3, 2)

        def forward(self, x):
            return self.head(x @ self.table)

    model = Mapped()
    parts = make(model=model, optimizer=optim.SGD(model.head.parameters(), lr=0.1),
                 callbacks=[EarlyStopping(), Checkpoint(tmp_path / "run.npz"), After(6, interrupt)])
    assert mt.fit(**parts).interrupted
    assert "table" not in mt.load(tmp_path / "run.npz")["model"]


def test_every_finish_is_called_whatever_the_others_raise():
    class Broken:
        def __call__(self, training):
            pass

        def finish(self, training):
            raise OSError("mine")

    parts, best = make(epochs=3), []

    def worse_and_worse(training):
        training.history["val_loss"][-1] = training.epoch
        best.append(bits(training.model))
    with pytest.raises(OSError, match="mine"):
        mt.fit(**parts, callbacks=[Broken(), worse_and_worse, EarlyStopping(9)])
    assert bits(parts["model"]) == best[0] and not parts["model"].training


def test_column_of_a_callback_is_its_own_affair(tmp_path):
    file = tmp_path / "run.npz"

    def remember(training):
        if training.epoch > 1:
            training.history.setdefault("mine", []).append("a string")
    callbacks = [remember, CSVLogger(tmp_path / "log.csv"), Checkpoint(file)]
    mt.fit(**make(callbacks=callbacks, epochs=2))
    history = mt.fit(**make(callbacks=callbacks, resume=file))
    assert history.epochs == 3 and history["mine"] == ["a string"]
    if importlib.util.find_spec("matplotlib"):
        assert [axes.get_title() for axes in history.plot().axes if axes.get_visible()][1] == "learning rate"


def test_stop_ends_after_the_epoch():
    history = mt.fit(**make(callbacks=[lambda training: training.stop("enough")]))
    assert history.epochs == 1 and history.stopped == "enough"


# -- early stopping ----------------------------------------------------------------------------------------------------


def monitored(values, **options):
    """The history where validation losses are as given, and whether the weights are those of the best epoch."""
    parts = make(epochs=len(values))
    weights = []

    def pretend(training):
        weights.append(bits(training.model))
        training.history["val_loss"][-1] = values[training.epoch - 1]
    history = mt.fit(**parts, callbacks=[pretend, EarlyStopping(**options)])
    return history, bits(parts["model"]) == weights[history.best_epoch - 1]


@pytest.mark.parametrize(
    ("values", "options", "epochs", "best"),
    [
        ([5, 3, 4, 3.5, 2], {"patience": 2}, 4, 2),
        ([5, 3, 4, 3.5, 2], {"patience": 3}, 5, 5),
        ([5, 3, 4, 3.5, 2], {"patience": 2, "mode": "max"}, 3, 1),
        ([5, 4.9, 4.8, 1], {"patience": 2, "min_delta": 0.5}, 3, 1),
        ([5, math.nan, 4, 6], {"patience": 9}, 4, 3),
        ([5, 4, 3], {"patience": 1}, 3, 3),
    ],
)
def test_early_stopping_waits_and_puts_the_best_weights_back(values, options, epochs, best):
    history, is_best = monitored(values, **options)
    assert (history.epochs, history.best_epoch) == (epochs, best) and is_best
    assert (history.stopped is None) == (epochs == len(values))
    if history.stopped:
        assert history.stopped == f"no better val_loss in {options['patience']} epochs"


def raise_error(training):
    raise ArithmeticError


@pytest.mark.parametrize("end", [interrupt, raise_error])
def test_best_weights_are_put_back_however_the_training_ends(end):
    parts, best = make(epochs=5), []

    def worse_and_worse(training):
        training.history["val_loss"][-1] = training.epoch
        best.append(bits(training.model))
    callbacks = [worse_and_worse, EarlyStopping(patience=9), After(3 * 4 + 1, end)]
    if end is interrupt:
        assert mt.fit(**parts, callbacks=callbacks).best_epoch == 1
    else:
        with pytest.raises(ArithmeticError):
            mt.fit(**parts, callbacks=callbacks)
    assert bits(parts["model"]) == best[0]


def test_early_stopping_begins_anew_in_another_training():
    stopping = EarlyStopping(patience=5)
    mt.fit(**make(callbacks=[stopping]))
    other = make(seed=1, callbacks=[stopping], epochs=1)
    assert mt.fit(**other).best_epoch == 1


# -- tables and figures ------------------------------------------------------------------------------------------------


def test_csv_has_a_row_for_every_epoch(tmp_path):
    history = mt.fit(**make(callbacks=[CSVLogger(tmp_path / "log.csv")]))
    with open(tmp_path / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert all([float(row[name]) for row in rows] == column for name, column in history.items())


def test_csv_of_a_resumed_training_is_that_of_one_without_a_break(tmp_path):
    mt.fit(**make(callbacks=[CSVLogger(tmp_path / "whole.csv")]))
    callbacks = [Checkpoint(tmp_path / "run.npz"), CSVLogger(tmp_path / "log.csv")]
    mt.fit(**make(callbacks=[*callbacks, After(2 * 4 + 2, interrupt)]))
    mt.fit(**make(callbacks=callbacks, resume=tmp_path / "run.npz"))
    assert (tmp_path / "log.csv").read_text() == (tmp_path / "whole.csv").read_text()


def test_history_draws_itself(tmp_path):
    pytest.importorskip("matplotlib")
    history = mt.fit(**make(metrics=[mt.metrics.accuracy], callbacks=[EarlyStopping()]))
    figure = history.plot(tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    titles = [axes.get_title() for axes in figure.axes if axes.get_visible()]
    assert titles == ["loss", "accuracy", "learning rate", "largest norm of the gradient"]
    assert [line.get_ydata().tolist() for line in figure.axes[0].lines[:2]] == [history["loss"], history["val_loss"]]


def test_history_without_an_epoch_refuses_to_be_drawn():
    with pytest.raises(ValueError, match="no epoch has finished"):
        mt.fitting.History(["loss"]).plot()


# -- checkpoints -------------------------------------------------------------------------------------------------------

OPTIMIZERS = {
    "SGD": lambda p: optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "Adam": lambda p: optim.Adam(p, lr=0.01, amsgrad=True),
    "AdamW": lambda p: optim.AdamW(p, lr=0.01),
    "RMSprop": lambda p: optim.RMSprop(p, lr=0.01, centered=True, momentum=0.5),
}
STEPS = 10 * 4      # of a training of make(epochs=10)
SCHEDULES = {
    "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, 10),
    "ExponentialLR": lambda o: lr_scheduler.ExponentialLR(o, 0.9),
    "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, lambda epoch: 1 / (1 + epoch)),
    "LinearLR": lambda o: lr_scheduler.LinearLR(o, total_iters=6),
    "MultiStepLR": lambda o: lr_scheduler.MultiStepLR(o, [3, 7]),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, 0.02, total_steps=STEPS),
    "ReduceLROnPlateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=0, threshold=0.1),
    "SequentialLR": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.LinearLR(o, total_iters=3), lr_scheduler.CosineAnnealingLR(o, 7)], [3]),
    "StepLR": lambda o: lr_scheduler.StepLR(o, 3),
}


def public(module, base):
    return {name for name, value in vars(module).items()
            if isinstance(value, type) and issubclass(value, base) and value is not base}


def test_every_optimizer_and_schedule_is_resumed():
    assert set(OPTIMIZERS) == public(optim, optim.Optimizer)
    assert set(SCHEDULES) == public(lr_scheduler, lr_scheduler.LRScheduler)


def prepared(optimizer, schedule, **options):
    parts = make(epochs=10, metrics=[mt.metrics.accuracy])
    parts["optimizer"] = OPTIMIZERS[optimizer](parts["model"].parameters())
    parts["scheduler"] = SCHEDULES[schedule](parts["optimizer"])
    parts["train"].sampler.generator = mt.Generator(5)
    parts["model"][3].generator = mt.Generator(6)
    return {**parts, **options}


def outcome(parts, history, path):
    """All that a training leaves, as the bytes of a file."""
    state = {"model": parts["model"].state_dict(), "optimizer": parts["optimizer"].state_dict(),
             "scheduler": parts["scheduler"].state_dict(), "history": dict(history), "next": mt.rand(3)}
    mt.save(state, path)
    return path.read_bytes()


PAIRS = [(optimizer, schedule) for optimizer in OPTIMIZERS for schedule in SCHEDULES]


@pytest.mark.parametrize(("optimizer", "schedule"), PAIRS)
def test_resumed_training_equals_one_without_a_break_bit_for_bit(tmp_path, optimizer, schedule):
    parts = prepared(optimizer, schedule, callbacks=[EarlyStopping(99)])
    expected = outcome(parts, mt.fit(**parts), tmp_path / "whole.npz")
    file = tmp_path / "run.npz"
    stop = random.Random(optimizer + schedule).randrange(1, STEPS)      # in the middle of an epoch, three times of four
    callbacks = [EarlyStopping(99), Checkpoint(file, seconds=0), After(stop, interrupt)]
    mt.fit(**prepared(optimizer, schedule, callbacks=callbacks))
    mt.manual_seed(99)
    parts = prepared(optimizer, schedule, resume=file, callbacks=[EarlyStopping(99), Checkpoint(file, every=99)])
    assert outcome(parts, mt.fit(**parts), tmp_path / "resumed.npz") == expected, f"interrupted after {stop} batches"


KILLED = """
import sys
sys.path.insert(0, {folder!r})
from test_fitting import Checkpoint, EarlyStopping, Path, mt, outcome, prepared

class Tell:
    def __call__(self, training):
        pass

    def after_batch(self, training):
        print(training.epoch, training.batch, flush=True)

parts = prepared({optimizer!r}, {schedule!r}, resume="run.npz",
                 callbacks=[EarlyStopping(99), Checkpoint("run.npz", seconds=0), Tell()])
outcome(parts, mt.fit(**parts), Path("ended.npz"))
"""


@pytest.mark.thorough
@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
@pytest.mark.parametrize(("optimizer", "schedule"), PAIRS)
def test_training_killed_at_a_random_moment_ends_with_the_same_bits(tmp_path, optimizer, schedule):
    """It is killed (kill -9) a random time after a random batch, which may be while a file is written."""
    parts = prepared(optimizer, schedule, callbacks=[EarlyStopping(99)])
    expected = outcome(parts, mt.fit(**parts), tmp_path / "whole.npz")
    stream = random.Random(f"{optimizer} {schedule}")
    code = KILLED.format(folder=str(Path(__file__).parent), optimizer=optimizer, schedule=schedule)
    command = [sys.executable, "-c", code]
    batch, wait = stream.randrange(1, STEPS - 4), stream.uniform(0, 0.005)
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    for _ in range(batch):
        assert process.stdout.readline()
    time.sleep(wait)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL and not (tmp_path / "ended.npz").exists()
    state = mt.load(tmp_path / "run.npz")
    done = 4 * len(state["history"]["loss"]) + state["counts"]["batch"]
    assert done >= batch - 1        # told before it is written
    resumed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert len(resumed.stdout.splitlines()) == STEPS - done
    assert (tmp_path / "ended.npz").read_bytes() == expected, f"killed {1e3 * wait:.1f} ms after batch {batch}"


def test_resume_of_a_finished_training_changes_nothing(tmp_path):
    file = tmp_path / "run.npz"
    parts = make(callbacks=[EarlyStopping(1), Checkpoint(file)])
    history = mt.fit(**parts)
    again = make(callbacks=[EarlyStopping(1), Checkpoint(file)], resume=file)
    assert mt.fit(**again) == history
    assert bits(again["model"]) == bits(parts["model"])


def test_resume_trains_on_for_more_epochs(tmp_path):
    file = tmp_path / "run.npz"
    expected = make(epochs=5)
    mt.fit(**expected)
    mt.fit(**make(epochs=3, callbacks=[Checkpoint(file)]))
    parts = make(epochs=5, resume=file)
    assert mt.fit(**parts).epochs == 5
    assert bits(parts["model"]) == bits(expected["model"])


@pytest.mark.parametrize("version", range(1, VERSION + 1))
def test_checkpoint_of_every_version_is_resumed(version):
    """A file of each is kept, in the middle of epoch 3; written by `python tests/test_fitting.py tests/checkpoints`."""
    file = CHECKPOINTS / f"v{version}.npz"
    state = mt.load(file)
    assert state["version"] == version and len(state["history"]["loss"]) == 2 and state["counts"]["batch"] == 2
    parts = prepared("Adam", "ReduceLROnPlateau", resume=file, callbacks=[EarlyStopping(99)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)         # it comes from another machine
        history = mt.fit(**parts)
    assert history.epochs == 10 and {name: column[:2] for name, column in history.items()} == state["history"]
    assert history["loss"][-1] < history["loss"][0]


def write_checkpoint(folder):
    """The checkpoint of today's version for tests/checkpoints."""
    callbacks = [EarlyStopping(99), Checkpoint(Path(folder, f"v{VERSION}.npz"), seconds=0), After(2 * 4 + 3, interrupt)]
    mt.fit(**prepared("Adam", "ReduceLROnPlateau", callbacks=callbacks))


def test_resume_without_a_file_begins_if_it_will_be_written(tmp_path):
    file = tmp_path / "none.npz"
    with pytest.raises(FileNotFoundError, match=r"no checkpoint '.*none\.npz' to resume, and no Checkpoint among the"):
        mt.fit(**make(resume=file, callbacks=[Checkpoint(tmp_path / "other.npz")]))
    assert mt.fit(**make(resume=file, callbacks=[Checkpoint(file)])).epochs == 3


def test_checkpoint_comes_after_what_it_keeps(tmp_path):
    """Wherever it is in the list, it holds what EarlyStopping knows after the same epoch."""
    file = tmp_path / "run.npz"
    mt.fit(**make(epochs=1, callbacks=[Checkpoint(file), EarlyStopping()]))
    assert mt.load(file)["callbacks"][0]["best"][1] == 1


@pytest.mark.parametrize("every", [1, 2, 3])
def test_checkpoint_is_written_after_every_so_many_epochs_and_the_last(tmp_path, every):
    written = []

    class Watch(Checkpoint):
        def write_file(self, training):
            written.append(training.epoch)

    mt.fit(**make(epochs=5, callbacks=[Watch(tmp_path / "run.npz", every=every)]))
    assert written == {1: [1, 2, 3, 4, 5], 2: [2, 4, 5], 3: [3, 5]}[every]


def test_resume_says_what_may_change_the_last_digits(tmp_path):
    file = tmp_path / "run.npz"
    mt.fit(**make(epochs=1, callbacks=[Checkpoint(file)]))
    state = mt.load(file)
    state["environment"] |= {"NumPy": "1.0", "threads": 77}
    mt.save(state, file)
    text = f"written with NumPy 1.0, now {np.__version__}; threads 77, now "
    with pytest.warns(RuntimeWarning, match=text):
        assert mt.fit(**make(resume=file)).epochs == 3
    parts = make(resume=file)
    before = bits(parts["model"])
    with warnings.catch_warnings(), pytest.raises(RuntimeWarning, match=text):
        warnings.simplefilter("error")
        mt.fit(**parts)
    assert bits(parts["model"]) == before and not parts["optimizer"].state


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="needs a limit of the size of files")
def test_full_disk_costs_no_training_and_no_checkpoint(tmp_path):
    code = f"""
import resource, sys, warnings
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_fitting import *
warnings.simplefilter("always")
file = "run.npz"
def fill(training):
    if training.epoch == 2:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
parts = make(callbacks=[fill, Checkpoint(file)])
print(mt.fit(**parts).epochs, len(mt.load(file)["history"]["loss"]))
"""
    process = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert process.stdout == "3 1\n", process.stderr
    assert process.stderr.count("run.npz was not written: File too large; training goes on") == 2
    assert os.listdir(tmp_path) == ["run.npz"]


# -- refused -----------------------------------------------------------------------------------------------------------


def refused(options, error, message):
    parts = make()
    changed = {**parts, **(options(parts) if callable(options) else options)}
    model = changed["model"] if isinstance(changed["model"], nn.Module) else parts["model"]
    before = bits(model)
    with pytest.raises(error, match=message):
        mt.fit(**changed)
    assert bits(model) == before and not parts["optimizer"].state


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"model": lambda x: x}, TypeError, "model must be an nn.Module, got a function"),
        ({"loss": nn.CrossEntropyLoss}, TypeError, "loss must be .* got the class CrossEntropyLoss itself"),
        ({"optimizer": optim.SGD}, TypeError, "optimizer must be one of mt.optim's"),
        ({"train": (mt.zeros(4, 3), mt.zeros(4))}, TypeError, "train must be a DataLoader, .* got a tuple"),
        ({"train": []}, ValueError, "train has no batch"),
        ({"val": mt.zeros(4, 3)}, TypeError, r"val must be a DataLoader, .* got a tensor of shape \(4, 3\)"),
        ({"train": [mt.zeros(4, 3)]}, TypeError, r"a batch must be \(inputs, targets\)"),
        ({"epochs": 0}, ValueError, "epochs must be at least 1, got 0"),
        ({"epochs": 2.5}, TypeError, "epochs must be an int of at least 1, got 2.5"),
        ({"clip": "1"}, TypeError, "clip must be a number or None, got a str"),
        ({"clip": 0.0}, ValueError, "clip is the largest norm of the gradient, above 0, got 0.0"),
        ({"metrics": ["accuracy"]}, TypeError, "a metric must be a function .* got a str"),
        ({"metrics": {"lr": mt.metrics.accuracy}}, ValueError, "cannot be called 'lr'"),
        ({"metrics": {"val_loss": mt.metrics.accuracy}}, ValueError, "cannot be called 'val_loss'"),
        ({"metrics": [lambda o, t: 1.0, lambda o, t: 2.0]}, ValueError, "the names <lambda>, <lambda>, and each"),
        ({"metrics": {1: mt.metrics.accuracy}}, TypeError, "the names of metrics must be strings, got 1"),
        ({"callbacks": [Checkpoint("f"), CSVLogger("f")]}, ValueError, "two callbacks write one file: .*f, .*f"),
        ({"loss": lambda outputs, targets: outputs[0].sum(), "model": nn.Sequential(nn.Flatten(0))}, ValueError,
         "the optimiser updates"),
        ({"metrics": mt.metrics.accuracy}, TypeError, "metrics must be a list of functions, got a function"),
        ({"callbacks": EarlyStopping()}, TypeError, "callbacks must be a list of functions, got a Early"),
        ({"callbacks": [EarlyStopping]}, TypeError, "a callback must be .* the class EarlyStopping itself"),
        ({"callbacks": [EarlyStopping(monitor="val_r2", mode="max")]}, ValueError, "no .val_r2. in the history"),
        ({"callbacks": [EarlyStopping()], "val": None}, ValueError, "lr, grad_norm: pass val"),
        ({"callbacks": [CSVLogger("none/log.csv")]}, FileNotFoundError, "CSVLogger: there is no folder '.*none'"),
        ({"callbacks": [Checkpoint("none/run.npz")]}, FileNotFoundError, "Checkpoint: there is no folder '.*none'"),
        ({"callbacks": [Checkpoint("/")]}, IsADirectoryError, "Checkpoint: '/' is a folder"),
        ({"resume": "none.npz"}, FileNotFoundError, "there is no checkpoint 'none.npz' to resume"),
        ({"scheduler": "cosine"}, TypeError, "scheduler must be one of"),
        (lambda parts: {"optimizer": optim.SGD(nn.Linear(5, 7).parameters(), lr=0.1)}, ValueError,
         r"updates 2 parameters that are not the model's, the first of shape \(7, 5\)"),
        (lambda parts: {"scheduler": lr_scheduler.StepLR(optim.SGD(parts["model"].parameters(), lr=0.1), 1)},
         ValueError, "scheduler is a StepLR of another optimiser"),
        (lambda parts: {"train": list(parts["train"]), "callbacks": [Checkpoint("x.npz", seconds=1)]}, ValueError,
         "train is a list, which has no state_dict"),
        (lambda parts: {"scheduler": lr_scheduler.ReduceLROnPlateau(parts["optimizer"], mode="max")}, ValueError,
         "ReduceLROnPlateau is given the loss after each epoch: its mode must be 'min'"),
        ({"loss": nn.CrossEntropyLoss(reduction="none")}, TypeError, r"loss must return a 0-d tensor, got .* \(8,\)"),
        ({"loss": lambda outputs, targets: 1.0}, TypeError, "loss must return a 0-d tensor, got a float"),
        ({"train": [(mt.zeros(4, 3), [0, 1])]}, TypeError, "targets of a batch must be one tensor .* got a list"),
        ({"train": [(mt.zeros(4, 3), mt.tensor(1))]}, TypeError, r"targets of a batch must .* of shape \(\)"),
        ({"metrics": {"none": lambda outputs, targets: None}}, TypeError, "none must be one number .* got a NoneType"),
        ({"metrics": {"many": lambda outputs, targets: outputs}}, TypeError, r"many must be .* a tensor of shape \("),
    ],
)
def test_fit_refuses(options, error, message):
    refused(options, error, message)


def test_fit_refuses_data_of_another_dtype():
    parts = make()
    x, y = parts["train"].dataset.tensors
    refused({"train": DataLoader(TensorDataset(x.double(), y), 8)}, TypeError, "float64")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patience": 0}, "patience must be at least 1, got 0"),
        ({"patience": "val_loss"}, "patience must be an int of at least 1, got 'val_loss'"),
        ({"mode": "least"}, 'mode must be "min" or "max"'),
        ({"min_delta": -1}, "min_delta must be at least 0, got -1"),
        ({"monitor": "val_accuracy"}, "pass mode=\"min\" if 'val_accuracy' should be small, or mode=\"max\" if large"),
    ],
)
def test_early_stopping_refuses(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        EarlyStopping(**options)


def checkpoint(path, **options):
    mt.fit(**make(epochs=1, callbacks=[Checkpoint(path)], **options))
    return path


def with_sgd(parts):
    return {"optimizer": optim.SGD(parts["model"].parameters(), lr=0.1)}


def with_width(parts):
    model = nn.Sequential(nn.Linear(3, 9), nn.BatchNorm1d(9), nn.ReLU(), nn.Dropout(0.2), nn.Linear(9, 2))
    return {"model": model, "optimizer": optim.Adam(model.parameters())}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (with_sgd, "its optimizer class is 'Adam', this training's is 'SGD'; to begin anew, remove the file"),
        (with_width, "its model 0 out_features is 8, this training's is 9"),
        (lambda parts: {"optimizer": optim.Adam(parts["model"].parameters(), lr=0.1)}, "its optimizer .* lr is 0.01"),
        (lambda parts: {"loss": nn.CrossEntropyLoss(label_smoothing=0.1)}, "its loss .* label_smoothing is 0.0"),
        (lambda parts: {"clip": 1.0}, "its clip is None, this training's is 1.0"),
        (lambda parts: {"metrics": [mt.metrics.accuracy]}, "its columns is 'val_loss', this training's is 'accur"),
        (lambda parts: {"callbacks": [EarlyStopping()]}, "its callbacks is None, this training's is .'EarlyStop"),
        (lambda parts: {"train": DataLoader(parts["train"].dataset, 5, shuffle=True)}, "its train batches is 4"),
        (lambda parts: {"train": DataLoader(parts["train"].dataset, 8)}, "its train sampler is 'RandomSampler'"),
        (lambda parts: {"train": DataLoader(TensorDataset(*[2 * t for t in parts["train"].dataset.tensors]), 8,
                                            shuffle=True)}, "its train numbers is"),
        (lambda parts: {"train": DataLoader(Subset(parts["train"].dataset, range(30)), 8, sampler=range(29, -1, -1))},
         "its train sampler is 'RandomSampler', this training's is 'range'"),
        (lambda parts: {"train": DataLoader(Subset(parts["train"].dataset, range(29, -1, -1)), 8, shuffle=True)},
         "its train row numbers is"),
        (lambda parts: {"val": None}, "its columns is 'val_loss', this training's is 'lr'"),
        (lambda parts: {"scheduler": lr_scheduler.StepLR(parts["optimizer"], 1)}, "its scheduler is None"),
    ],
)
def test_checkpoint_of_another_training_is_refused(tmp_path, options, message):
    file = checkpoint(tmp_path / "run.npz")
    refused(lambda parts: {**options(parts), "resume": file}, ValueError, f"does not fit this training: {message}")


@pytest.mark.parametrize("change", [{"patience": 4}, {"monitor": "loss"}, {"mode": "max"}, {"min_delta": 0.5}])
def test_checkpoint_of_another_early_stopping_is_refused(tmp_path, change):
    file = tmp_path / "run.npz"
    mt.fit(**make(callbacks=[EarlyStopping(3), Checkpoint(file)]))
    refused({"resume": file, "callbacks": [EarlyStopping(**{"patience": 3, **change})]}, ValueError, "its callbacks")


def test_longer_schedule_is_refused_on_resume_and_a_short_one_before_training(tmp_path):
    def parts(epochs, steps, **options):
        found = make(epochs=epochs, **options)
        return {**found, "scheduler": lr_scheduler.OneCycleLR(found["optimizer"], 0.1, total_steps=steps)}

    file = tmp_path / "run.npz"
    mt.fit(**parts(2, 8, callbacks=[Checkpoint(file)]))
    refused(lambda _: parts(4, 16, resume=file), ValueError, "its scheduler total_steps is 8, this training's is 16")
    refused(lambda _: parts(3, 8), ValueError, "8 steps, of which 0 are done, and 3 epochs need 12 more: make it with "
                                               "total_steps=12")


def test_refused_resume_leaves_loader_and_generators_alone(tmp_path):
    state = mt.load(checkpoint(tmp_path / "run.npz"))
    state["generators"]["default"]["state"]["state"] = 2**130
    mt.save(state, tmp_path / "run.npz")
    parts = make(resume=tmp_path / "run.npz")
    next(iter(parts["train"]))          # a look at the shapes
    generator = mt.default_generator()
    before = bits(parts["model"]), generator.get_state()
    with pytest.raises(ValueError, match="does not fit this training"):
        mt.fit(**parts)
    assert (bits(parts["model"]), generator.get_state()) == before
    assert not parts["optimizer"].state and len(list(parts["train"])) == 4


def test_file_that_is_no_checkpoint_is_refused(tmp_path):
    mt.save(nn.Linear(2, 3).state_dict(), tmp_path / "weights.npz")
    refused({"resume": tmp_path / "weights.npz"}, ValueError, "is not a checkpoint: it was written by mt.save")


def test_checkpoint_of_a_newer_version_is_refused(tmp_path):
    state = mt.load(checkpoint(tmp_path / "run.npz"))
    state["version"] += 1
    mt.save(state, tmp_path / "run.npz")
    refused({"resume": tmp_path / "run.npz"}, ValueError, "a checkpoint of version 2, from a newer microtensor")


def test_damaged_checkpoint_is_refused(tmp_path):
    file = checkpoint(tmp_path / "run.npz")
    whole = file.read_bytes()
    stream, refusals = random.Random(0), 0
    expected = make(resume=file, callbacks=[Checkpoint(file)])
    mt.fit(**expected)
    for _ in range(40):
        damaged = bytearray(whole)
        damaged[stream.randrange(len(whole))] ^= 1 << stream.randrange(8)
        file.write_bytes(damaged[: stream.choice([len(whole), stream.randrange(len(whole))])])
        parts = make(resume=file)
        before = bits(parts["model"])
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                mt.fit(**parts)
        except ValueError:
            assert bits(parts["model"]) == before
            refusals += 1
        else:       # a flipped bit in what an archive does not use, such as a time stamp, is no damage
            assert bits(parts["model"]) == bits(expected["model"])
    assert refusals >= 30


@pytest.mark.parametrize(
    "key", ["model", "optimizer", "whole", "switches", "place", "callbacks", "generators", "counts", "history",
            "settings", "stopped", "environment"])
def test_checkpoint_that_lacks_something_is_refused(tmp_path, key):
    state = mt.load(checkpoint(tmp_path / "run.npz"))
    del state[key]
    mt.save(state, tmp_path / "run.npz")
    refused({"resume": tmp_path / "run.npz"}, ValueError, f"does not fit this training: it lacks '{key}'")


# -- docs/training.md --------------------------------------------------------------------------------------------------


def guide():
    """The program in blocks, and that in one piece."""
    page = (Path(__file__).parents[1] / "docs" / "training.md").read_text(encoding="utf-8")
    blocks = [re.findall(r"^```python\n(.*?)^```", part, re.DOTALL | re.MULTILINE)
              for part in page.split("## In one piece")]
    assert len(blocks[1]) == 1
    return "\n".join(blocks[0]), blocks[1][0]


def run_program(text, folder):
    process = subprocess.run([sys.executable, "-W", "error", "-c", text], cwd=folder, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_guide_runs_and_runs_again(tmp_path):
    """Started again it finds the training finished, and says the same."""
    pytest.importorskip("matplotlib")
    program, _ = guide()
    printed = run_program(program, tmp_path)
    found = re.search(r"^(\d+) epochs, the best was epoch (\d+): (\S+)%$", printed, re.MULTILINE)
    assert int(found[2]) <= int(found[1]) <= 30 and float(found[3]) > 95
    assert float(re.search(r"'accuracy': (\S+)}", printed)[1]) > 0.95
    assert {"run.npz", "curves.png", "model.npz"} <= set(os.listdir(tmp_path))
    assert run_program(program, tmp_path) == printed
    with pytest.raises(AssertionError, match=r"its scheduler base_lrs is 0\.003, this training's is 0\.001"):
        run_program(program.replace("lr=3e-3", "lr=1e-3"), tmp_path)


REGRESSION = {      # what docs/training.md says to change
    "load_wine": "load_diabetes",
    "mt.tensor(y)": "mt.tensor(y, dtype=mt.float32)[:, None]",
    "std = x[train].std(0)\n": "",
    "x = (x - x[train].mean(0)) / mt.where(std > 0, std, 1.0)":
        "x, y = ((t - t[train].mean(0)) / t[train].std(0) for t in (x, y))",
    "mt.nn.Linear(64, 3)": "mt.nn.Linear(64, 1)",
    "mt.nn.CrossEntropyLoss()": "mt.nn.MSELoss()",
    "mt.metrics.accuracy": "mt.metrics.r2",
}


@pytest.mark.parametrize(
    ("changes", "least"),
    [
        ({}, 0.7),
        ({"load_wine": "load_breast_cancer", "Linear(64, 3)": "Linear(64, 2)"}, 0.85),
        ({"load_wine": "load_digits", "Linear(64, 3)": "Linear(64, 10)"}, 0.9),
        (REGRESSION, 0.2),
    ],
    ids=["wine", "breast cancer", "digits", "diabetes"],
)
def test_guide_in_one_piece_fits_real_data_in_15_lines(tmp_path, monkeypatch, capsys, changes, least):
    """A constant answer has 0.40, 0.63, 0.10 and 0; the test parts have 27 to 270 rows, so that scores vary."""
    pytest.importorskip("sklearn")
    _, program = guide()
    for old, new in changes.items():
        assert old in program
        program = program.replace(old, new)
    assert len([line for line in program.splitlines() if line]) <= 15
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "<guide>", "exec"), {"__name__": "__main__"})         # a process takes longer to import
    assert float(re.search(r"'(?:accuracy|r2)': (\S+)}", capsys.readouterr().out)[1]) >= least


if __name__ == "__main__":
    write_checkpoint(sys.argv[1])
