import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import microtensor as mt
from microtensor import datasets, nn
from microtensor.cli import gradients, main, sources, train
from microtensor.nn.perceptron import ACTIVATIONS

sys.path.insert(0, str(Path(__file__).parent))      # command.py is beside this file

from command import COMMAND, run, run_alone


def weights_in(folder):
    return {name: tensor.numpy() for name, tensor in mt.load(folder / "model.npz")["model"].items()}


def accuracy(process):
    return float(re.search(r"accuracy +(\S+)%", process.stdout)[1])


@pytest.fixture
def moons():
    x, y = datasets.moons(120, seed=1)
    return (x[:80], y[:80]), (x[80:], y[80:])


# -- the command ---------------------------------------------------------------------------------------------


def test_train_reaches_its_accuracy_and_leaves_all_it_promises(tmp_path):
    process = run_alone(tmp_path, "train")
    assert process.returncode == 0, process.stderr
    assert accuracy(process) >= 97.5
    assert "agree with finite differences" in process.stdout
    analytic, numeric, apart, allowed = map(float, re.search(
        r"(\S+) by backward, (\S+) by difference: (\S+) apart, where (\S+) is allowed", process.stdout).groups())
    assert apart <= allowed == pytest.approx(1e-8 + 1e-6 * abs(numeric), rel=0.05)     # as README says
    assert abs(analytic - numeric) == pytest.approx(apart, rel=0.05)
    assert "epoch 60/60" in process.stderr and "loss" in process.stderr and "accuracy" in process.stderr
    folder = tmp_path / "runs" / "digits"
    assert sorted(path.name for path in folder.iterdir()) == ["curves.png", "model.npz"]
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")

    saved = mt.load(folder / "model.npz")
    model = nn.mlp(**saved["network"])
    model.load_state_dict(saved["model"])
    _, _, test_x, test_y = datasets.digits()
    assert f"{mt.metrics.accuracy(model.eval()(test_x), test_y):.2%}" in process.stdout


def test_train_repeats_bit_for_bit(tmp_path):
    for name, command in (("a", run_alone), ("b", run)):
        process = command(tmp_path, "train", "--epochs", "2", "--out", name, "--seed", "3")
        assert process.returncode == 0, process.stderr
    assert (tmp_path / "a" / "model.npz").read_bytes() == (tmp_path / "b" / "model.npz").read_bytes()
    run(tmp_path, "train", "--epochs", "2", "--out", "c", "--seed", "4")
    assert not np.array_equal(weights_in(tmp_path / "a")["0.weight"], weights_in(tmp_path / "c")["0.weight"])


def test_train_takes_every_option(tmp_path):
    process = run(
        tmp_path, "train", "--layers", "24", "16", "12", "--activation", "elu", "--no-batch-norm",
        "--dropout", "0", "--lr", "0.05", "--momentum", "0.8", "--weight-decay", "0", "--clip", "1",
        "--epochs", "2", "--batch-size", "50", "--seed", "2", "--out", "here",
    )
    assert process.returncode == 0, process.stderr
    assert "64-24-16-12-10, elu, no batch norm, dropout 0.0" in process.stdout
    assert weights_in(tmp_path / "here")["4.weight"].shape == (12, 16)


def test_train_without_hidden_layers(tmp_path):
    process = run(tmp_path, "train", "--layers", "--epochs", "15", "--out", "linear")
    assert process.returncode == 0, process.stderr
    assert accuracy(process) > 90


