"""The climb of docs/matmul.md, measured: GFLOP/s of each step from the definition to the shipped matrix product.

    python benchmarks/matmul_steps.py               # prints the table
    python benchmarks/matmul_steps.py --write       # and puts it into docs/matmul.md

Compiles steps/matmul.c for this machine with the C compiler that CC names (default cc). The steps take turns; each
figure is the median of several rounds.
"""

import argparse
import ctypes
import os
import platform
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import harness
import numpy as np

import microtensor as mt

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "matmul.md"
BEGIN = "<!-- measured by benchmarks/matmul_steps.py -->"
SIZES = (64, 256, 1024)
STEPS = {
    "1. the definition": "definition",
    "2. row by row": "row_by_row",
    "3. a row of sums in registers": "row_in_registers",
    "4. a tile of sums in registers": "tile_in_registers",
    "5. blocks": "blocks",
    "6. blocks, packed": "packed_blocks",
}
FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-shared", "-fPIC")


def compile_steps(folder):
    """The steps as a shared library, compiled with the flags of the product."""
    library = Path(folder) / "steps.so"
    compiler = os.environ.get("CC", "cc").split()
    include = f"-I{Path(mt.__file__).parent}/kernels"
    subprocess.run([*compiler, *FLAGS, include, str(HERE / "steps" / "matmul.c"), "-o", str(library)], check=True)
    return ctypes.CDLL(str(library))


def seconds(function, times):
    """How long function(times) takes."""
    start = time.perf_counter()
    function(times)
    return time.perf_counter() - start


def contestants(steps, n):
    """A function of how often for each step, all on the same matrices."""
    rng = np.random.default_rng(0)
    a, b, c = (rng.standard_normal((n, n)).astype(np.float32) for _ in range(3))
    x, y = mt.from_numpy(a), mt.from_numpy(b)
    size, pointers = ctypes.c_ssize_t(n), [array.ctypes.data_as(ctypes.c_void_p) for array in (a, b, c)]
    expected = a.astype(np.float64) @ b
    bound = (n + 2) * np.finfo(np.float32).eps * (np.abs(a).astype(np.float64) @ np.abs(b))

    def compiled(step):
        steps.repeat(ctypes.c_ssize_t(1), step, size, *pointers)
        assert (np.abs(c - expected) <= bound).all(), "a step computes something else"
        return lambda times: steps.repeat(ctypes.c_ssize_t(times), step, size, *pointers)

    def shipped(threads):
        def run(times):
            mt.set_num_threads(threads)
            for _ in range(times):
                mt.matmul(x, y)

        return run

    functions = {name: compiled(getattr(steps, step)) for name, step in STEPS.items()}
    for threads in range(1, min(2, os.cpu_count() or 1) + 1):
        functions[f"{6 + threads}. microtensor, {threads} thread{'s' * (threads > 1)}"] = shipped(threads)
    return functions


def measure(steps, rounds):
    """GFLOP/s by step and size, and the peak."""
    result, peaks = {}, []
    steps.peak.restype = ctypes.c_double
    out = (ctypes.c_float * 16)()
    with mt.no_grad():
        for n in SIZES:
            functions = contestants(steps, n)
            speeds = {name: [] for name in functions}
            repeats = {name: max(1, int(0.02 / seconds(function, 1))) for name, function in functions.items()}
            for _ in range(rounds):
                start = time.perf_counter()
                operations = steps.peak(ctypes.c_ssize_t(1_000_000), out)
                peaks.append(operations / (time.perf_counter() - start) / 1e9)
                for name, function in functions.items():
                    speeds[name].append(2e-9 * n**3 * repeats[name] / seconds(function, repeats[name]))
            for name, values in speeds.items():
                result.setdefault(name, []).append(statistics.median(values))
    return result, statistics.median(peaks)


def processor():
    """The processor's name, as well as it can be had."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def table(result, peak):
    """The figures as Markdown."""
    def figure(value):
        return f"{value:.0f}" if value >= 10 else f"{value:.1f}"

    lines = ["| GFLOP/s, float32, n x n | " + " | ".join(f"n = {n}" for n in SIZES) + " | of the peak |",
             "|---|" + "---:|" * (len(SIZES) + 1)]
    for name, values in result.items():
        threads = 2 if "2 threads" in name else 1
        share = max(values) / (threads * peak)
        lines.append(f"| {name} | " + " | ".join(map(figure, values)) + f" | {share:.0%} |")
    lines.append(f"| the peak of one core | {figure(peak)} | {figure(peak)} | {figure(peak)} | 100% |")
    level = mt._isa_path.LEVEL or platform.machine()
    lines.append(f"\n{processor()}, {os.cpu_count()} cores, level {level}; the last column: the best of the three.")
    return "\n".join(lines)


def main():
    """Measure, print and perhaps write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each step (default 5)")
    parser.add_argument("--write", action="store_true", help="put the table into docs/matmul.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        text = table(*measure(compile_steps(folder), options.rounds))
    print(text)
    if options.write:
        harness.put_between_marks(PAGE, BEGIN, text)


if __name__ == "__main__":
    main()
