"""check_optimizer on optimisers written here, right and with the mistakes that people make."""

import numpy as np
import pytest

import microtensor as mt
from microtensor.gradcheck import check_optimizer
from microtensor.gradcheck.optimizer import MISTAKES, RECURRENCES


class Written:
    """An optimiser over arrays: a subclass says what one parameter's step is, and what it keeps."""

    options = {}        # noqa: RUF012

    def __init__(self, params, mistake=""):
        self.param_groups = [{"params": params, "lr": 0.1, **self.options}]
        self.state, self.mistake, self.t = [{} for _ in params], mistake, 0
        self.first_lr = 0.1

    def step(self):
        group = self.param_groups[0]
        self.t += 1
        if self.t == 1:
            self.first_lr = group["lr"]
        lr = self.first_lr if self.mistake == "first lr" else group["lr"]
        for p, state in zip(group["params"], self.state, strict=True):
            theta = p.detach().numpy()
            self.update(theta, p.grad.numpy().copy(), state, lr, group)


class Adam(Written):
    options = {"betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.02}     # noqa: RUF012
    decoupled = False

    def update(self, theta, g, state, lr, group):
        mistake, (b1, b2), decay = self.mistake, group["betas"], group["weight_decay"]
        b1, b2 = (b2, b1) if mistake == "betas" else (b1, b2)
        decay = {"decay": 0, "decay sign": -decay}.get(mistake, decay)
        decoupled = {"coupled": False, "decoupled": True}.get(mistake, self.decoupled)
        if decoupled and mistake != "order":
            theta *= 1 - decay * (1 if mistake == "decay lr" else lr)
        if not decoupled:
            g = g + decay * theta
        state["m"] = b1 * state.get("m", 0) + (1 - b1) * g
        state["v"] = b2 * state.get("v", 0) + (1 - b2) * (g if mistake == "not squared" else g**2)
        t = self.t + {"late": -1, "early": 1}.get(mistake, 0)
        with np.errstate(all="ignore"):
            m = state["m"] if mistake in ("no correction", "no correction of m") else state["m"] / (1 - b1**t)
            correction = 1 if mistake in ("no correction", "no correction of v") else 1 - b2**t
            root = np.sqrt(state["v"] / correction) + group["eps"]
            if mistake == "eps inside":
                root = np.sqrt(state["v"] / correction + group["eps"])
            elif mistake == "eps early":
                root = (np.sqrt(state["v"]) + group["eps"]) / np.sqrt(correction)
            theta -= lr * m / root
        if decoupled and mistake == "order":
            theta *= 1 - decay * lr


class AdamW(Adam):
    decoupled = True


class RMSprop(Written):
    options = {"alpha": 0.9, "eps": 1e-6, "weight_decay": 0.02, "momentum": 0.5, "centered": True}      # noqa: RUF012

    def update(self, theta, g, state, lr, group):
        mistake, alpha = self.mistake, group["alpha"]
        keep, enter = {"alpha": (1 - alpha, alpha), "sum": (1, 1)}.get(mistake, (alpha, 1 - alpha))
        g = g if mistake == "decay" else g + group["weight_decay"] * theta
        state["v"] = keep * state.get("v", 0) + enter * (g if mistake == "not squared" else g * g)
        state["a"] = keep * state.get("a", 0) + enter * g
        with np.errstate(all="ignore"):
            v = state["v"] if mistake == "centred" else state["v"] - state["a"] ** 2
            root = np.sqrt(v + group["eps"]) if mistake == "eps inside" else np.sqrt(v) + group["eps"]
            state["b"] = group["momentum"] * state.get("b", 0) + (lr if mistake == "lr" else 1) * g / root
        theta -= state["b"] if mistake == "lr" else lr * state["b"]


class Adagrad(Written):
    options = {"eps": 1e-6, "weight_decay": 0.02, "lr_decay": 0.1, "initial_accumulator_value": 0.3}    # noqa: RUF012

    def update(self, theta, g, state, lr, group):
        mistake = self.mistake
        g = g if mistake == "decay" else g + group["weight_decay"] * theta
        before = state.get("s", group["initial_accumulator_value"])
        state["s"] = before + (g if mistake == "not squared" else g * g)
        s = before if mistake == "late" else state["s"]
        lr = lr / (1 + (self.t - (mistake != "lr_decay")) * group["lr_decay"])
        with np.errstate(all="ignore"):
            theta -= lr * g / (np.sqrt(s + group["eps"]) if mistake == "eps inside" else np.sqrt(s) + group["eps"])


WRITTEN = {kind.__name__: kind for kind in (Adam, AdamW, RMSprop, Adagrad)}


@pytest.mark.parametrize("name", WRITTEN)
def test_optimiser_that_is_right_passes(name):
    for seed in range(3):
        report = check_optimizer(WRITTEN[name], seed=seed)
        assert report.notes == [f"compared with the recurrence of {name}"]


@pytest.mark.parametrize(("name", "mistake"), [(name, key) for name in WRITTEN for key in MISTAKES[name]])
def test_mistake_of_an_optimiser_is_named(name, mistake):
    report = check_optimizer(lambda params: WRITTEN[name](params, mistake), raise_exception=False)
    assert not report and report.hints[0].key == mistake, report
    assert {hint.key for hint in report.hints} == {mistake}, report


class PlainRMSprop(Written):
    """Without centring and decay."""

    options = {"alpha": 0.9, "eps": 1e-6, "momentum": 0.5}      # noqa: RUF012

    def update(self, theta, g, state, lr, group):
        state["v"] = group["alpha"] * state.get("v", 0) + (1 - group["alpha"]) * g * g
        state["b"] = group["momentum"] * state.get("b", 0) + g / (np.sqrt(state["v"]) + group["eps"])
        theta -= lr * state["b"]


def test_options_that_are_not_there_are_off():
    assert check_optimizer(PlainRMSprop, reference="RMSprop")


def test_unknown_optimiser_is_refused_without_a_reference():
    lion = type("Lion", (Written,), {"update": Adam.update, "options": Adam.options, "decoupled": False})
    with pytest.raises(ValueError, match="no recurrence is known for 'Lion'; there are SGD, Adam, AdamW, RMSprop"):
        check_optimizer(lion)
    assert check_optimizer(lion, reference="adam")
    assert check_optimizer(lion, reference=RECURRENCES["Adam"])
    with pytest.raises(ValueError, match="no recurrence is known for 'Lamb'"):
        check_optimizer(lion, reference="Lamb")


def test_optimiser_is_compared_by_the_name_of_its_class():
    """Adam was once compared with SGD in silence."""
    report = check_optimizer(lambda params: mt.optim.SGD(params, lr=0.1), reference="Adam", raise_exception=False)
    assert not report and report.notes == ["compared with the recurrence of Adam"]
    assert check_optimizer(lambda params: mt.optim.SGD(params, lr=0.1)).notes == ["compared with the recurrence of SGD"]
