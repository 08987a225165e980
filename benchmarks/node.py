"""What one node of the graph costs: a chain of y = y * c on one element, forward, backward and freeing.

    python benchmarks/node.py                       # microtensor, and PyTorch where it is installed

Prints nanoseconds per node at each chain length, the median of several runs, and the ratio, run by run. Each library
has a process of its own, on one thread; they take turns.
"""

import argparse
import importlib.util
import statistics
import time

from turns import Runner, serve


def chain(tensor):
    """A function that builds, differentiates and frees a chain, given a library's ``tensor``."""
    x, c = tensor([1.0], requires_grad=True), tensor([1.0000001])

    def seconds_per_node(length, repeats):
        start = time.perf_counter()
        for _ in range(repeats):
            y = x
            for _ in range(length):
                y = y * c
            y.backward()
            del y
        return (time.perf_counter() - start) / (length * repeats)

    return seconds_per_node


def main():
    """Print a line per chain length."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--longest", type=int, default=1_000_000, help="the longest chain (default 1000000)")
    parser.add_argument("--rounds", type=int, default=7, help="runs of each length (default 7)")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--threads", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve({"time": chain(importlib.import_module(options.serve).tensor)})
        return

    names = [name for name in ("microtensor", "torch") if importlib.util.find_spec(name)]
    runners = {name: Runner(__file__, name) for name in names}
    print(f"{'nodes':>10}" + "".join(f"{name + ' ns/node':>22}" for name in names) + f"{'ratio':>9}" * (len(names) - 1))
    length = 100
    while length <= options.longest:
        times = {name: [] for name in names}
        for _ in range(options.rounds):
            for name, runner in runners.items():
                times[name].append(runner.ask("time", length=length, repeats=max(1, 10_000 // length)))
        ratios = [theirs / times["microtensor"][i] for name in names[1:] for i, theirs in enumerate(times[name])]
        print(
            f"{length:10}"
            + "".join(f"{statistics.median(times[name]) * 1e9:22.0f}" for name in names)
            + (f"{statistics.median(ratios):8.1f}x" if ratios else ""),
            flush=True,
        )
        length *= 10
    for runner in runners.values():
        runner.close()


if __name__ == "__main__":
    main()
