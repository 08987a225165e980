"""Two builds of microtensor side by side: every case of the other benchmarks, and the ops that no case there runs.

    git worktree add ../before some-commit && (cd ../before && python setup.py build_ext --inplace)
    python benchmarks/builds.py ../before
    python benchmarks/builds.py ../before --only compare --only ops --rounds 15

Both folders hold a checkout that is built in place; what is compared with ``before`` is the folder that this script is
in. The two processes take turns in the order A B B A, each with its own checkout's copy of the benchmark. A ratio is
``before``'s time by this one's: above 1 this one is faster. Cases below ``--least`` are measured again, in five
new pairs of processes, and the repetition counts. Writes builds.json; fails if a case stays below.
"""

import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import compare
import elementwise
import harness
import matmul
import numpy as np
import scaling
import start

ROOT = Path(__file__).resolve().parents[1]
REPETITIONS = 5  # with new processes, where a case is measured again

OPS = {  # name: f(mt, x, other): x and other are n x n, float32
    "add a row": lambda mt, x, other: x + other[0],
    "multiply by a column": lambda mt, x, other: x * other[:, :1],
    "add a transposed": lambda mt, x, other: x + other.T,
    "where": lambda mt, x, other: mt.where(other > 0, x, other),
    "tanh of every second column": lambda mt, x, other: mt.tanh(x[:, ::2]),
    "contiguous transposed": lambda mt, x, other: x.T.contiguous(),
    "sum": lambda mt, x, other: x.sum(),
    "sum(0)": lambda mt, x, other: x.sum(0),
    "sum(1)": lambda mt, x, other: x.sum(1),
    "mean(1)": lambda mt, x, other: x.mean(1),
    "var(0)": lambda mt, x, other: x.var(0),
    "var(1)": lambda mt, x, other: x.var(1),
    "amax(0)": lambda mt, x, other: x.amax(0),
    "amax(1)": lambda mt, x, other: x.amax(1),
    "max(1)": lambda mt, x, other: x.max(1)[0],
    "logsumexp(0)": lambda mt, x, other: x.logsumexp(0),
    "logsumexp(1)": lambda mt, x, other: x.logsumexp(1),
    "sum(1) of three dimensions": lambda mt, x, other: x.reshape(-1, len(x) // 4, 4).sum(1),
    "softmax(0)": lambda mt, x, other: mt.softmax(x, 0),
    "softmax(1)": lambda mt, x, other: mt.softmax(x, 1),
    "log_softmax(1)": lambda mt, x, other: mt.log_softmax(x, 1),
    "cross_entropy": lambda mt, x, other: mt.cross_entropy(x, mt.arange(len(x))),
    "cross_entropy, smoothed":
        lambda mt, x, other: mt.cross_entropy(x, mt.arange(len(x)), label_smoothing=0.1),
    "mse_loss": lambda mt, x, other: mt.mse_loss(x, other),
    "binary_cross_entropy": lambda mt, x, other: mt.binary_cross_entropy_with_logits(x, other),
    "batch_norm": lambda mt, x, other: mt.batch_norm(x, None, None, training=True),
    "batch_norm of three dimensions":
        lambda mt, x, other: mt.batch_norm(x.reshape(len(x) // 4, 4, -1), None, None, training=True),
    "dropout": lambda mt, x, other: mt.dropout(x, 0.5),
    "clip_grad_norm_": None,  # see `op`
}
LENGTHS = (64, 1024)


# -- the child's side -------------------------------------------------------------------------------------------------


def op(name):
    """What a process does for an op: prepare it on n x n numbers, and time its forward or its backward pass."""
    import microtensor as mt
    from microtensor.nn.utils import clip_grad_norm_

    forward = backward = None

    def prepare(function, length):
        nonlocal forward, backward
        rng = np.random.default_rng(0)
        x, other = (mt.tensor(rng.standard_normal((length, length)).astype(np.float32)) for _ in range(2))
        leaf = mt.tensor(x.numpy(), requires_grad=True)
        if function == "clip_grad_norm_":
            leaf.grad = other
            forward = backward = lambda: clip_grad_norm_([leaf], 1.0)
            return
        f = OPS[function]
        y = f(mt, leaf, other)
        g = mt.tensor(rng.standard_normal(y.shape).astype(np.float32))
        forward, backward = (lambda: f(mt, x, other)), (lambda: mt.grad(y, leaf, g, retain_graph=True))

    def seconds(seconds, direction):
        return harness.seconds_per_call(backward if direction == "backward" else forward, seconds)

    return {"prepare": prepare, "time": seconds}


# -- the cases --------------------------------------------------------------------------------------------------------


def training_step(name, case):
    """How to have runners prepare a training step, checked against the right answer."""
    def prepare(runners):
        _, reasons = compare.prepared(runners, name, case)
        if reasons:
            raise SystemExit(f"{name}: nothing is compared")
    return prepare


def asked(**arguments):
    """How to have runners prepare with these arguments."""
    def prepare(runners):
        for runner in runners:
            runner.ask("prepare", **arguments)
    return prepare


def cases():
    """Each case: the benchmark, its name, the number of threads, how to prepare the runners, what to time."""
    for threads in harness.thread_counts():
        for name, case in compare.CASES.items():
            yield "compare", name, threads, training_step(name, case), {"seconds": 0.2}
        for function in elementwise.FUNCTIONS:
            for length in elementwise.LENGTHS:
                for direction in ("forward", "backward")[: 1 if function == "copy" else 2]:
                    yield ("elementwise", f"{function} {direction}, {length:,}", threads,
                           asked(function=function, length=length), {"seconds": 0.05, "direction": direction})
        for m, n, k in matmul.SIZES:
            for layout in matmul.LAYOUTS:
                for dtype in ("float32", "float64"):
                    yield ("matmul", f"{m},{n},{k} {layout} {dtype}", threads,
                           asked(m=m, n=n, k=k, layout=layout, dtype=dtype), {"seconds": 0.1})
        for function, f in OPS.items():
            for length in LENGTHS:
                for direction in ("forward", "backward")[: 1 if f is None else 2]:
                    yield ("ops", f"{function} {direction}, {length} x {length}", threads,
                           asked(function=function, length=length), {"seconds": 0.05, "direction": direction})
    for along, sizes in scaling.ALONG.items():
        for size, case in sizes.items():
            name = f"{along} {size}"
            yield "scaling", name, harness.cores(), training_step(name, case), {"seconds": 0.1}
    for length in (100, 1_000, 10_000, 100_000, 1_000_000):
        yield "node", f"{length:,} nodes", 1, lambda runners: None, {"length": length}
    yield "start", "import", 1, None, {}


# -- the measurement --------------------------------------------------------------------------------------------------


def environment(folder):
    """A process's environment in which ``import microtensor`` finds the build in a folder.

    A variable of random length moves the stack and the heap: short loops depend by a third on where arrays lie.
    """
    return {"PYTHONPATH": str(folder), "PADDING": "x" * random.randrange(4096)}


def found_in(folder):
    """The file of the package that is imported there, and its level."""
    program = "import microtensor; from microtensor import _isa_path; print(microtensor.__file__, _isa_path.LEVEL)"
    done = subprocess.run([sys.executable, "-c", program], env={**os.environ, **environment(folder)}, text=True,
                          capture_output=True, cwd=tempfile.gettempdir())
    if done.returncode or not done.stdout.startswith(str(folder)):
        raise SystemExit(f"{folder}: not built (python setup.py build_ext --inplace): {done.stdout}{done.stderr}")
    return done.stdout.split()


class Pair:
    """The two builds' processes for one benchmark and number of threads, opened when first asked for."""

    def __init__(self, folders):
        self.folders, self.key, self.runners = folders, None, []

    def of(self, benchmark, threads):
        """The runners of a benchmark; those of another one end."""
        if self.key != (benchmark, threads):
            self.close()
            self.key = benchmark, threads
            self.runners = [
                harness.Runner(str(ROOT / "benchmarks/builds.py" if benchmark == "ops"
                                   else folder / "benchmarks" / f"{benchmark}.py"),
                               "microtensor", threads, environment(folder))
                for folder in self.folders
            ]
        return self.runners

    def close(self):
        """End the processes."""
        for runner in self.runners:
            runner.close()
        self.key, self.runners = None, []


def turns(pair, case, rounds):
    """Seconds of the two builds, round by round, in the order A B B A."""
    benchmark, _, threads, prepare, arguments = case
    if benchmark == "start":
        both = pair.folders

        def once(folder):
            return start.start(start.PROGRAM.format(name="microtensor"), environment(folder))[0]
    else:
        both = pair.of(benchmark, threads)
        prepare(both)

        def once(runner):
            return runner.ask("time", **arguments)
    seconds = ([], [])
    for number in range(rounds):
        for which in ((0, 1), (1, 0))[number % 2]:
            time.sleep(harness.PAUSE)
            seconds[which].append(once(both[which]))
    return seconds


def measure(pair, case, rounds, processes=1):
    """A row of the result: as many rounds with each of some pairs of processes, as addresses differ between them."""
    before, after = [], []
    for number in range(processes):
        if number:
            pair.close()
        for total, found in zip((before, after), turns(pair, case, rounds), strict=True):
            total += found
    benchmark, name, threads, *_ = case
    return {"benchmark": benchmark, "case": name, "threads": threads, "before": before, "after": after,
            "ratio": harness.paired(before, after)}


def main():
    """Measure, print and write."""
    arguments = harness.parser(__doc__, rounds=7)
    arguments.add_argument("before", nargs="?", type=Path, help="folder of the checkout to compare with")
    arguments.add_argument("--only", action="append",
                           choices=("compare", "elementwise", "matmul", "ops", "scaling", "node", "start"),
                           help="only this benchmark (may be repeated)")
    arguments.add_argument("--case", help="only the cases with this in their name")
    arguments.add_argument("--least", type=float, default=0.97, help="the least ratio (default 0.97)")
    options = arguments.parse_args()
    if options.serve:
        harness.serve(op(options.serve))
        return
    if options.before is None:
        raise SystemExit("which build to compare with? python benchmarks/builds.py FOLDER")

    folders = [options.before.resolve(), ROOT]
    for folder in folders:
        print(*found_in(folder))
    pair, rows = Pair(folders), []
    for case in cases():
        if (options.only and case[0] not in options.only) or (options.case or "") not in case[1]:
            continue
        row = measure(pair, case, options.rounds)
        if row["ratio"]["median"] < options.least:
            row = {**measure(pair, case, options.rounds, REPETITIONS), "first": row}
        rows.append(row)
        print(line(row), flush=True)
    pair.close()
    for benchmark in dict.fromkeys(row["benchmark"] for row in rows):
        ratios = [row["ratio"]["median"] for row in rows if row["benchmark"] == benchmark]
        print(f"{benchmark}: {len(ratios)} cases, geometric mean {harness.geometric_mean(ratios):.3f}, "
              f"least {min(ratios):.3f}")
    slower = [row for row in rows if row["ratio"]["median"] < options.least]
    print(f"{len(rows)} cases, geometric mean {harness.geometric_mean([row['ratio']['median'] for row in rows]):.3f}; "
          f"below {options.least}: {len(slower)}")
    for row in slower:
        print(line(row))
    harness.write(options, "builds", {"rows": rows})
    raise SystemExit(bool(slower))


def line(row):
    """A row in words."""
    ratio = row["ratio"]
    times = " -> ".join(harness.microseconds(statistics.median(row[which])) for which in ("before", "after"))
    first = f" (first {row['first']['ratio']['median']:.3f})" if "first" in row else ""
    return (f"{row['benchmark']:12} {row['case']:45} {row['threads']}  {times:>20} us  {ratio['median']:.3f} "
            f"({ratio['low']:.3f}-{ratio['high']:.3f}){first}")


if __name__ == "__main__":
    main()
