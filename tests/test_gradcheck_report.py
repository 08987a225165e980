"""What a report shows, and the checks of functions that are not plain callables: modules, optimisers, second order."""

import dataclasses
import inspect
import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import microtensor as mt
from microtensor import nn
from microtensor.cli import main
from microtensor.gradcheck import GradcheckError, check_clipping, check_function, check_module, check_optimizer, ledger


def linear(x, w):
    return x @ w


def wrong(g, x, w):
    return g @ w.T, len(x) * x.T @ g


@pytest.fixture
def report(rng):
    return check_function(linear, wrong, [rng.standard_normal((5, 3)), rng.standard_normal((3, 7))], names=["x", "w"],
                          raise_exception=False, seed=7, edits=False)


# -- report ----------------------------------------------------------------------------------------------------


def test_report_names_the_mistake(report):
    assert not report and report.verdict == "FAIL"
    verdicts = [(found.name, found.verdict, found.wrong) for found in report.inputs]
    assert verdicts == [("x", "PASS", 0), ("w", "FAIL", 21)]
    text = str(report)
    for part in ("replay with seed=7", "FAIL w (3, 7): 21 of 21", "ratio 5.000000", "smallest visible error",
                 "-> ratio 5 everywhere: the size of axis 0 of x, the batch"):
        assert part in text
    assert report.hints[0].formula == "a = 5 n" and report.repair is None


def test_report_names_the_repair(rng):
    report = check_function(linear, wrong, [rng.standard_normal((5, 3)), rng.standard_normal((3, 7))],
                            raise_exception=False)
    repair = report.repair
    assert report.hints == [repair] and repair.key == "edit"
    assert Path(__file__).read_text().splitlines()[repair.line - 1] == "    return g @ w.T, len(x) * x.T @ g"
    assert repair.before == "return (g @ w.T, len(x) * x.T @ g)"
    assert repair.after == "return (g @ w.T, x.T @ g)" and repair.after in repair.source
    assert str(report).splitlines()[1] == f"  => {repair.text}" and repair.text in report._repr_html_()
    assert json.loads(report.to_json())["repair"]["line"] == repair.line


def test_report_replays(report, rng):
    again = check_function(linear, wrong, [rng.standard_normal((5, 3)), rng.standard_normal((3, 7))], names=["x", "w"],
                           raise_exception=False, seed=report.seed)
    assert again.worst.shape == report.worst.shape and again.seed == report.seed


def test_report_estimates_its_own_error(report):
    """The true gradient lies within a few estimates, and the estimate is small."""
    found = report.inputs[1]
    assert abs(found.analytic / 5 - found.numeric) <= 8 * found.error <= 1e-10
    assert found.visible <= 1e-9 and found.size > 0.1


def test_report_as_json(report):
    read = json.loads(report.to_json())
    assert read["verdict"] == "FAIL" and not read["success"] and read["seed"] == 7
    assert read["inputs"][1]["name"] == "w" and read["inputs"][1]["hints"][0]["key"] == "size"
    nothing = mt.gradcheck(lambda x: x / 0, mt.ones(2, dtype=mt.float64, requires_grad=True), raise_exception=False)
    assert json.loads(nothing.to_json())["verdict"] == "NONFINITE"


def test_report_as_a_table(rng):
    x = mt.tensor([1.0, 2.0], dtype=mt.float64, requires_grad=True)
    html = mt.gradcheck(lambda x: x * x.detach(), x, names=["<x>"], raise_exception=False)._repr_html_()
    assert html.count("<tr>") == 2 and "FAIL" in html and "&lt;x&gt;" in html and "<x>" not in html


def test_report_as_a_picture(report, tmp_path):
    pytest.importorskip("matplotlib")
    for name in (None, "x"):
        report.plot(name).savefig(tmp_path / "report.png")
    assert (tmp_path / "report.png").stat().st_size > 10_000
    found = report.worst
    assert found.step in [h for h, _ in found.curve]
    x = mt.tensor([0.5], dtype=mt.float64, requires_grad=True)
    found = mt.gradcheck(mt.exp, x).worst
    errors = [abs(difference - found.numeric) for _, difference in found.curve]
    least = int(np.argmin(errors))
    assert 2 < least < len(errors) - 2 and errors[0] > 1e3 * errors[least] < errors[-1]      # a V


