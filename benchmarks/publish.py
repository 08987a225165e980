"""Write the tables of README.md and docs/performance.md from a file of compare.py, so that no figure is typed by hand.

    python benchmarks/publish.py runs/benchmarks/compare.json

Replaces what stands between the marks of the two pages, and puts the file and its figure beside docs/performance.md.
"""

import argparse
import json
import shutil
import statistics
from pathlib import Path

import harness
from compare import STRONGEST, strongest
from steps import CASES

ROOT = Path(__file__).parent.parent
BEGIN = "<!-- written by benchmarks/publish.py: {} -->"
TARGETS = {  # how many times faster than every peer, in its strongest form, microtensor sets out to be
    "moons": 1.5, "digits": 1.3, "digits+": 2, "digits-adam": 1, "deep": 1.5, "mnist": 1.5, "mnist+": 2,
    "bigbatch": 1.5, "wide": 1.3, "wide-adam": 1, "huge": 1,
}
OWN = ("microtensor", "microtensor_capture")
LABELS = {  # name of the program: its label, and the package whose version counts
    "microtensor": ("microtensor", "microtensor"),
    "microtensor_capture": ("microtensor, captured", "microtensor"),
    "pytorch": ("PyTorch", "torch"),
    "torch_compile": ("torch.compile", "torch"),
    "torch_compile_step": ("torch.compile, whole step", "torch"),
    "jax": ("JAX", "jax"),
    "jax_scan": ("JAX, lax.scan", "jax"),
    "numpy": ("NumPy by hand", "numpy"),
    "sklearn": ("scikit-learn", "scikit-learn"),
    "autograd": ("autograd", "autograd"),
    "mygrad": ("MyGrad", "mygrad"),
    "micrograd": ("micrograd", "micrograd"),
}


