"""The command line on a table of 100,000 rows and 20 columns: seconds and memory, reading included.

    python benchmarks/table.py [--write docs/tables.md]

The table is made: ten columns of numbers, one of them with missing values, five of categories, two of dates, a row
number, a constant, and a target of three classes that depends on numbers and categories. Each command is a process of
its own.
"""

import csv
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import harness
import numpy as np

ROWS = 100_000


def write_table(path, rows, seed):
    """A table with 20 columns."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(rows, 10)).round(4)
    words = rng.integers(0, (3, 5, 8, 20, 60), size=(rows, 5))
    days = np.datetime64("2020-01-01") + rng.integers(0, 2000, size=(rows, 2))
    score = numbers[:, 0] * numbers[:, 1] + np.sin(2 * numbers[:, 2]) + 0.7 * words[:, 0] + 0.1 * words[:, 2]
    target = np.digitize(score + 0.3 * rng.normal(size=rows), (0.4, 1.6))
    classes = np.array(["low", "mid", "high"])[target]
    missing = rng.random(rows) < 0.05
    with open(path, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["row", *(f"number {i}" for i in range(10)), *(f"word {i}" for i in range(5)), "first", "last",
                        "constant", "target"])
        for i in range(rows):
            cells = ["" if missing[i] else numbers[i, 0], *numbers[i, 1:]]
            table.writerow([i, *cells, *(f"w{word}" for word in words[i]), *days[i], "all", classes[i]])


def measured(command, folder):
    """Seconds and the largest resident MB of a process, and what it printed."""
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT, text=True)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        output.seek(0)
        text = output.read()
    if status:
        raise SystemExit(f"{' '.join(command)} failed:\n{text}")
    return seconds, usage.ru_maxrss / 1024, text


def table(document):
    """A row for each command."""
    machine = document["machine"]
    lines = [f"A table of {document['rows']:,} rows and 20 columns ({document['bytes'] / 1e6:.0f} MB; numbers, "
             f"categories, dates, missing values), each command whole, reading and writing included "
             f"({machine['processor']}, {machine['cores']} cores, {document['date'][:10]}):", "",
             "| command | seconds | largest resident memory, MB |", "|---|---|---|"]
    return "\n".join(lines + [f"| `{name}` | {statistics.median(each['seconds'] for each in rounds):.1f} | "
                              f"{max(each['megabytes'] for each in rounds):.0f} |"
                              for name, rounds in document["commands"].items()])


def main():
    """Measure, print and write."""
    options = harness.parser(__doc__, rounds=3, page=True).parse_args()
    microtensor = [sys.executable, "-m", "microtensor"]
    commands = {
        "train": [*microtensor, "train", "table.csv", "--target", "target"],
        "evaluate": [*microtensor, "evaluate", "runs/table/model.npz", "table.csv"],
        "predict": [*microtensor, "predict", "runs/table/model.npz", "table.csv", "--out", "predictions.csv"],
    }
    found = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as folder:
        write_table(Path(folder, "table.csv"), ROWS, seed=0)
        size = Path(folder, "table.csv").stat().st_size
        for _ in range(options.rounds):
            for name, command in commands.items():
                seconds, megabytes, text = measured(command, folder)
                found[name].append({"seconds": seconds, "megabytes": megabytes})
        print(text)
    harness.report(options, "table", {"rows": ROWS, "bytes": size, "commands": found}, table)


if __name__ == "__main__":
    main()
