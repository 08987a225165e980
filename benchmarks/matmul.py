"""The matrix product: GFLOP/s by size, layout and number of threads, next to OpenBLAS, MKL and the processor's peak.

    python benchmarks/matmul.py
    python benchmarks/matmul.py --dtype float32 --size 64,64,64 --size 1024,1024,1024

microtensor, NumPy (OpenBLAS) and PyTorch (MKL) take turns, each in a process of its own. N and T say whether an
operand is stored as it is used or transposed: NN is a forward pass, NT a Linear's, TN a weight's gradient. The ratio
is to the better of the two libraries, round by round. Writes matmul.json and matmul.png.
"""

import argparse
import importlib
import statistics

import harness
import numpy as np
from peak import NoCompilerError, fma_peak

SIZES = [
    (16, 16, 16), (32, 32, 32), (64, 64, 64), (128, 256, 784), (784, 256, 128), (128, 1024, 1024), (1024, 1024, 128),
    (1024, 1024, 1024),
]
LAYOUTS = ("NN", "NT", "TN")
SMALL = 32  # products this small are measured with the cost of the call, and counted apart
LABELS = {"microtensor": "microtensor", "numpy": "NumPy (OpenBLAS)", "torch": "PyTorch (MKL)"}


def size(text):
    """Three numbers, m,n,k, for argparse."""
    numbers = tuple(int(number) for number in text.split(","))
    if len(numbers) != 3 or min(numbers) < 1:
        raise argparse.ArgumentTypeError(f"expected m,n,k with three numbers of at least 1, got {text}")
    return numbers


def answers(name):
    """What the process of a library does: prepare a product, and time it."""
    library = importlib.import_module(name)
    product = None

    def prepare(m, n, k, layout, dtype):
        nonlocal product
        random = np.random.default_rng(0)
        a, b = random.standard_normal((m, k)).astype(dtype), random.standard_normal((k, n)).astype(dtype)
        right = a.astype(float) @ b.astype(float)
        convert = np.asarray if name == "numpy" else library.tensor
        a = convert(a) if layout[0] == "N" else convert(np.ascontiguousarray(a.T)).T
        b = convert(b) if layout[1] == "N" else convert(np.ascontiguousarray(b.T)).T

        def product():
            return library.matmul(a, b)

        found = np.asarray(product() if name == "numpy" else product().numpy(), float)
        return float(np.linalg.norm(found - right) / (np.linalg.norm(right) * np.finfo(dtype).eps * k**0.5))

    return {"prepare": prepare, "time": lambda seconds: harness.seconds_per_call(product, seconds)}


def measure(runners, options, dtype, threads):
    """A row per size and layout: everybody's seconds, and microtensor's ratio to the better library."""
    for m, n, k in options.size or SIZES:
        for layout in LAYOUTS:
            for runner in runners:
                wrong = runner.ask("prepare", m=m, n=n, k=k, layout=layout, dtype=dtype)
                if wrong > 1:
                    raise SystemExit(f"{runner.name}: {m},{n},{k} {layout}: wrong by {wrong:.3g} times the rounding")
            turns = harness.in_turn(runners, options.rounds, "time", seconds=options.seconds)
            seconds = {runner.name: found for runner, found in turns.items()}
            peers = [name for name in seconds if name != "microtensor"]
            row = {"size": [m, n, k], "layout": layout, "dtype": dtype, "threads": threads, "seconds": seconds}
            row["gflops"] = {name: 2e-9 * m * n * k / statistics.median(found) for name, found in seconds.items()}
            if peers:
                row["ratio"] = harness.paired(seconds[max(peers, key=row["gflops"].get)], seconds["microtensor"])
            yield row


def means(rows):
    """The geometric mean and the least of the ratios, for small products and for the others."""
    found = {}
    for kind in ("small", "large"):
        ratios = [row["ratio"]["median"] for row in rows
                  if "ratio" in row and (max(row["size"]) <= SMALL) == (kind == "small")]
        if ratios:
            found[kind] = {"geometric_mean": harness.geometric_mean(ratios), "least": min(ratios)}
    return found


def plot(pyplot, document):
    """A panel per dtype and number of threads: GFLOP/s at each size and layout, and the peak as a line."""
    groups = document["groups"]
    figure, panels = pyplot.subplots(len(groups), 1, figsize=(10, 2.5 * len(groups)), squeeze=False, sharex=True,
                                     layout="constrained")
    for panel, group in zip(panels.flat, groups, strict=True):
        for name, label in LABELS.items():
            points = [row["gflops"].get(name) for row in group["rows"]]
            if any(points):
                panel.plot(range(len(points)), points, "o", label=label, markersize=4)
        if group["peak_gflops"]:
            panel.axhline(group["peak_gflops"], color="0.5", linestyle="--", linewidth=1, label="peak (measured)")
        panel.set_yscale("log")
        panel.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        panel.yaxis.set_minor_formatter(lambda value, _: "")
        panel.set_ylabel("GFLOP/s")
        panel.set_title(f"{group['dtype']}, {group['threads']} thread{'s' * (group['threads'] > 1)}", fontsize=9)
        panel.set_xticks(range(len(group["rows"])),
                         [f"{','.join(map(str, row['size']))} {row['layout']}" for row in group["rows"]],
                         rotation=60, ha="right", fontsize=7)
    figure.legend(*panels.flat[0].get_legend_handles_labels(), loc="outside lower center", fontsize=8, ncols=4)
    return figure


def main():
    """Measure, print and write."""
    arguments = harness.parser(__doc__, rounds=7)
    arguments.add_argument("--dtype", choices=("float32", "float64"), action="append", help="only this dtype")
    arguments.add_argument("--size", type=size, action="append", help="only this m,n,k (may be repeated)")
    arguments.set_defaults(seconds=0.02)
    options = arguments.parse_args()
    if options.serve:
        harness.serve(answers(options.serve))
        return

    names = ["microtensor", *harness.installed(["numpy", "torch"])]
    groups = []
    for threads in harness.thread_counts():
        runners = [harness.Runner(__file__, name, threads) for name in names]
        for dtype in options.dtype or ("float32", "float64"):
            try:
                peak = fma_peak(dtype, threads)
            except NoCompilerError as reason:
                print(reason)
                peak = None
            rows = list(measure(runners, options, dtype, threads))
            group = {"dtype": dtype, "threads": threads, "peak_gflops": peak, "rows": rows, "means": means(rows)}
            groups.append(group)
            limit = f", peak {peak:.0f}" if peak else ""
            print(harness.table(
                [f"{dtype}, {threads} thread{'s' * (threads > 1)}: GFLOP/s{limit}", *names, "ratio"],
                [[f"{','.join(map(str, row['size']))} {row['layout']}",
                  *(f"{row['gflops'][name]:.1f}" for name in names),
                  f"{row['ratio']['median']:.2f}" if "ratio" in row else ""] for row in rows],
            ))
            for kind, mean in group["means"].items():
                print(f"{kind}: geometric mean {mean['geometric_mean']:.2f}, least {mean['least']:.2f}", flush=True)
        for runner in runners:
            runner.close()
    harness.draw(options, "Matrix product m,n,k", plot, harness.write(options, "matmul", {"groups": groups}))


if __name__ == "__main__":
    main()