def strongest_table(document):
    """README.md's: a row per case, and a column per main peer, each in the form that is fastest there."""
    forms = [form for forms in STRONGEST.values() for form in forms]
    lines = ["Microseconds per step, and how many times microtensor's that is, each peer in its fastest form "
             f"({where(document, ['microtensor', *forms])}):", "",
             "| case | net | batch | microtensor | captured | " + " | ".join(STRONGEST) + " |",
             "|---" * (5 + len(STRONGEST)) + "|"]
    for name, measured in document["cases"].items():
        case, programs = measured["case"], measured["programs"]
        forms = strongest(programs)
        cells = [cell(name, programs.get(name)) for name in ("microtensor", "microtensor_capture")]
        cells += [cell(peer, programs.get(forms.get(peer))) for peer in STRONGEST]
        lines.append(f"| {name} | {net(case)} | {case['batch']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def where(document, names):
    """The machine, the day, and the versions of these programs."""
    machine = document["machine"]
    packages = dict.fromkeys(LABELS[name][1] for name in names)
    versions = ", ".join(f"{name} {machine['versions'][name]}" for name in packages if name in machine["versions"])
    return f"{machine['processor']}, {machine['cores']} cores, {document['date'][:10]}; {versions}"


def net(case):
    """A net's layers; those of many equal ones by their number."""
    first, *hidden, last = case["sizes"]
    sizes = [first, f"{len(hidden)} x {hidden[0]}", last] if len(hidden) > 3 else case["sizes"]
    extras = " with BatchNorm1d, Dropout" * case["batch_norm"] + ", Adam" * (case["optimizer"] == "Adam")
    return "-".join(map(str, sizes)) + extras


def forms_table(document, names):
    """A row per case: the threads and the variant with which each program was fastest; then the kernels of each."""
    lines = ["| case | " + " | ".join(LABELS[name][0] for name in names) + " |", "|---" * (1 + len(names)) + "|"]
    kernels = {}
    for case, measured in document["cases"].items():
        programs = measured["programs"]
        lines.append(f"| {case} | " + " | ".join(programs[n]["best"] if n in programs else "" for n in names) + " |")
        for name, program in programs.items():
            if name in (*OWN, "jax", "jax_scan"):      # their products are their own
                continue
            for form in program["kernels"].values():
                kernels.setdefault(LABELS[name][0], set()).update(form)
    found = [f"- {label}: {'; '.join(sorted(named))}" for label, named in kernels.items() if named]
    return "\n".join([*lines, "", "Kernels that ran, as each library names them:", "", *found])


def steps_table(document, names):
    """A row per case, in each cell the microseconds and how many times microtensor's that is."""
    lines = [
        "Microseconds per step, and how many times microtensor's that is "
        f"({where(document, names)}):",
        "",
        "| net | batch | " + " | ".join(LABELS[name][0] for name in names) + " |",
        "|---" * (2 + len(names)) + "|",
    ]
    for measured in document["cases"].values():
        case = measured["case"]
        cells = [cell(name, measured["programs"].get(name)) for name in names]
        lines.append(f"| {net(case)} | {case['batch']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def cell(name, program):
    """Microseconds, and the ratio in brackets; empty where the program does not do the case."""
    if program is None:
        return ""
    time, ratio = harness.microseconds(statistics.median(harness.best_turns(program))), program["ratio"]["median"]
    digits = 2 if ratio < 2 else 1 if ratio < 100 else 0
    return f"**{time}**" if name == "microtensor" else f"{time} ({ratio:.{digits}f}x)"


def floors_table(document):
    """A row per case: its matrix products at the processor's peak, its weights at the speed of memory, and the step."""
    peaks = {int(threads): peak for threads, peak in document["fma_peak"].items()}
    listed = ", ".join(f"{peak:.0f} GFLOP/s on {threads}" for threads, peak in peaks.items())
    lines = [f"Peak of fused multiply-adds, float32: {listed} thread(s).", "",
             "| case | threads | operations in products | at the peak, us | bytes for weights | at that speed, us | "
             "measured, us | floor of it |", "|---" * 8 + "|"]
    for name, measured in document["cases"].items():
        program, case = measured["programs"]["microtensor"], CASES[name]
        seconds, threads = statistics.median(harness.best_turns(program)), int(program["best"])
        products = case.operations / (peaks[threads] * 1e9)
        speed = {int(number): speed for number, speed in document["bandwidth"][name].items()}[threads]
        passes = case.traffic[0] / (speed * 1e9)
        lines.append(f"| {name} | {threads} | {case.operations / 1e6:.3g} million | {harness.microseconds(products)} | "
                     f"{case.traffic[0] / 1e6:.3g} million, {speed:.0f} GB/s | {harness.microseconds(passes)} | "
                     f"{harness.microseconds(seconds)} | {(products + passes) / seconds:.0%} |")
    return "\n".join(lines)


def targets_table(document):
    """A row per case: what is aimed at, the peer that comes nearest, and how far ahead of it microtensor is."""
    lines = ["| case | target | fastest peer | microtensor | captured | |", "|---" * 6 + "|"]
    for case, measured in document["cases"].items():
        ratios = {name: program["ratio"]["median"] for name, program in measured["programs"].items()}
        captured = ratios.get("microtensor_capture")
        peer = min((name for name in ratios if name not in OWN), key=ratios.get, default=None)
        if peer is None:
            continue
        ahead = {"microtensor": ratios[peer], "captured": ratios[peer] / captured if captured else 0}
        reached = [name for name, times in ahead.items() if times >= TARGETS[case]]
        lines.append(f"| {case} | {TARGETS[case]}x | {LABELS[peer][0]} | {ratios[peer]:.2f}x | "
                     + (f"{ahead['captured']:.2f}x" if captured else "")
                     + f" | {'reached' + ' captured' * (reached == ['captured']) if reached else 'not reached'} |")
    return "\n".join(lines)


def replace(page, mark, table):
    """Put a table between its marks."""
    harness.put_between_marks(page, BEGIN.format(mark), table)


def main():
    """Rewrite the pages."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("json", type=Path, help="what compare.py wrote")
    options = arguments.parse_args()
    document = json.loads(options.json.read_text())
    measured = [name for name in LABELS if any(name in case["programs"] for case in document["cases"].values())]
    performance = ROOT / "docs" / "performance.md"
    replace(ROOT / "README.md", "steps", strongest_table(document))
    replace(performance, "steps", steps_table(document, measured))
    replace(performance, "forms", forms_table(document, measured))
    replace(performance, "targets", targets_table(document))
    replace(performance, "floors", floors_table(document))
    for source in (options.json, options.json.with_suffix(".png")):
        if source.resolve() != (published := performance.with_suffix(source.suffix)):      # or else it is there already
            shutil.copy(source, published)


if __name__ == "__main__":
    main()
