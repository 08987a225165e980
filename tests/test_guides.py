"""Guides: the programs and commands of docs/estimators.md, docs/scaling.md and docs/tables.md run as they stand."""

import csv
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import microtensor as mt

DOCS = Path(__file__).parents[1] / "docs"


def blocks(page, language):
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_estimators_page_runs(capsys):
    pytest.importorskip("sklearn")
    names = {"__name__": "estimators"}
    for code in blocks("estimators.md", "python"):
        exec(compile(code, "docs/estimators.md", "exec"), names)
    pipeline, search, own = capsys.readouterr().out.splitlines()[:3]
    score, epochs = re.fullmatch(r"(\S+) on the test part, after (\d+) epochs", pipeline).groups()
    assert float(score) > 0.93 and int(epochs) == len(names["curves"][0]) == len(names["curves"][1])
    assert "mlpclassifier__dropout" in search and own == "30 True"
    assert names["model"].score(names["scaler"].transform(names["x_test"]), names["y_test"]) > 0.93


def test_scaling_page_finds_what_one_process_finds(tmp_path):
    """The page is a program of its own, as dask starts its workers anew."""
    pytest.importorskip("distributed")
    (program,) = blocks("scaling.md", "python")
    (tmp_path / "search.py").write_text(program)
    check = """
import search, sklearn
from sklearn.base import clone
if __name__ == "__main__":
    there = search.main()
    here = clone(there).fit(*search.data())
    for name in there.cv_results_:
        if "score" in name and "time" not in name:
            assert list(there.cv_results_[name]) == list(here.cv_results_[name]), name
    print("equal", len(there.cv_results_["params"]))
"""
    (tmp_path / "check.py").write_text(check)
    process = subprocess.run([sys.executable, "check.py"], cwd=tmp_path, capture_output=True, text=True)
    assert process.stdout.splitlines()[-1:] == ["equal 6"], process.stderr


def write_flats(path, rows, seed, rent):
    """Rent grows with size and floor, by district; some sizes are missing."""
    rng = np.random.default_rng(seed)
    size, floor, district = rng.uniform(20, 120, rows).round(1), rng.integers(0, 6, rows), rng.integers(0, 3, rows)
    price = (10 + 3 * district) * size * (1 + 0.03 * floor) * rng.normal(1, 0.05, rows)
    with open(path, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["number", "size", "floor", "district", "since", *(["rent"] if rent else [])])
        for i in range(rows):
            table.writerow([i + 1, "" if i % 29 == 5 else size[i], floor[i], ("Dorf", "Bahnhof", "Cité")[district[i]],
                            np.datetime64("2015-01-01") + i % 700, *([round(price[i], 2)] if rent else [])])


def test_tables_page_runs(tmp_path, monkeypatch, capsys):
    pytest.importorskip("tqdm")
    monkeypatch.chdir(tmp_path)
    write_flats("flats.csv", 400, 0, rent=True)
    write_flats("new.csv", 50, 1, rent=False)
    (commands,) = blocks("tables.md", "sh")
    printed = []
    for command in commands.splitlines():
        arguments = [sys.executable, "-W", "error", "-m", *command.split()]
        process = subprocess.run(arguments, capture_output=True, text=True)
        assert process.returncode == 0, process.stderr
        printed.append(process.stdout)
    trained, evaluated = (re.findall(r"^R2 +(\S+) +\S+$", text, re.MULTILINE) for text in printed[::2])
    assert float(trained[0]) > 0.9 and trained == evaluated
    with open("rents.csv", newline="", encoding="utf-8") as file:
        (header,), *rents = csv.reader(file)
    assert header == "rent" and len(rents) == 50

    names = {}
    (program,) = blocks("tables.md", "python")
    exec(compile(program, "docs/tables.md", "exec"), names)
    *_, score = capsys.readouterr().out.splitlines()
    assert float(score) > 0.9
    np.testing.assert_allclose(names["rents"], np.array(rents, float)[:, 0], rtol=0.3)
    again = mt.tables.Encoder.from_state_dict(mt.load("flats.npz")["encoder"])
    assert np.array_equal(again.encode(names["table"]).numpy(), names["x"].numpy())