def test_train_stops_at_nan_and_keeps_last_good_weights(tmp_path):
    """A loss that is infinite from the first epoch on leaves what an earlier run saved, to the byte."""
    assert run(tmp_path, "train", "--epochs", "1", "--out", "out").returncode == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert set(before) == {"model.npz", "curves.png"}
    process = run(tmp_path, "train", "--lr", "1e30", "--no-batch-norm", "--epochs", "3", "--out", "out")
    assert process.returncode == 1
    assert re.search(r"the loss became (nan|inf) in epoch 1, batch \d+ of 41.*: "
                     "keeping the weights as they were before training", process.stderr)
    assert "nothing is saved" in process.stderr
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
def test_train_interrupted_keeps_last_good_weights(tmp_path):
    process = subprocess.Popen(
        [*COMMAND, "train", "--epochs", "1000000", "--out", "out"],
        cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )
    for line in iter(lambda: os.read(process.stderr.fileno(), 4096), b""):
        if b"accuracy" in line:                     # the first epoch is over
            break
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate()
    assert process.returncode == 130
    assert re.search(rb"interrupted in epoch \d+: keeping the weights as they were at the end of epoch", rest)
    assert all(np.isfinite(array).all() for array in weights_in(tmp_path / "out").values())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lr", "-1"], "--lr: must be a number above 0, got -1"),
        (["--lr", "nan"], "--lr: must be a number above 0, got nan"),
        (["--lr", "fast"], "--lr: must be a number above 0, got fast"),
        (["--dropout", "1"], "--dropout: must be a number of at least 0 and below 1, got 1"),
        (["--dropout", "-0.1"], "--dropout: must be"),
        (["--momentum", "1.5"], "--momentum: must be"),
        (["--weight-decay", "-1"], "--weight-decay: must be a number of at least 0"),
        (["--clip", "0"], "--clip: must be a number above 0"),
        (["--epochs", "0"], "--epochs: must be a positive integer, got 0"),
        (["--batch-size", "2.5"], "--batch-size: must be a positive integer, got 2.5"),
        (["--batch-size", "1"], "--batch-norm needs a --batch-size of at least 2"),
        (["--layers", "64", "0"], "--layers: must be a positive integer, got 0"),
        (["--layers", "64", "cars.csv"], "--layers: must be positive integers, got cars.csv: name DATA before the"),
        (["--layers", "1000000000000"], "--layers: no memory for a network 64-1000000000000-10"),
        (["--seed", "-3"], "--seed: must be 0 or a positive integer below 2**32, got -3"),
        (["--seed", "4294967296"], "--seed: must be 0 or a positive integer below 2**32, got 4294967296"),
        (["--epochs", 400 * "1"], "--epochs: must be a positive integer, got 11"),
        (["--activation", "swish"], "--activation: invalid choice: 'swish'"),
        (["missing.npz"], "argument DATA: missing.npz: No such file or directory"),
        (["--out", "file/folder"], "--out: cannot write into file"),
    ],
)
def test_train_refuses_before_training(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as caught:
        main(["train", *arguments])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("package", ["tqdm", "matplotlib"])
def test_train_names_missing_package(monkeypatch, capsys, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SystemExit) as caught:
        main(["train"])
    assert caught.value.code == 1
    assert capsys.readouterr().err == f'microtensor train needs {package}: pip install "microtensor[train]"\n'


# -- other data ----------------------------------------------------------------------------------------------


def arrays():
    stream = np.random.default_rng(0)
    y = stream.integers(0, 3, 60)
    x = stream.normal(size=(60, 2, 2)) + 4 * y[:, None, None]
    return {"x_train": x[:40], "y_train": y[:40], "x_test": x[40:], "y_test": y[40:]}


def test_train_on_other_data(tmp_path):
    np.savez(tmp_path / "data.npz", **arrays())
    process = run(tmp_path, "train", "data.npz", "--layers", "64", "--out", "out")
    assert process.returncode == 0, process.stderr
    assert "4 numbers each, 3 classes" in process.stdout
    assert accuracy(process) >= 90


def test_train_keeps_weights_of_other_data(tmp_path):
    short = ("--layers", "--epochs", "1")
    np.savez(tmp_path / "data.npz", **arrays())
    process = run(tmp_path, "train", *short, "data.npz")
    assert process.returncode == 0, process.stderr
    kept = tmp_path / "runs" / "data" / "model.npz"       # named after the data, not "digits"
    before = kept.read_bytes()
    process = run(tmp_path, "train", *short, "data.npz", "--seed", "1")
    assert process.returncode == 0 and kept.read_bytes() != before     # the same data: replaced
    before = kept.read_bytes()

    changed = arrays()
    changed["x_test"][0, 0, 0] += 1
    np.savez(tmp_path / "data.npz", **changed)
    process = run(tmp_path, "train", *short, "data.npz")
    assert process.returncode == 2 and "was not trained on this data" in process.stderr
    assert "choose another folder, or say --overwrite" in process.stderr
    assert run(tmp_path, "train", *short, "--out", "runs/data").returncode == 2     # digits into it
    assert kept.read_bytes() == before
    assert run(tmp_path, "train", *short, "data.npz", "--out", "runs/changed").returncode == 0


@pytest.mark.parametrize("content", [b"", b"not mt.save's"])
def test_train_keeps_weights_that_are_not_its_own(tmp_path, monkeypatch, capsys, content):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.npz").write_bytes(content)
    with pytest.raises(SystemExit) as caught:
        main(["train", "--out", "."])
    assert caught.value.code == 2 and "--out: model.npz was not trained on this data" in capsys.readouterr().err
    assert (tmp_path / "model.npz").read_bytes() == content


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_test": None}, "it lacks y_test and holds x_train, y_train, x_test"),
        ({"y_train": np.zeros(39, int)}, r"y_train \(N,\), got float64 \(40, 2, 2\) and int64 \(39,\)"),
        ({"y_train": np.zeros(40)}, "float64"),
        ({"x_test": np.zeros(20)}, r"x_test \(N, ...\)"),
        ({"x_test": np.zeros((20, 3))}, "a row of x_train has 4 numbers and one of x_test 3"),
        ({"x_train": np.full((40, 4), np.nan)}, "finite"),
        ({"y_test": np.full(20, -1)}, "class numbers from -1 to -1"),
    ],
)
def test_load_arrays_refuses(tmp_path, change, message):
    chosen = {name: array for name, array in {**arrays(), **change}.items() if array is not None}
    np.savez(tmp_path / "data.npz", **chosen)
    with pytest.raises(ValueError, match=message):
        sources.load_arrays(tmp_path / "data.npz")


