"""The commands on tables: `microtensor train DATA.csv --target NAME`, `predict` and `evaluate`."""

import csv
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import microtensor as mt
from microtensor.cli import main

sys.path.insert(0, str(Path(__file__).parent))      # command.py is beside this file

from command import COMMAND, run, run_alone

pytest.importorskip("tqdm")
pytest.importorskip("matplotlib")

SPECIES = ("Ähre", "Blüte", "中")
SMALL = ("--layers", "16", "--epochs", "20")


def plants(rows=150, seed=0):
    """A header and rows: two numbers with a few missing, a colour, a row number, and the species, which they tell."""
    rng = np.random.default_rng(seed)
    species = rng.integers(0, 3, rows)
    length, width = rng.normal(3 * species, 1), rng.normal(5 - species, 1)
    return ["id", "length", "width", "colour", "species"], [
        [str(i), "" if i % 17 == 3 else f"{length[i]:.2f}", f"{width[i]:.2f}",
         ("red", "green", "blue")[(species[i] + (i % 5 == 0)) % 3], SPECIES[species[i]]] for i in range(rows)]


def write(path, header, rows, encoding="utf-8", delimiter=","):
    with open(path, "w", newline="", encoding=encoding) as file:
        csv.writer(file, delimiter=delimiter).writerows([header, *rows])


def read(text):
    return list(csv.reader(text.splitlines()))