def test_example_of_the_guide_prints_what_it_says(tmp_path, capsys):
    guide = (Path(__file__).parents[1] / "docs" / "gradcheck.md").read_text()
    code, shown = re.search(r"```python\n(.*?)```\s+```\n(.*?)```", guide, re.DOTALL).groups()
    (tmp_path / "example.py").write_text(code)                  # from a file, as the source is read
    runpy.run_path(str(tmp_path / "example.py"))
    words = [re.sub(r"[-\d.e+]+", "#", text) for text in (capsys.readouterr().out, shown)]     # digits may differ
    assert words[0].split() == words[1].split()


# -- plain NumPy -----------------------------------------------------------------------------------------------


def test_numpy_function_is_left_alone(rng):
    """Inputs keep their bytes, and NumPy's legacy stream its state."""
    x, w = rng.standard_normal((5, 3)), rng.standard_normal((3, 7))
    before = x.copy(), w.copy(), np.random.get_state()[1].copy()
    check_function(lambda x, w: x @ w * np.random.rand(), lambda g, x, w: (g, g), [x, w], raise_exception=False)
    assert np.array_equal(x, before[0]) and np.array_equal(w, before[1])
    assert np.array_equal(np.random.get_state()[1], before[2])


@pytest.mark.parametrize("result", [None, "text", np.arange(3)], ids=str)
def test_numpy_forward_must_return_floats(result, rng):
    with pytest.raises(TypeError, match="forward must return a float array"):
        check_function(lambda x: result, lambda g, x: g, rng.standard_normal(3))


def test_numpy_backward_must_return_a_gradient_for_each_input(rng):
    x, y = rng.standard_normal(3), rng.standard_normal(3)
    with pytest.raises(ValueError, match="a gradient for each of a, b, got 1"):
        check_function(lambda a, b: a * b, lambda g, a, b: g * b, [x, y], names=["a", "b"])
    with pytest.raises(TypeError, match="gradient of b must be an array, not str"):
        check_function(lambda a, b: a * b, lambda g, a, b: (g * b, "g a"), [x, y], names=["a", "b"])
    with pytest.raises(ValueError, match="no input is a float array"):
        check_function(lambda x: x * 1.0, lambda g, x: g, np.arange(3))


def test_numpy_forward_must_not_change_its_input(rng):
    def forward(x):
        x *= 2
        return x

    x = rng.standard_normal(3)
    before = x.copy()
    with pytest.raises(ValueError, match="forward changes its input"):
        check_function(forward, lambda g, x: 2 * g, x)
    assert np.array_equal(x, before)


def test_numpy_backward_must_not_change_the_upstream_gradient(rng):
    def backward(g, x):
        g *= 2 * x
        return g

    report = check_function(lambda x: x * x, backward, rng.standard_normal(3), raise_exception=False)
    assert report.verdict == "FAIL" and [fault.check for fault in report.faults] == ["unchanged"]


# -- modules ---------------------------------------------------------------------------------------------------


def batch(rng, features, count=7):
    return mt.tensor(rng.standard_normal((count, features)).astype(np.float32)), mt.tensor(rng.integers(0, 3, count))


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "elu", "selu", "tanh", "sigmoid"])
def test_module_passes_and_is_left_alone(activation, rng):
    model = nn.mlp((4, 7, 5, 3), activation, batch_norm=True, dropout=0.2)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = mt.default_generator().get_state()
    report = check_module(model, mt.cross_entropy, batch(rng, 4))
    assert report and [found.name for found in report.inputs] == [name for name, _ in model.named_parameters()]
    assert all(found.checked == int(np.prod(found.shape)) for found in report.inputs)
    assert mt.default_generator().get_state() == state
    for name, tensor in model.state_dict().items():
        assert np.array_equal(tensor.numpy(), before[name].numpy())
    assert check_module(model.eval(), mt.cross_entropy, batch(rng, 4)) and not model.training


class HalfLinear(nn.Linear):
    """The bias acts twice and is differentiated once."""

    def forward(self, input):
        return super().forward(input) + self.bias.detach()