def test_load_arrays_refuses_other_file(tmp_path):
    (tmp_path / "data.npz").write_text("x_train")
    with pytest.raises(ValueError, match=r"not an \.npz file; expected one with arrays x_train"):
        sources.load_arrays(tmp_path / "data.npz")


# -- gradient check ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
def test_check_gradients_passes_every_activation(activation):
    mt.manual_seed(0)
    x, y, _, _ = datasets.digits()
    model = nn.mlp((64, 16, 12, 10), activation, batch_norm=True, dropout=0.2)
    report = gradients.check_gradients(model, mt.cross_entropy, x[:16], y[:16])
    assert report, report
    assert [found.checked for found in report.inputs] == [50, 16, 16, 50, 12, 12, 50, 10]


class WrongLinear(nn.Linear):
    """Forward is right; backward leaves out one path: the bias acts twice and is differentiated once."""

    def forward(self, input):
        return super().forward(input) + self.bias.detach()


def test_check_gradients_finds_planted_error(moons):
    (x, y), _ = moons
    mt.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), WrongLinear(8, 2))
    report = gradients.check_gradients(model, mt.cross_entropy, x, y)
    assert [found.name for found in report.inputs if found.wrong] == ["2.bias"]
    assert report.worst.numeric == pytest.approx(2 * report.worst.analytic, rel=1e-6)


class UndefinedGradient(nn.Module):
    """Adds sqrt(p^2) at p = 0, whose gradient the chain rule makes infinity times 0."""

    def __init__(self):
        self.p = nn.Parameter(mt.zeros(1))

    def forward(self, input):
        return input + (self.p * self.p).sqrt()


def test_check_gradients_finds_nan(moons):
    (x, y), _ = moons
    mt.manual_seed(0)
    report = gradients.check_gradients(nn.Sequential(UndefinedGradient(), nn.Linear(2, 2)), mt.cross_entropy, x, y)
    assert [found.name for found in report.inputs if found.wrong] == ["0.p"]