def score(process, name):
    """The numbers behind the name of a score."""
    (found,) = re.findall(rf"^{name} +(.+)$", process.stdout, re.MULTILINE)
    return [float(cell.rstrip("%")) for cell in found.split()]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with plants.csv and what train made of it, and the finished process."""
    folder = tmp_path_factory.mktemp("plants")
    write(folder / "plants.csv", *plants())
    process = run(folder, "train", "plants.csv", "--target", "species", *SMALL)
    assert process.returncode == 0, process.stderr
    return folder, process


# -- train -------------------------------------------------------------------------------------------------------------


def test_train_says_what_it_found_and_what_it_reached(trained):
    folder, process = trained
    assert "3 classes" in process.stdout and "agree with finite differences" in process.stdout
    assert "'id'" in process.stderr and "'length'" in process.stderr and "classification" in process.stderr
    model, constant = score(process, "accuracy")
    table = mt.Table.read(folder / "plants.csv", target="species")
    train, _, test = table.split((0.7, 0.15, 0.15), seed=0)
    species = np.array(table.columns["species"])
    names, counts = np.unique(species[train], return_counts=True)
    assert constant == pytest.approx(100 * np.mean(species[test] == names[counts.argmax()]), abs=0.01)
    assert model > 80 > constant
    shares = dict(zip(names, counts / counts.sum(), strict=True))
    expected = -np.mean([np.log(shares[name]) for name in species[test]])
    assert score(process, "loss")[1] == pytest.approx(expected, rel=1e-3)
    assert sorted(path.name for path in (folder / "runs" / "plants").iterdir()) == ["curves.png", "model.npz"]


def test_train_repeats_bit_for_bit_on_any_copy_of_the_table(trained, tmp_path):
    folder, _ = trained
    write(tmp_path / "other name.csv", *plants())
    process = run_alone(tmp_path, "train", "other name.csv", "--target", "species", *SMALL, "--out", "here")
    assert process.returncode == 0, process.stderr
    assert (tmp_path / "here" / "model.npz").read_bytes() == (folder / "runs/plants/model.npz").read_bytes()


def test_train_learns_nothing_from_the_rows_for_testing(trained, tmp_path):
    folder, _ = trained
    header, rows = plants()
    for row in mt.Table.read(folder / "plants.csv", target="species").split((0.7, 0.15, 0.15), seed=0)[2]:
        rows[row][1:4] = ["1e9", "-1e9", "violet"]
    write(tmp_path / "plants.csv", header, rows)
    process = run(tmp_path, "train", "plants.csv", "--target", "species", *SMALL)
    assert process.returncode == 0, process.stderr
    here, there = (mt.load(path / "runs/plants/model.npz") for path in (tmp_path, folder))
    assert here["encoder"] == there["encoder"] and here["data"] != there["data"]
    for name, weight in there["model"].items():
        np.testing.assert_array_equal(here["model"][name].numpy(), weight.numpy(), err_msg=name)


def test_train_on_numbers_measures_in_their_units(tmp_path):
    rng = np.random.default_rng(1)
    x = rng.uniform(-1, 1, (200, 2))
    y = 5000 + 800 * x[:, 0] - 300 * x[:, 1] + rng.normal(0, 10, 200)
    write(tmp_path / "prices.csv", ["a", "b", "price"], np.column_stack([x, y]).round(4).tolist())
    process = run(tmp_path, "train", "prices.csv", "--target", "price", "--optimizer", "adam")
    assert process.returncode == 0, process.stderr
    assert "regression" in process.stderr and "a number to predict" in process.stdout
    (model, constant), (error, typical) = score(process, "R2"), score(process, "root mean squared error")
    assert model > 0.9 and abs(constant) < 0.2 and error < 160 < 300 < typical < 700
    test = mt.Table.read(tmp_path / "prices.csv", target="price").split((0.7, 0.15, 0.15), seed=0)[2]
    assert typical == pytest.approx(y[test].std(), rel=0.1)
    predicted = run(tmp_path, "predict", "runs/prices/model.npz", "prices.csv")
    (header,), *rows = read(predicted.stdout)
    found = np.array(rows, float)[:, 0]
    assert header == "price" and np.sqrt(np.mean((found[test] - y[test]) ** 2)) == pytest.approx(error, rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plants.csv"], "say which column of plants.csv is to be predicted: 'id', 'length', 'width', 'colour',"),
        (["plants.csv", "--target", "specie"], "species"),
        (["plants.csv", "--target", "species", "--task", "regression"], "species"),
        (["plants.csv", "--target", "species", "--delimiter", "ab"], "must be one character or tab, got ab"),
        (["plants.csv", "--target", "species", "--encoding", "utf-99"], "utf-99"),
        (["none.csv", "--target", "species"], "argument DATA: none.csv: No such file or directory"),
        ([".", "--target", "species"], "argument DATA: .: Is a directory"),
        (["empty.csv", "--target", "species"], "empty"),
        (["--target", "species"], "--target: it is for tables, and DATA is not given"),
        (["arrays.npz", "--decimal", ","], "--decimal: it is for tables, and DATA is arrays.npz"),
    ],
)
def test_train_refuses_before_training(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    write("plants.csv", *plants(40))
    (tmp_path / "empty.csv").touch()
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(SystemExit) as caught:
        main(["train", *arguments])
    error = capsys.readouterr().err
    assert caught.value.code == 2 and message in error.splitlines()[-1] and "Traceback" not in error
    assert sorted(os.listdir(tmp_path)) == before


def test_train_replaces_a_model_of_other_data_or_for_another_target_only_if_told(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    header, rows = plants(60)
    write("plants.csv", header, rows)
    short = ("--layers", "8", "--epochs", "1")
    assert main(["train", "plants.csv", "--target", "species", *short]) == 0
    model = tmp_path / "runs/plants/model.npz"
    before = model.read_bytes()
    write("changed.csv", header, rows[:50])
    for arguments in (["plants.csv", "--target", "colour"],
                      ["changed.csv", "--target", "species", "--out", "runs/plants"]):
        with pytest.raises(SystemExit) as caught:
            main(["train", *arguments, *short])
        assert caught.value.code == 2 and "say --overwrite" in capsys.readouterr().err
        assert model.read_bytes() == before
        assert main(["train", *arguments, *short, "--overwrite"]) == 0
        assert model.read_bytes() != before
        model.write_bytes(before)


def test_train_leaves_out_columns_and_takes_numbers_for_categories(tmp_path):
    header, rows = plants(150)
    write(tmp_path / "plants.csv", [*header, "site"], [[*row, str(100 + i % 4)] for i, row in enumerate(rows)])
    process = run(tmp_path, "train", "plants.csv", "--target", "species", "--drop", "colour", "id",
                  "--categories", "site", "--layers", "8", "--epochs", "1")
    assert process.returncode == 0, process.stderr
    assert "7 numbers each" in process.stdout           # two columns of numbers, one with gaps, and four sites
    assert "'site' becomes 4 columns of 0 and 1: one for each of '100', '101', '102', '103'" in process.stderr
    assert "'colour'" not in process.stderr and "'id'" not in process.stderr
    model = "runs/plants/model.npz"
    whole = run(tmp_path, "predict", model, "plants.csv")
    assert whole.returncode == 0 and "colour" not in whole.stderr
    write(tmp_path / "fewer.csv", [*header[1:3], "site"], [[*row[1:3], str(100 + i % 4)] for i, row in enumerate(rows)])
    assert run(tmp_path, "predict", model, "fewer.csv").stdout == whole.stdout
    refused = run(tmp_path, "train", "plants.csv", "--target", "species", "--drop", "color")
    assert refused.returncode == 2 and "'color'" in refused.stderr and "'colour'" in refused.stderr


def test_train_counts_classes_and_says_when_nothing_was_learnt(tmp_path):
    rng = np.random.default_rng(2)
    write(tmp_path / "noise.csv", ["x", "y"], [[f"{rng.normal():.3f}", "yes" if i % 10 else "no"] for i in range(100)])
    process = run(tmp_path, "train", "noise.csv", "--target", "y", "--layers", "4", "--epochs", "3")
    assert process.returncode == 0 and "classes    'no' 7, 'yes' 63 (rows for training)" in process.stdout
    assert "note       the model is no better than the same answer for all" in process.stderr
    assert "note" not in run(tmp_path, "--help").stdout and "--task regression" not in process.stdout


def test_sentences_name_the_options_of_the_command(tmp_path):
    write(tmp_path / "numbers.csv", ["1", "2"], [["3", str(i % 2)] for i in range(40)])
    process = run(tmp_path, "predict", "none.npz", "numbers.csv")
    assert process.stderr == "microtensor predict: error: argument MODEL: none.npz: No such file or directory\n"
    process = run(tmp_path, "train", "numbers.csv", "--target", "column 2", "--epochs", "1")
    assert process.returncode == 0 and "if it does hold names, say --header\n" in process.stderr
    assert "--task regression says otherwise\n" in process.stderr
    process = run(tmp_path, "train", "numbers.csv", "--targ", "column 2")
    assert process.returncode == 2 and "unrecognized arguments: --targ" in process.stderr


CHILD = "import sys; from microtensor.cli import main, train; train._SECONDS = 0.0; sys.exit(main(sys.argv[1:]))"


@pytest.mark.skipif(os.name == "nt", reason="kills by a POSIX signal")
def test_train_resumed_after_a_kill_ends_with_the_same_bytes(tmp_path):
    write(tmp_path / "plants.csv", *plants(300))
    arguments = ["train", "plants.csv", "--target", "species", "--epochs", "40", "--patience", "40"]
    whole = run(tmp_path, *arguments, "--out", "whole")
    assert whole.returncode == 0, whole.stderr

    process = subprocess.Popen([sys.executable, "-c", CHILD, *arguments], cwd=tmp_path, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE)
    for text in iter(lambda: os.read(process.stderr.fileno(), 4096), b""):
        if re.search(rb"epoch [3-9]/40", text):
            break
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert (tmp_path / "runs/plants/checkpoint.npz").exists()

    other = run(tmp_path, *arguments, "--resume", "--lr", "0.01")
    assert other.returncode == 2 and "argument --resume: " in other.stderr and "does not fit" in other.stderr
    resumed = run(tmp_path, *arguments, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert (tmp_path / "runs/plants/model.npz").read_bytes() == (tmp_path / "whole/model.npz").read_bytes()
    assert not (tmp_path / "runs/plants/checkpoint.npz").exists()
    again = run(tmp_path, *arguments, "--resume")
    assert again.returncode == 0 and "there is no runs/plants/checkpoint.npz" in again.stderr


# -- predict and evaluate ----------------------------------------------------------------------------------------------


def test_predict_keeps_rows_in_order_elsewhere_and_in_another_locale(trained, tmp_path):
    folder, _ = trained
    header, rows = plants(90, seed=1)
    write(tmp_path / "new.csv", header[:-1], [row[:-1] for row in rows])
    model = str(folder / "runs/plants/model.npz")
    printed = run(tmp_path, "predict", model, "new.csv")
    assert printed.returncode == 0, printed.stderr
    found = read(printed.stdout)
    assert found[0] == ["species", *(f"P({name})" for name in sorted(SPECIES))] and len(found) == 91
    assert np.mean([row[0] == right[-1] for row, right in zip(found[1:], rows, strict=True)]) > 0.8
    for name, *probabilities in found[1:]:
        assert name == found[0][1 + int(np.argmax(np.array(probabilities, float)))][2:-1]
        assert sum(map(float, probabilities)) == pytest.approx(1, abs=1e-5)

    ascii_only = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    assert run_alone(tmp_path, "predict", model, "new.csv", **ascii_only).stdout == printed.stdout
    written = run_alone(tmp_path, "predict", model, "new.csv", "--out", "found.csv", **ascii_only)
    assert written.returncode == 0 and "90 rows" in written.stdout
    assert (tmp_path / "found.csv").read_text(encoding="utf-8") == printed.stdout

    backwards = [header[-2::-1], [row[-2::-1] for row in reversed(rows)]]
    write(tmp_path / "backwards.csv", *backwards, encoding="utf-16", delimiter=";")
    assert read(run(tmp_path, "predict", model, "backwards.csv").stdout)[:0:-1] == found[1:]


def test_evaluate_finds_what_train_found_and_measures_other_rows(trained, tmp_path):
    folder, process = trained
    model = str(folder / "runs/plants/model.npz")
    same = run(folder, "evaluate", model, "plants.csv")
    assert score(same, "accuracy") == score(process, "accuracy") and score(same, "loss") == score(process, "loss")
    assert same.returncode == 0, same.stderr
    assert "rows for testing, which training did not use" in same.stdout
    assert score(same, "accuracy")[0] == score(process, "accuracy")[0]
    assert score(same, "loss")[0] == score(process, "loss")[0]
    header, rows = plants(60, seed=2)
    write(tmp_path / "other.csv", header, rows)
    other = run(tmp_path, "evaluate", model, "other.csv")
    assert "of 60 rows" in other.stdout and "was trained on another file: all rows are measured" in other.stderr
    found = read(run(tmp_path, "predict", model, "other.csv").stdout)[1:]
    right = np.mean([row[0] == answer[-1] for row, answer in zip(found, rows, strict=True)])
    assert score(other, "accuracy")[0] == pytest.approx(100 * right, abs=0.01)


def changed(change):
    header, rows = plants(20, seed=3)
    table = [header, *rows]
    change(table)
    return table[0], table[1:]


def rename(table):
    table[0][1] = "Length"


def drop(table):
    for row in table:
        del row[2]


def retype(table):
    table[5][2] = "wide"


def recolour(table):
    table[5][3] = "violet"


def add(table):
    for row in table:
        row.insert(0, "7")
    table[0][0] = "weight"


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (rename, 2, ["'length'", "'Length'"]),
        (drop, 2, ["'width'"]),
        (retype, 2, ["'width'", "'wide'"]),
        (recolour, 0, ["'colour'", "violet"]),
        (add, 0, ["'weight'"]),
    ],
)
@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_a_changed_table_is_never_guessed_at(trained, tmp_path, command, change, code, words):
    folder, _ = trained
    write(tmp_path / "changed.csv", *changed(change))
    process = run(tmp_path, command, str(folder / "runs/plants/model.npz"), "changed.csv")
    assert process.returncode == code, process.stderr
    said = process.stderr.splitlines()[-1] if code else process.stderr
    assert all(word in said for word in words) and "Traceback" not in process.stderr
    if code == 0 and command == "predict":
        assert len(read(process.stdout)) == 21


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "runs/plants/model.npz", "x.npy"], "on a table with a column 'species', and DATA is x.npy"),
        (["evaluate", "runs/plants/model.npz"], "on a table with a column 'species', and DATA is not given"),
        (["predict", "changed.npz", "plants.csv"], "changed.npz is not a file that microtensor train wrote, whole and"),
        (["evaluate", "task.npz", "plants.csv"], "its task is 'regression', that of its data 'classification'"),
        (["predict", "narrow.npz", "plants.csv"], "narrow.npz is not a file that microtensor train wrote, whole and"),
        (["predict", "runs/plants/model.npz", "plants.csv", "--out", "plants.csv"], "plants.csv is what is read"),
    ],
)
def test_evaluate_and_predict_refuse(trained, monkeypatch, capsys, arguments, message):
    folder, _ = trained
    monkeypatch.chdir(folder)
    np.save("x.npy", np.zeros((3, 4)))
    saved = mt.load("runs/plants/model.npz")
    encoder = {**saved["encoder"], "target": 3}
    mt.save({**saved, "encoder": {name: encoder[name] for name in list(encoder)[1:]}}, "changed.npz")
    mt.save({**saved, "network": {**saved["network"], "sizes": [3, 16, 3]}}, "narrow.npz")
    mt.save({**saved, "task": "regression"}, "task.npz")
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2 and message in capsys.readouterr().err.splitlines()[-1]


# -- streams and files that are none of the usual ----------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_pipe_is_read_once(trained, tmp_path):
    """So are a table that is being written, and one on a slow disk: the checksum is of the bytes that were read."""
    folder, process = trained
    content = (folder / "plants.csv").read_bytes()
    os.mkfifo(tmp_path / "plants.csv")
    model = "runs/plants/model.npz"
    for arguments in (["train", "plants.csv", "--target", "species", *SMALL], ["evaluate", model, "plants.csv"]):
        command = subprocess.Popen([*COMMAND, *arguments], cwd=tmp_path, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        (tmp_path / "plants.csv").write_bytes(content)
        found, error = command.communicate(timeout=120)
        assert command.returncode == 0, error
        assert re.search(r"^accuracy +(\S+)", found, re.MULTILINE)[1] == f"{score(process, 'accuracy')[0]:.2f}%"
    assert (tmp_path / model).read_bytes() == (folder / model).read_bytes()


def test_evaluate_drops_rows_without_a_known_answer_and_says_so(trained, tmp_path):
    folder, _ = trained
    header, rows = plants(60, seed=2)
    rows[7][-1] = ""
    write(tmp_path / "other.csv", header, rows)
    process = run(tmp_path, "evaluate", str(folder / "runs/plants/model.npz"), "other.csv")
    assert process.returncode == 0 and "of 59 rows" in process.stdout and "1 row of 60 dropped" in process.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no device that is always full")
@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_output_that_cannot_be_written_is_said_in_a_sentence(trained, command):
    folder, _ = trained
    with open("/dev/full", "w") as full:
        process = subprocess.run([*COMMAND, command, "runs/plants/model.npz", "plants.csv"], cwd=folder, stdout=full,
                                 stderr=subprocess.PIPE, text=True)
    assert process.returncode == 1
    assert process.stderr.splitlines()[-1] == f"microtensor {command}: error: [Errno 28] No space left on device"


@pytest.mark.skipif(os.name == "nt", reason="closes streams by a POSIX shell")
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_streams_may_be_closed(trained, tmp_path, closed):
    folder, _ = trained
    write(tmp_path / "new.csv", *plants(9))
    command = [*COMMAND, "evaluate", str(folder / "runs/plants/model.npz"), "new.csv"]
    command = ["sh", "-c", f'"$@" {closed}', "sh", *command]
    process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert process.returncode == 0 and "Traceback" not in process.stderr
    assert ("note" in process.stderr) == ("2" not in closed) and "note" not in process.stdout


def test_names_that_the_terminal_cannot_show_are_escaped(trained, tmp_path):
    write(tmp_path / "Bäume.csv", *plants(40))
    process = run_alone(tmp_path, "train", "Bäume.csv", "--target", "species", "--epochs", "1",
                        PYTHONIOENCODING="ascii")
    assert process.returncode == 0, process.stderr
    assert "runs/B\\xe4ume/model.npz" in process.stdout.replace(os.sep, "/")


def test_what_is_in_the_way_of_files_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write("plants.csv", *plants(40))
    (tmp_path / "out" / "checkpoint.npz").mkdir(parents=True)
    assert main(["train", "plants.csv", "--target", "species", "--out", "out"]) == 1
    assert "checkpoint.npz' is a folder" in capsys.readouterr().err.splitlines()[-1]
    assert main(["train", "plants.csv", "--target", "species", "--out", 300 * "x"]) == 1
    assert "File name too long" in capsys.readouterr().err.splitlines()[-1]