def test_module_names_the_parameter_that_is_wrong(rng):
    model = nn.Sequential(nn.Linear(4, 7), nn.Tanh(), HalfLinear(7, 3))
    report = check_module(model, mt.cross_entropy, batch(rng, 4), raise_exception=False)
    assert [found.name for found in report.inputs if not found] == ["2.bias"] and report.hints[0].key == "two"
    with pytest.raises(ValueError, match="no parameter"):
        check_module(nn.ReLU(), mt.cross_entropy, batch(rng, 4))


class OneWrong(nn.Linear):
    """One element of the weight has a gradient that is wrong by a part in a thousand."""

    def forward(self, input):
        mask = np.zeros(self.weight.shape)
        mask[17, 31] = 1e-3
        mask = mt.tensor(mask, dtype=self.weight.dtype)
        return nn.functional.linear(input, self.weight + mask * (self.weight - self.weight.detach()), self.bias)


def test_fast_mode_finds_one_element_among_thousands(rng):
    model = nn.Sequential(nn.Linear(40, 50), nn.Tanh(), OneWrong(50, 60), nn.Tanh(), nn.Linear(60, 3))
    report = check_module(model, mt.cross_entropy, batch(rng, 40), raise_exception=False)
    wrong = [found for found in report.inputs if not found]
    assert [found.name for found in wrong] == ["2.weight"] and wrong[0].index == (17, 31)
    right = [found for found in report.inputs if found]
    assert all("missed with probability" in found.text[0] for found in right)


def test_fast_mode_passes_a_net_with_kinks(rng):
    model = nn.Sequential(nn.Linear(40, 50), nn.ReLU(), nn.Linear(50, 60), nn.ReLU(), nn.Linear(60, 3))
    assert check_module(model, mt.cross_entropy, batch(rng, 40, 31))


def test_fast_mode_verifies_a_gradient_of_zero(rng):
    model = nn.Sequential(nn.Linear(40, 60), nn.BatchNorm1d(60), nn.Tanh(), nn.Linear(60, 3))
    report = check_module(model, mt.cross_entropy, batch(rng, 40, 31))
    assert "zero, and rightly so" in next(found for found in report.inputs if found.name == "0.bias").text[-1], report
    assert check_module(model, mt.cross_entropy, batch(rng, 40, 31), zero_gradient=["0.bias"])


@pytest.mark.parametrize("activation", ["relu", "elu", "selu"])
def test_kinks_and_jumps_of_the_second_derivative_are_no_errors(activation, rng):
    """Of many units some lie between the steps of any window: its neighbour must tell."""
    for seed in range(3):
        mt.manual_seed(seed)
        model = nn.mlp((20, 64, 32, 3), activation)
        assert check_module(model, mt.cross_entropy, batch(rng, 20, 32), seed=seed)


# -- second order ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [mt.exp, mt.tanh, lambda x: x.softmax(1), lambda x: (x.log(), (x * x).sum())])
def test_second_order(function, rng):
    x = mt.tensor(rng.uniform(0.5, 2, (3, 5)), requires_grad=True)
    assert mt.gradgradcheck(function, x)


def test_second_order_finds_what_the_first_does_not(rng):
    """x^3 whose first derivative is right, 3 x^2, but a constant."""
    x = mt.tensor(rng.uniform(0.5, 2, 3), requires_grad=True)

    def cube(x):
        return (3 * x.detach() ** 2) * (x - x.detach()) + x.detach() ** 3

    assert mt.gradcheck(cube, x)
    report = mt.gradgradcheck(cube, x, raise_exception=False)
    assert [found.name for found in report.inputs if found.verdict == "FAIL"] == ["input0"]


# -- optimisers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind, options", ledger.OPTIMISERS.values(), ids=ledger.OPTIMISERS)
def test_optimiser_of_the_ledger_follows_its_recurrence(kind, options):
    assert check_optimizer(lambda params: kind(params, lr=0.1, **options))


def test_optimiser_report_says_from_which_step_on(rng):
    class Slow(mt.optim.SGD):
        def step(self):
            self.calls = getattr(self, "calls", 0) + 1
            if self.calls != 3:
                super().step()

    with pytest.raises(GradcheckError, match="wrong from step 2 on"):
        check_optimizer(lambda params: Slow(params, lr=0.1))