def test_check_gradients_leaves_no_trace(moons):
    (x, y), _ = moons
    mt.manual_seed(0)
    model = nn.mlp((2, 8, 8, 2), batch_norm=True, dropout=0.5)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    following = mt.rand(4).tolist()
    mt.manual_seed(0)
    nn.mlp((2, 8, 8, 2), batch_norm=True, dropout=0.5)
    assert gradients.check_gradients(model, mt.cross_entropy, x, y)
    assert mt.rand(4).tolist() == following
    assert all(parameter.grad is None and parameter.dtype == mt.float32 for parameter in model.parameters())
    for name, tensor in model.state_dict().items():
        assert np.array_equal(tensor.numpy(), before[name].numpy())


def test_train_says_that_columns_should_be_standardised(tmp_path):
    data = arrays()
    data["x_train"][:, 0, 0] *= 1e4
    np.savez(tmp_path / "data.npz", **data)
    process = run(tmp_path, "train", "data.npz", "--layers", "--epochs", "1")
    assert re.search(r"note +the columns have standard deviations from 3\.\d to 3\.\de\+04, and are", process.stderr)
    process = run(tmp_path, "train", "--layers", "--epochs", "1")
    assert "note" not in process.stderr


@pytest.mark.skipif(os.name == "nt", reason="needs a limit of the size of files")
def test_train_on_a_full_disk_says_so_and_keeps_what_was_there(tmp_path):
    assert run(tmp_path, "train", "--epochs", "1", "--out", "out").returncode == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    code = "import resource, sys; from microtensor.cli import main; " \
           "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, -1)); sys.exit(main(sys.argv[1:]))"
    process = subprocess.run([sys.executable, "-c", code, "train", "--epochs", "1", "--out", "out"], cwd=tmp_path,
                             capture_output=True, text=True)
    assert process.returncode == 1 and "out: File too large: not all of this could be saved" in process.stderr
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


# -- what was trained --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with data.npz, and in out/ what train made of it."""
    folder = tmp_path_factory.mktemp("trained")
    np.savez(folder / "data.npz", **arrays())
    process = run(folder, "train", "data.npz", "--layers", "64", "--out", "out")
    assert process.returncode == 0, process.stderr
    return folder, process


def test_evaluate_finds_what_train_found(trained):
    folder, process = trained
    measured = run(folder, "evaluate", "out/model.npz", "data.npz")
    assert measured.returncode == 0 and measured.stderr == ""
    assert accuracy(measured) == accuracy(process)


def test_evaluate_says_that_data_are_others(trained, tmp_path):
    folder, _ = trained
    changed = arrays()
    changed["x_test"] += 1
    np.savez(tmp_path / "changed.npz", **changed)
    measured = run(folder, "evaluate", "out/model.npz", str(tmp_path / "changed.npz"))
    assert measured.returncode == 0 and "was trained on other data" in measured.stderr


