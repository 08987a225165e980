"""Write the table of README.md from a file of compare.py, so that no figure is typed by hand.

    python benchmarks/readme.py runs/benchmarks/compare.json

Replaces what stands between the two marks in README.md.
"""

import argparse
import json
import statistics
from pathlib import Path

import harness
from compare import best_turns

README = Path(__file__).parent.parent / "README.md"
BEGIN, END = "<!-- written by benchmarks/readme.py -->", "<!-- end of what benchmarks/readme.py wrote -->"
LABELS = {  # name of the program: its label, and the package whose version counts
    "microtensor": ("microtensor", "microtensor"),
    "pytorch": ("PyTorch", "torch"),
    "torch_compile": ("torch.compile", "torch"),
    "jax": ("JAX", "jax"),
    "numpy": ("NumPy", "numpy"),
    "sklearn": ("scikit-learn", "scikit-learn"),
    "autograd": ("autograd", "autograd"),
    "mygrad": ("MyGrad", "mygrad"),
    "micrograd": ("micrograd", "micrograd"),
}


def markdown(document):
    """The table: a row per case, in each cell the microseconds and how many times microtensor's that is."""
    cases, machine = document["cases"], document["machine"]
    names = [name for name in LABELS if any(name in case["programs"] for case in cases.values())]
    versions = {package: machine["versions"][package] for package in dict.fromkeys(LABELS[name][1] for name in names)}
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    lines = [
        "Microseconds per step, and how many times microtensor's that is",
        f"({machine['processor']}, {machine['cores']} cores, {document['date'][:10]}; {listed}):",
        "",
        "| net | batch | " + " | ".join(LABELS[name][0] for name in names) + " |",
        "|---" * (2 + len(names)) + "|",
    ]
    for measured in cases.values():
        case = measured["case"]
        net = "-".join(map(str, case["sizes"])) + (" with BatchNorm1d, Dropout" if case["batch_norm"] else "")
        cells = [cell(name, measured["programs"].get(name)) for name in names]
        lines.append(f"| {net} | {case['batch']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def cell(name, program):
    """Microseconds, and the ratio in brackets; empty where the program does not do the case."""
    if program is None:
        return ""
    time, ratio = harness.microseconds(statistics.median(best_turns(program))), program["ratio"]["median"]
    return f"**{time}**" if name == "microtensor" else f"{time} ({ratio:.{1 if ratio < 100 else 0}f}x)"


def main():
    """Rewrite README.md."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("json", type=Path, help="what compare.py wrote")
    options = arguments.parse_args()
    text = README.read_text()
    if BEGIN not in text or END not in text:
        raise SystemExit(f"{README.name} must hold the marks {BEGIN} and {END}")
    before, rest = text.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    README.write_text(f"{before}{BEGIN}\n{markdown(json.loads(options.json.read_text()))}\n{END}{after}")
    print(f"wrote {README}")


if __name__ == "__main__":
    main()