def test_clipping_is_checked():
    assert check_clipping(nn.utils.clip_grad_norm_)
    assert not check_clipping(lambda params, norm: None, raise_exception=False)


# -- ledger ----------------------------------------------------------------------------------------------------


def test_ledger_page_is_up_to_date():
    page = (Path(__file__).parents[1] / "docs" / "ledger.md").read_text()
    assert ledger.differences_from(page) == []


def test_ledger_notices_missing_and_stale_rows():
    row = next(row for row in ledger.rows() if row.name == "Tanh")
    line = ledger._fixed(row)
    every = "\n".join(ledger._fixed(row) + " 0 |" for row in ledger.rows())
    assert ledger.differences_from(every) == []
    assert ledger.differences_from(every.replace(line, "")) == [f"Tanh ({row.source}) is missing"]
    assert "Tanh is stale" in ledger.differences_from(every.replace(line, line.replace("e^x", "e^y")))[0]
    assert ledger.differences_from(every + "\n| Tan | y | `ops/activation.pyx: Tan` |  | 0 |") == \
        ["Tan (ops/activation.pyx: Tan) does not exist"]


@pytest.mark.parametrize("kind", ["layer", "loss", "optimiser"])
def test_ledger_rows_pass(kind, seed):
    for row in ledger.rows():
        if row.kind == kind:
            assert row.run(seed)["verdict"] == "ok", row.name


def test_ledger_command(capsys, tmp_path, monkeypatch):
    few = [row for row in ledger.rows() if row.name in ("Tanh", "SGD", "L1Loss")]
    monkeypatch.setattr(ledger, "rows", lambda: few)
    assert main(["gradcheck"]) == 0 and "4 of 4 verified" in capsys.readouterr().out
    assert main(["gradcheck", "--op", "SGD"]) == 0 and "1 of 1 verified" in capsys.readouterr().out
    page = tmp_path / "ledger.md"
    assert main(["gradcheck", "--write", str(page)]) == 0 and main(["gradcheck", "--check", str(page)]) == 0
    page.write_text(page.read_text().replace("| SGD |", "| GSD |"))
    assert main(["gradcheck", "--check", str(page)]) == 1
    assert "SGD (optim/sgd.py: SGD) is missing" in capsys.readouterr().out
    for wrong in (["--op", "Tan"], ["--check", str(tmp_path / "nothing.md")]):
        with pytest.raises(SystemExit):
            main(["gradcheck", *wrong])
    failing = dataclasses.replace(few[0], run=lambda seed: {**few[0].run(seed), "verdict": "FAIL rule"})
    monkeypatch.setattr(ledger, "rows", lambda: [failing])
    assert main(["gradcheck"]) == 1 and main(["gradcheck", "--write", str(tmp_path / "new.md")]) == 1
    assert not (tmp_path / "new.md").exists()


def test_ledger_command_knows_names_by_their_sound(capsys):
    with pytest.raises(SystemExit):
        main(["gradcheck", "--op", "tanh"])
    assert "did you mean Tanh" in capsys.readouterr().err


def test_command_whose_reader_leaves_ends_quietly():
    command = f"{sys.executable} -m microtensor gradcheck --op Tanh --op Sigmoid --op ReLU"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", f"{command} | head -n 1"], capture_output=True, text=True)
    assert done.stderr == "" and len(done.stdout.splitlines()) == 1


def test_package_is_called_as_its_function():
    """``import microtensor.gradcheck as g`` and ``mt.gradcheck`` are one: a package, and PyTorch's function."""
    import microtensor.gradcheck as package

    x = mt.tensor([0.5, 2.0], dtype=mt.float64, requires_grad=True)
    assert package is mt.gradcheck and package(mt.tanh, x) and mt.gradcheck.gradcheck(mt.tanh, x)
    assert mt.gradcheck.check_function is mt.check_function is check_function
    assert mt.check_module is check_module and mt.check_optimizer is check_optimizer
    assert list(inspect.signature(mt.gradcheck).parameters)[:3] == ["func", "inputs", "eps"]