def test_predict_writes_a_row_for_each_example(trained, tmp_path):
    folder, process = trained
    x, y = arrays()["x_test"], arrays()["y_test"]
    np.save(tmp_path / "x.npy", np.tile(x, (100, 1, 1)))        # 2,000 examples are predicted in two goes
    printed = run(folder, "predict", "out/model.npz", str(tmp_path / "x.npy"))
    assert printed.returncode == 0, printed.stderr
    assert printed.stdout.startswith("class,P(0),P(1),P(2)\n")
    rows = np.loadtxt(printed.stdout.splitlines(), delimiter=",", skiprows=1)
    assert rows.shape == (2000, 4) and np.allclose(rows[:, 1:].sum(axis=1), 1, atol=1e-5)
    assert (rows[:, 1:].argmax(axis=1) == rows[:, 0]).all()
    assert (rows[:, 0].reshape(100, 20) == rows[:20, 0]).all()
    assert 100 * np.mean(rows[:20, 0] == y) == pytest.approx(accuracy(process))
    written = run(folder, "predict", "out/model.npz", str(tmp_path / "x.npy"), "--out", str(tmp_path / "p.csv"))
    assert "2,000 rows" in written.stdout and (tmp_path / "p.csv").read_text() == printed.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate", "none.npz"], "argument MODEL: none.npz: No such file or directory"),
        (["evaluate", "data.npz"], "argument MODEL: data.npz is not a file that microtensor train wrote"),
        (["evaluate", "state.npz"], "argument MODEL: state.npz is not a file that microtensor train wrote"),
        (["evaluate", "out/model.npz"], "out/model.npz takes 4 numbers and knows 3 classes, x_test has 64 numbers"),
        (["evaluate", "out/model.npz", "none.npz"], "argument DATA: none.npz: No such file"),
        (["predict", "out/model.npz", "none.npy"], "argument DATA: none.npy: No such file or directory"),
        (["predict", "out/model.npz", "data.npz"], "data.npz is an .npz file of several arrays: save one"),
        (["predict", "out/model.npz", "text.npy"], "argument DATA: text.npy is not an .npy file"),
        (["predict", "out/model.npz", "short.npy"], r"4 for each example, got float64 (5, 3)"),
        (["predict", "out/model.npz", "nan.npy"], "nan.npy holds numbers that are not finite in float32"),
        (["predict", "out/model.npz", "good.npy", "--out", "no/p.csv"], "cannot write no/p.csv: No such file"),
        (["predict", "out/model.npz", "good.npy", "--out", "good.npy"], "good.npy is what is read, and would be"),
        (["predict", "out/model.npz", "good.npy", "--out", "./out/model.npz"], "model.npz is what is read"),
    ],
)
def test_evaluate_and_predict_refuse(trained, monkeypatch, capsys, arguments, message):
    folder, _ = trained
    monkeypatch.chdir(folder)
    mt.save(nn.Linear(2, 2).state_dict(), "state.npz")
    (folder / "text.npy").write_text("numbers")
    for name, array in {"short": np.zeros((5, 3)), "nan": np.full((5, 4), np.nan), "good": np.zeros((5, 4))}.items():
        np.save(f"{name}.npy", array)
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2 and message in capsys.readouterr().err


# -- the other commands --------------------------------------------------------------------------------------


def test_info_tells_what_a_bug_report_needs(tmp_path):
    process = run(tmp_path, "info")
    assert process.returncode == 0, process.stderr
    lines = dict(line.split(maxsplit=1) for line in process.stdout.splitlines())
    assert list(lines) == ["microtensor", "python", "numpy", "instructions", "threads", "compiler"]
    assert lines["microtensor"] == mt.__version__ and lines["numpy"] == np.__version__


def test_version(tmp_path):
    assert run_alone(tmp_path, "--version").stdout == f"microtensor {mt.__version__}\n"


def test_command_is_required(tmp_path):
    process = run(tmp_path)
    assert process.returncode == 2 and "COMMAND" in process.stderr


LOADED = """
import sys
import microtensor
if sys.argv[1:]:
    from microtensor.cli import main
    try:
        main(sys.argv[1:])
    except SystemExit:
        pass
print(*sorted(name for name in sys.modules if name.startswith("microtensor.cli.")), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("arguments", "loaded"),
    [([], ""), (["--help"], "options"), (["train", "--help"], "options"), (["info"], "info options")],
)
def test_commands_load_when_they_run(arguments, loaded):
    """What does not run costs nothing: neither an import of microtensor nor --help loads a command."""
    process = subprocess.run([sys.executable, "-c", LOADED, *arguments], capture_output=True, text=True, check=True)
    assert process.stderr.split() == [f"microtensor.cli.{name}" for name in loaded.split()]


@pytest.mark.parametrize(
    ("rows", "batch_size", "epochs"),
    [(36, 32, 500), (1295, 32, 60), (16_000, 32, 40), (70_000, 140, 40), (1_000_000, 512, 11), (10_000_000, 512, 2)],
)
def test_defaults_make_enough_steps_and_not_too_many(rows, batch_size, epochs):
    assert train.default_batch_size(rows) == batch_size
    assert train.default_epochs(-(-rows // batch_size)) == epochs
